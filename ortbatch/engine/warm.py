"""The first run of a session plans and allocates; it belongs in no measurement."""

from __future__ import annotations

import numpy as np

from ortbatch.engine.evaluation import Evaluation
from ortbatch.model.session import OnnxModel


def warm_up(model: OnnxModel, evaluation: Evaluation) -> None:
    """Run one full batch of the same real row."""
    turned = evaluation.inputs.by_columns
    feed = {
        name: np.repeat(row, evaluation.batch_size, axis=int(name in turned))
        for name, row in evaluation.example.items()
    }
    model.run(evaluation.decision.output.reads, feed)
