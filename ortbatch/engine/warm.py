"""The first run of a session plans and allocates; it belongs in no measurement."""

from __future__ import annotations

import numpy as np

from ortbatch.engine.evaluate import Evaluation
from ortbatch.model.session import OnnxModel


def warm_up(model: OnnxModel, evaluation: Evaluation) -> None:
    """Run one full batch of zeros."""
    feed = {
        binding.name: np.zeros((evaluation.batch_size, *binding.row_shape), binding.cast.dtype)
        for binding in evaluation.inputs
    }
    model.run(evaluation.decision.output.reads, feed)
