"""Choose a threshold from a stored report, and say beside it what the job's own threshold does.

Chosen and judged on the same rows, a threshold looks better than it is; the intervals allow for that. `confirm` chooses
on one half of the rows and judges on the other, at the price of half of the rows for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ortbatch.errors import ReportError
from ortbatch.job.redaction import redact
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.operating import NONE, Aim, Outcomes, Steps, Table, chosen, thresholds, why_none
from ortbatch.metrics.resample import Resample
from ortbatch.report.report import Report
from ortbatch.report.stored_scores import StoredScores, stored_scores
from ortbatch.report.thresholds import judged_at, pick


@dataclass(frozen=True)
class Judged:
    """What a threshold does to some rows; precision, recall and F1 carry their intervals."""

    threshold: float
    confusion: Outcomes
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold, and what it does.

    Args:
        class_name: the class against the rest.
        aim: what it was chosen for.
        picked: on the rows that chose it: all of them, or one half if `confirmed` is given.
        confirmed: the same threshold on the other half, which had no part in choosing it.
        current: the job's own threshold on all rows; None where the prediction is the class of largest score.
        note: what else the reader should know; None if nothing.
    """

    class_name: str
    aim: Aim
    picked: Judged
    confirmed: Judged | None
    current: Judged | None
    note: str | None

    def as_json(self) -> dict[str, Any]:
        """The same in plain containers, estimates as they are."""
        described = {"class": self.class_name, "aim": str(self.aim), "note": self.note}
        return described | {name: _as_json(getattr(self, name)) for name in ("picked", "confirmed", "current")}


def choose_threshold(report: Report, aim: Aim, class_name: str | None, *, confirm: bool) -> ThresholdChoice:
    """Choose; see `ortbatch.pick_threshold`."""
    stored = stored_scores(report.data, class_name)
    if isinstance(stored, str):
        raise ReportError(f"{_where(report)}{stored}")
    steps = stored.steps()
    if confirm:
        picked, confirmed = _on_halves(stored, aim, report)
    else:
        resample = Resample.of(steps)
        picked, confirmed = _judged(pick(aim, steps, resample), report, stored), None
    return ThresholdChoice(stored.class_name, aim, picked, confirmed, _current(report.data), _note(aim, steps, picked))


def _on_halves(stored: StoredScores, aim: Aim, report: Report) -> tuple[Judged, Judged]:
    """Choose on one half, judge on the other."""
    first, second = stored.steps(0), stored.steps(1)
    place = int(chosen(aim, Table.of(first)))
    if place == NONE:
        why = why_none(aim, first)
        raise ReportError(f"{_where(report)}class `{stored.class_name}`, on one half of the rows: {why}")
    cell = int(first.cells[place])
    threshold = float(thresholds(stored.bins)[cell])
    looked, confirmed = ({"threshold": threshold, **judged_at(steps.at(cell))} for steps in (first, second))
    return _of(looked), _of(confirmed)


def _judged(found: Mapping[str, Any], report: Report, stored: StoredScores) -> Judged:
    if found["threshold"] is None:
        raise ReportError(f"{_where(report)}class `{stored.class_name}`: {found['reason']}")
    return _of(found)


def _of(found: Mapping[str, Any]) -> Judged:
    outcomes = Outcomes(**found["confusion"])
    return Judged(found["threshold"], outcomes, found["precision"], found["recall"], found["f1"])


def _current(data: Mapping[str, Any]) -> Judged | None:
    """What the run counted at its own threshold, row by row."""
    threshold = data["thresholds"]["threshold"]
    if threshold is None:
        return None
    own = data["quality"]["classes"].index(data["quality"]["positive"])
    (hits, missed), (alarms, quiet) = (
        (row[own], row[1 - own]) for row in (data["confusion_matrix"]["counts"][place] for place in (own, 1 - own))
    )
    return _of({"threshold": threshold, **judged_at(Outcomes(hits, alarms, missed, quiet))})


def _note(aim: Aim, steps: Steps, picked: Judged) -> str | None:
    """Where calling nothing positive, which is no threshold to recommend, would cost less."""
    if aim.cost is None:
        return None
    missed, alarm = aim.cost
    _, fp, fn, _ = steps.at(int(thresholds(steps.bins).searchsorted(picked.threshold)))
    cost, nothing = missed * fn + alarm * fp, missed * steps.own
    if nothing >= cost:
        return None
    return f"calling nothing positive would cost less: {nothing:,.6g} instead of {cost:,.6g}"


def _where(report: Report) -> str:
    return f"{redact(report.path)}: " if report.path else ""


def _as_json(judged: Judged | None) -> dict[str, Any] | None:
    if judged is None:
        return None
    estimates = {name: getattr(judged, name) for name in ("precision", "recall", "f1")}
    return {"threshold": judged.threshold, "confusion": judged.confusion._asdict(), **estimates}
