"""The first run of a session plans and allocates, the first count imports; neither belongs in a measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ortbatch.engine.beside import Beside
from ortbatch.engine.count import Answers, Count, Outcome
from ortbatch.engine.evaluation import Evaluation
from ortbatch.model.session import Predictor


def warm_up(model: Predictor, evaluation: Evaluation, baselines: Sequence[Predictor | None] = ()) -> None:
    """Run one full batch of the same real row, and count what comes out of it as if it were of the first class.

    Args:
        model: the session.
        evaluation: what it is for.
        baselines: sessions beside it, which run the same batch where they take the same inputs.
    """
    turned, rows = evaluation.inputs.by_columns, evaluation.batch_size
    feed = {name: np.repeat(row, rows, axis=int(name in turned)) for name, row in evaluation.example.items()}
    raw, *own = model.run(evaluation.decision.output.reads, feed)
    for baseline, session in zip(evaluation.baselines, baselines, strict=True):
        if baseline.takes_the_models_feed:
            Beside(baseline, session, rows, turned).run(0, rows, feed, None)
    answers = Answers(slice(0, rows), raw, own[0] if own else None, [])
    count = Count(evaluation)
    count.add([Outcome(0, np.zeros(rows, np.int64), np.zeros(rows, np.uint8), answers, {}, 0, np.empty(0, np.int64))])
    count.tally()
