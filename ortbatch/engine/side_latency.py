"""How long one prediction of a baseline takes, measured as the model's are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.latency import SingleLatency, SingleSetup, measure_single
from ortbatch.engine.sessions import SideModel, predictor


def measure_side(
    evaluation: Evaluation, place: int, model: SideModel, setup: SingleSetup, folder: Path | None = None
) -> SingleLatency:
    """Time single predictions of a baseline that has a session, one of its own.

    Args:
        evaluation: of the run.
        place: of the baseline in it.
        model: its files.
        setup: what to measure.
        folder: private to the run, for files that travelled.
    """
    baseline, by_rows = evaluation.baselines[place], evaluation.by_rows()
    session = predictor(baseline, model, setup.threads, folder=folder)
    assert session is not None
    own = replace(by_rows, inputs=baseline.inputs or by_rows.inputs, decision=baseline.decision, baselines=())
    return measure_single(session, own, setup)
