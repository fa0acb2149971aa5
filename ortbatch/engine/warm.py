"""The first run of a session plans and allocates, the first count imports; neither belongs in a measurement."""

from __future__ import annotations

import numpy as np

from ortbatch.engine.count import Answers, Count, Outcome
from ortbatch.engine.evaluation import Evaluation
from ortbatch.model.session import OnnxModel


def warm_up(model: OnnxModel, evaluation: Evaluation) -> None:
    """Run one full batch of the same real row, and count what comes out of it as if it were of the first class."""
    turned, rows = evaluation.inputs.by_columns, evaluation.batch_size
    feed = {name: np.repeat(row, rows, axis=int(name in turned)) for name, row in evaluation.example.items()}
    raw, *own = model.run(evaluation.decision.output.reads, feed)
    answers = Answers(slice(0, rows), raw, own[0] if own else None, [])
    count = Count(evaluation)
    count.add([Outcome(0, np.zeros(rows, np.int64), np.zeros(rows, np.uint8), answers, {}, 0, np.empty(0, np.int64))])
    count.tally()
