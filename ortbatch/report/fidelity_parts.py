"""Parts of a `fidelity` entry: differences of the scores, a swap of classes, single rows, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ortbatch.metrics.differences import JointCounts, paired_difference
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.fidelity import Fidelity
from ortbatch.metrics.gaps import TOLERANCES, Gaps
from ortbatch.metrics.intervals import CLASS_ROWS_ENOUGH, caution_of_share
from ortbatch.metrics.kept import KeptRow, KeptRows
from ortbatch.metrics.paired import Twins
from ortbatch.metrics.slices import Cut
from ortbatch.metrics.value import Counts
from ortbatch.report.averages import share
from ortbatch.report.slices import written
from ortbatch.report.versus import DIGITS

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
_CLASSES_NAMED = 20
_PERMUTED_UP_TO = 256


def joint_part(joint: JointCounts) -> dict[str, int]:
    """Rows by who is right."""
    return {
        "both_right": joint.both,
        "only_model_right": joint.only_new,
        "only_baseline_right": joint.only_old,
        "both_wrong": joint.neither,
    }


def share_of_both(joint: JointCounts, reason: str) -> dict[str, Any]:
    """Share of right rows of both, and their difference; undefined, for this reason, without rows."""
    rows = joint.rows
    if not rows:
        return {"model": None, "baseline": None, "difference": Estimate.undefined(reason)}
    value = round(joint.difference, DIGITS)
    low, high = paired_difference(joint)
    few = caution_of_share(0, rows) if rows < CLASS_ROWS_ENOUGH else None
    return {
        "model": (joint.both + joint.only_new) / rows,
        "baseline": (joint.both + joint.only_old) / rows,
        "difference": Estimate(value, (min(low, value), max(high, value)), method="newcombe_paired", caution=few),
    }


def scores_part(gaps: Gaps, classes: Sequence[str]) -> dict[str, Any] | None:
    """Differences of the probabilities, of each row the largest over its classes; None without scores of both."""
    if not gaps.rows:
        return None
    above = gaps.above()
    total = above.sum(axis=0).tolist()
    part: dict[str, Any] = {
        "rows": gaps.rows,
        "mean": gaps.mean(),
        "rms": gaps.rms(),
        "max": gaps.largest_gap(),
        **{name: gaps.percentile(quantile) for name, quantile in PERCENTILES.items()},
        "above": [
            {"tolerance": tolerance, "rows": rows, "share": share(rows, gaps.rows, "")}
            for tolerance, rows in zip(TOLERANCES, total, strict=True)
        ],
    }
    if len(classes) > 2:
        part["by_class"] = _by_class(above, classes)
    return part


def _by_class(above: Counts, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes that differ most on most rows: where the difference is large, then where it is smaller."""
    order = np.lexsort([*(-above.T)])[:_CLASSES_NAMED]
    return [{"class": classes[place], "above": above[place].tolist()} for place in order.tolist() if above[place, 0]]


def permutation(twins: Twins, classes: Sequence[str]) -> dict[str, Any] | None:
    """The renaming of the baseline's classes that makes most rows agree; None where no other names agree better.

    References:
        Kuhn (1955), Naval Research Logistics Quarterly 2 (the assignment problem).
    """
    from scipy.optimize import linear_sum_assignment

    flipped = twins.predicted != twins.baseline
    flips = int(twins.counts[flipped].sum())
    if not flips:
        return None
    # A class none of whose rows flips stays what it is.
    touched = twins.summed(twins.predicted[flipped], twins.counts[flipped])
    touched = touched + twins.summed(twins.baseline[flipped], twins.counts[flipped])
    moving = np.sort(np.argsort(-touched, kind="stable")[:_PERMUTED_UP_TO])
    place = np.full(len(classes), -1)
    place[moving] = np.arange(len(moving))
    inside = (place[twins.predicted] >= 0) & (place[twins.baseline] >= 0)
    table = np.zeros((len(moving), len(moving)), np.int64)
    np.add.at(
        table, (place[twins.predicted[inside]], place[twins.baseline[inside]]), twins.counts[inside]
    )  # fmt: skip
    model, baseline = linear_sum_assignment(table, maximize=True)
    gained = int(table[model, baseline].sum() - table.diagonal().sum())
    if gained <= 0:
        return None
    of_model, of_baseline = (twins.summed(column, twins.counts) for column in (twins.predicted, twins.baseline))
    moved = [
        {
            "baseline": classes[moving[column]],
            "model": classes[moving[row]],
            "rows": int(table[row, column]),
            "of_baseline": int(of_baseline[moving[column]]),
            "of_model": int(of_model[moving[row]]),
        }
        for row, column in zip(model.tolist(), baseline.tolist(), strict=True)
        if row != column and table[row, column]
    ]
    moved.sort(key=lambda pair: -pair["rows"])
    return {"explains": gained / flips, "moved": moved[:_CLASSES_NAMED]}


def kept_rows(
    kept: KeptRows, classes: Sequence[str], files: Sequence[str], positive: int | None
) -> list[dict[str, Any]]:  # fmt: skip
    """Single rows, as they can be found again in the data."""
    return [_row(row, classes, files, positive) for row in kept.rows()]


def _row(row: KeptRow, classes: Sequence[str], files: Sequence[str], positive: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "file": files[row.file],
        "row": row.row,
        "label": classes[row.label],
        "predicted": classes[row.predicted],
        "baseline": classes[row.baseline],
    }
    if row.gap is None or row.scores is None:
        return told
    differing = classes[row.differing if positive is None else positive]
    return told | {
        "difference": row.gap, "class": differing, "score": row.scores[0], "baseline_score": row.scores[1]
    }  # fmt: skip


def slices_part(value: Fidelity, cuts: Sequence[Cut]) -> list[dict[str, Any]]:
    """Slices that have rows, those that agree least first; among them those of larger differences."""
    outcomes, bands = value.slices.dense(), value.slice_bands.dense()
    above = np.cumsum(bands[:, ::-1], axis=1)[:, -2::-1]
    entries, place = [], 0
    for cut in cuts:
        for inner in range(cut.slices):
            both, only_model, only_baseline, same, other = outcomes[place].tolist()
            if both + only_model + only_baseline + same + other:
                joint = JointCounts(both, only_baseline, only_model, same + other)
                entries.append(_slice(cut, inner, joint, both + same))
                if value.gaps.rows:
                    entries[-1]["above"] = above[place].tolist()
            place += 1
    return sorted(entries, key=_unlike)


def _unlike(entry: dict[str, Any]) -> tuple[float, float]:
    return entry["agreement"].value, -sum(entry.get("above", [])) / entry["rows"]


def _slice(cut: Cut, inner: int, joint: JointCounts, agreeing: int) -> dict[str, Any]:
    values = cut.of(inner)
    return {
        "by": list(cut.by),
        "slice": values,
        "name": written(values),
        "rows": joint.rows,
        "agreement": share(agreeing, joint.rows, ""),
        "joint": joint_part(joint),
        "accuracy": share_of_both(joint, ""),
    }
