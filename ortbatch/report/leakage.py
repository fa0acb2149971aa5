"""What the training data tell of an evaluation: leaked rows and their worth, duplicates, labels that contradict.

A pure function of counts; files are named as the plans name them. Quality without the leaked rows is made of the counts
of the other rows, as the section `quality` is of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.metrics.checked import QUALITY
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.leakage import Checked, Leakage, TrainingRows, Twins
from ortbatch.metrics.matches import NO_LABEL
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import share
from ortbatch.report.quality import POSITIVE, quality_section, rows_behind
from ortbatch.report.versus import DIGITS

_NOTHING = "no evaluation row could be compared"


def training_part(rows: TrainingRows) -> dict[str, Any]:
    """The training data: how many files and rows, and what became of these."""
    return {
        "files": len(rows.files),
        "same_files": rows.same_files,
        "plan_digest": rows.digest,
        "rows": rows.planned,
        "no_labels": rows.no_labels,
    }


def leakage_section(
    checked: Checked, tally: Tally, positive: int | None, files: Sequence[str]
) -> dict[str, Any] | None:
    """The section `leakage` of a report; None if leakage was not looked for.

    Args:
        checked: what was found.
        tally: counts of all evaluated rows.
        positive: index of the positive class; None for multiclass.
        files: redacted path of every file of the evaluation data.
    """
    found, training = checked.leakage, checked.training
    if found is None:
        return None
    names = _Names(files, training.files, tally.confusion.classes)
    return {
        "compared": found.compared,
        "distinct": found.distinct,
        "training": {
            **training_part(training),
            "looked_at": training.looked_at,
            "unusable": training.unusable,
            "left_out": training.left_out,
            "matching": training.matching,
        },
        "rows": found.rows,
        "share": share(found.rows, found.compared, _NOTHING),
        "examples": [names.leaked(twins) for twins in found.leaked],
        "duplicates": found.duplicates,
        "duplicate_share": share(found.duplicates, found.compared, _NOTHING),
        "duplicate_examples": [names.repeated(twins) for twins in found.repeated],
        "conflicts": found.conflicts,
        "conflict_examples": [names.contradicting(twins) for twins in found.contradicting],
        "training_conflicts": found.training_conflicts,
        "training_conflict_examples": [names.contradicted(twins) for twins in found.contradicted],
        **_with_and_without(checked, tally, positive),
        "columns": _columns(found),
    }


def quality_of(tally: Tally, positive: int | None) -> dict[str, Any]:
    """The metrics of some rows that are told of rows apart, and how many rows these are.

    Of two classes also the rows of the positive one (`support`), and those that are predicted as it (`predicted`).
    """
    section = quality_section(tally, positive)
    row = {} if positive is None else section["per_class"][positive]
    of_positive = {key: row[key] for key in ("support", "predicted") if key in row}
    return {"rows": section["rows"], **of_positive, **{name: section[name] for name in QUALITY if name in section}}


def _with_and_without(checked: Checked, tally: Tally, positive: int | None) -> dict[str, Any]:
    """Quality of the rows that are not leaked, of those that are, and by how much these change it."""
    everything = quality_of(tally, positive)
    without = everything if checked.without is None else quality_of(checked.without, positive)
    told: dict[str, Any] = {"without": without}
    if checked.leaked is not None:
        told["leaked"] = quality_of(checked.leaked, positive)
    told["difference"] = {name: _difference(everything[name], without[name]) for name in QUALITY if name in without}
    return told


def _difference(everything: Estimate, without: Estimate) -> float | None:
    if everything.value is None or without.value is None:
        return None
    return round(everything.value - without.value, DIGITS)


def _columns(found: Leakage) -> list[dict[str, Any]]:
    return [
        {
            "column": one.column,
            "input": one.input,
            "measure": one.measure,
            "value": one.value,
            "majority": one.majority,
            "rows": one.rows,
        }
        for one in found.giveaways
    ]


class _Names:
    """Rows as a report names them."""

    def __init__(self, files: Sequence[str], training: Sequence[str], classes: Sequence[str]) -> None:
        self._files, self._training, self._classes = files, training, classes

    def leaked(self, twins: Twins) -> dict[str, Any]:
        return {**self._own(twins), **self._of_training(twins)}

    def repeated(self, twins: Twins) -> dict[str, Any]:
        return {**self._own(twins), "first_file": self._files[twins.other_file], "first_row": twins.other_row}

    def contradicting(self, twins: Twins) -> dict[str, Any]:
        other = {"other_file": self._files[twins.other_file], "other_row": twins.other_row}
        return {**self._own(twins), **self._label(twins), **other, "other_class": self._class(twins.other_label)}

    def contradicted(self, twins: Twins) -> dict[str, Any]:
        other = {**self._of_training(twins), "training_class": self._class(twins.other_label)}
        return {**self._own(twins), **self._label(twins), **other}

    def _own(self, twins: Twins) -> dict[str, Any]:
        return {"file": self._files[twins.file], "row": twins.row}

    def _of_training(self, twins: Twins) -> dict[str, Any]:
        return {"training_file": self._training[twins.other_file], "training_row": twins.other_row}

    def _label(self, twins: Twins) -> dict[str, Any]:
        return {"class": self._class(twins.label)}

    def _class(self, label: int) -> str | None:
        return None if label == NO_LABEL else self._classes[label]


def of_checks(name: str, report: Mapping[str, Any]) -> tuple[Mapping[str, Any], int] | str:
    """What a report says of a metric of the checks: the estimate, and the rows that it rests on; or why it has none.

    Args:
        name: `leakage.share`, `leakage.without.accuracy`, `overfitting.accuracy_gap` and so on.
        report: decoded.
    """
    family, _, what = name.partition(".")
    section = report.get(family)
    if section is None:
        return f"the report has no metric `{name}`: the job did not ask for it under `checks`"
    if family == "overfitting":
        found, rows = section["gaps"].get(what), section["rows"]
    elif what.startswith("without."):
        metric, part = what.removeprefix("without."), section["without"]
        found = part.get(metric)
        rows = rows_behind(metric, part if metric in POSITIVE and "support" in part else None, part["rows"])
    else:
        found, rows = section[what], section["compared"]
        if not isinstance(found, dict):
            why = f"no labels of the training data: {section['training']['no_labels']}"
            found = {"value": found, "ci": None, **({} if found is not None else {"reason": why})}
    if found is None:
        of = "two classes" if "positive" in report["quality"] else "more than two classes"
        return f"the report has no metric `{name}`: it is not told of {of}"
    return found, rows
