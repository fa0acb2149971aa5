"""The `fidelity` section: how far the model and each baseline differ on the same rows, and where.

Everything comes from merged counts. A difference is the model's value less the baseline's, with an interval for the
same rows seen twice. Which cause explains it is told by `causes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ortbatch.metrics.differences import JointCounts, mcnemar_mid_p
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.fidelity import Fidelity
from ortbatch.metrics.intervals import CLASS_ROWS_ENOUGH, caution, caution_of_share
from ortbatch.metrics.paired import Paired, Twins
from ortbatch.metrics.reference import FIDELITY_SHARES
from ortbatch.metrics.slices import Cut
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import share
from ortbatch.report.fidelity_parts import joint_part, kept_rows, permutation, scores_part, share_of_both, slices_part
from ortbatch.report.versus import DIGITS

NO_ROWS = "there is no row that both models could do"
_CLASSES_NAMED = 20
_OF_MANY = ("accuracy", "balanced_accuracy", "f1_macro")


@dataclass(frozen=True)
class Known:
    """What is known of the run besides its counts.

    Args:
        positive: index of the positive class of a binary task; None for multiclass.
        files: path of every file of the plan, by index.
        baselines: name → kind, model, and whether its predictions depend on the batch.
        batch_dependent: do those of the model?
        quantized: does the model compute with integers?
    """

    positive: int | None
    files: Sequence[str]
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    batch_dependent: bool = False
    quantized: bool = False


def fidelity_section(tally: Tally, known: Known) -> dict[str, Any] | None:
    """An entry for each baseline that ran beside the model, by name; None if there is none."""
    beside = tally.baselines
    if not beside.names:
        return None
    return {
        name: _entry(counts.fidelity, name, _Names(tally.confusion.classes, tally.slices.cuts), known)
        for name, counts in zip(beside.names, beside.values, strict=True)
    }


@dataclass(frozen=True)
class _Names:
    """Of classes and of slices."""

    classes: tuple[str, ...]
    cuts: tuple[Cut, ...]


def _entry(value: Fidelity, name: str, names: _Names, known: Known) -> dict[str, Any]:
    facts = known.baselines.get(name, {})
    twins = Twins(len(names.classes), *value.cells())
    agreeing = int(twins.counts[twins.predicted == twins.baseline].sum())
    joint = twins.joint()
    entry: dict[str, Any] = {
        **{key: facts[key] for key in ("kind", "model") if key in facts},
        "batch_dependent": {"model": known.batch_dependent, "baseline": bool(facts.get("batch_dependent"))},
        "quantized": {"model": known.quantized, "baseline": bool(facts.get("quantized"))},
        "rows": twins.rows,
        "unusable": dict(sorted(value.unusable.items())),
        "agreement": share(agreeing, twins.rows, NO_ROWS),
        "flips": twins.rows - agreeing,
        "joint": {**joint_part(joint), "mcnemar_p": mcnemar_mid_p(joint.only_old, joint.only_new)},
        "metrics": _metrics(twins, joint, known.positive),
    }
    if (scores := scores_part(value.gaps, names.classes)) is not None:
        entry["scores"] = scores
    if (moved := permutation(twins, names.classes)) is not None:
        entry["permutation"] = moved
    entry["worst"] = kept_rows(value.worst, names.classes, known.files, known.positive)
    entry["flipped"] = kept_rows(value.flips, names.classes, known.files, known.positive)
    if names.cuts:
        entry["slices"] = slices_part(value, names.cuts)
    entry["per_class"] = _per_class(twins, names.classes)
    entry["differ_most"] = _differ_most(twins, names.classes)
    return entry


def _metrics(twins: Twins, joint: JointCounts, positive: int | None) -> dict[str, Any]:
    """Metrics of all rows, of both models, with their differences."""
    accuracy = share_of_both(joint, NO_ROWS)
    if not twins.rows:
        return dict.fromkeys(FIDELITY_SHARES if positive is not None else _OF_MANY, accuracy)
    support = twins.summed(twins.true, twins.counts)
    few = caution(twins.rows, int(support[support > 0].min()))
    metrics = {
        "accuracy": accuracy,
        "balanced_accuracy": _of_both(twins.balanced_accuracy(), few, ""),
        "f1_macro": _of_both(twins.f1_macro(), few, ""),
    }
    if positive is not None:
        reason = "the positive class neither occurs nor is predicted by one of the two"
        metrics["f1"] = _of_both(twins.f1_of_classes()[positive], few, reason)
    return metrics


def _of_both(paired: Paired | None, few: str | None, reason: str) -> dict[str, Any]:
    if paired is None:
        return {"model": None, "baseline": None, "difference": Estimate.undefined(reason)}
    value = round(paired.difference, DIGITS)
    low, high = paired.interval()
    estimate = Estimate(value, (min(low, value), max(high, value)), method="delta_paired", caution=few)
    return {"model": paired.model, "baseline": paired.baseline, "difference": estimate}


def _per_class(twins: Twins, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Recall and F1 of each class, of both models."""
    joints = twins.joint_by_class().tolist()
    flipped = twins.predicted != twins.baseline
    flips = twins.summed(twins.true[flipped], twins.counts[flipped]).tolist()
    of_f1 = twins.f1_of_classes() if twins.rows else [None] * len(classes)
    rows = []
    for name, counts, flip, f1 in zip(classes, joints, flips, of_f1, strict=True):
        joint = JointCounts(*counts)
        few = caution_of_share(0, joint.rows) if joint.rows < CLASS_ROWS_ENOUGH else None
        nowhere = f"class `{name}` neither occurs nor is predicted by one of the two"
        rows.append(
            {
                "class": name,
                "support": joint.rows,
                "flips": flip,
                **joint_part(joint),
                "recall": share_of_both(joint, f"no row of class `{name}`"),
                "f1": _of_both(f1, few, nowhere),
            }
        )
    return rows


def _differ_most(twins: Twins, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Classes that one of the two predicts and the other does not, most rows first."""
    flipped = twins.predicted != twins.baseline
    counts = twins.counts[flipped]
    # Both classes of a row that flips are in it: it is counted for the one and for the other.
    flips = twins.summed(twins.predicted[flipped], counts) + twins.summed(twins.baseline[flipped], counts)
    order = np.argsort(-flips, kind="stable")[:_CLASSES_NAMED].tolist()
    return [{"class": classes[place], "flips": int(flips[place])} for place in order if flips[place]]
