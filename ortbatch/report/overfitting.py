"""How much better the model is on rows that it was trained on than on those it is judged by.

The two are independent samples of rows as long as none stands in both, which the section `leakage` tells.
"""

from __future__ import annotations

from typing import Any

from ortbatch.metrics.checked import GAPS, QUALITY
from ortbatch.metrics.differences import Bounded, independent_difference
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.leakage import Checked
from ortbatch.metrics.tally import Tally
from ortbatch.report.leakage import quality_of, training_part
from ortbatch.report.versus import DIGITS


def overfitting_section(checked: Checked, tally: Tally, positive: int | None) -> dict[str, Any] | None:
    """The section `overfitting` of a report; None if it was not looked for.

    Args:
        checked: what was found.
        tally: counts of all evaluated rows.
        positive: index of the positive class; None for multiclass.
    """
    found = checked.overfitting
    if found is None:
        return None
    here = quality_of(tally, positive)
    names = [name for name in GAPS if name in here and not (name == "f1_macro" and positive is not None)]
    head = {"training": training_part(checked.training), "sampled": found.sampled, "seed": found.seed}
    if found.tally is None:
        missing = Estimate.undefined(found.missing or "no training rows were evaluated")
        return {**head, "rows": 0, "rejected": {}, "left_out": 0, "gaps": {f"{name}_gap": missing for name in names}}
    there = quality_of(found.tally, positive)
    return {
        **head,
        "rows": there["rows"],
        "rejected": found.tally.coverage.rejected,
        "left_out": found.left_out,
        "quality": {name: there[name] for name in QUALITY if name in there},
        "gaps": {f"{name}_gap": gap(there[name], here[name]) for name in names},
    }


def gap(training: Estimate, evaluation: Estimate) -> Estimate:
    """A metric on training rows minus the same on evaluation rows, as independent samples.

    References:
        Zou & Donner (2008), Statistics in Medicine 27(10) (the interval).
    """
    if training.value is None:
        return Estimate.undefined(f"of the training rows: {training.reason}")
    if evaluation.value is None:
        return Estimate.undefined(f"of the evaluation rows: {evaluation.reason}")
    value = round(training.value - evaluation.value, DIGITS)
    if training.ci is None or evaluation.ci is None:
        whose, without = ("training", training) if training.ci is None else ("evaluation", evaluation)
        return Estimate(value, reason=f"no interval of the {whose} rows: {without.reason or 'it has none'}")
    low, high = independent_difference(
        Bounded(evaluation.value, *evaluation.ci), Bounded(training.value, *training.ci)
    )  # fmt: skip
    few = training.caution or evaluation.caution
    return Estimate(value, (min(low, value), max(high, value)), method="mover", caution=few)
