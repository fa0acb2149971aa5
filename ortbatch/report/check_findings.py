"""Findings about the training data: leaked rows, labels that contradict, columns that tell too much, overfitting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.metrics.differences import Bounded, independent_difference
from ortbatch.report.format import interval, number

Finding = dict[str, Any]

_MUCH, _SOME = 0.01, 0.001
_LARGE_GAP = 0.02
_COLUMNS_NAMED = 3


def check_findings(report: Mapping[str, Any]) -> Iterator[Finding]:
    """All of them, of a decoded report."""
    leakage, overfitting = report.get("leakage"), report.get("overfitting")
    if leakage is not None:
        yield from _leaked(leakage)
        yield from _better_on_leaked(leakage)
        yield from _repeated(leakage)
        yield from _contradicting(leakage)
        yield from _telling(leakage)
    if overfitting is not None:
        yield from _overfit(overfitting, report["quality"])
    yield from _left_out(leakage, overfitting)


def _left_out(leakage: Mapping[str, Any] | None, overfitting: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Training rows that were not looked at, as their shards could not be done."""
    compared = 0 if leakage is None else leakage["training"]["left_out"]
    evaluated = 0 if overfitting is None else overfitting["left_out"]
    if rows := max(compared, evaluated):
        text = f"{rows:,} training rows could not be read: what is told of the training data is told without them."
        yield _finding("warning", "training_rows_left_out", text)


def _finding(severity: str, code: str, text: str) -> Finding:
    return {"severity": severity, "code": code, "text": text}


def _by_share(share: float) -> str:
    return "error" if share >= _MUCH else "warning" if share >= _SOME else "info"


def _leaked(section: Mapping[str, Any]) -> Iterator[Finding]:
    rows, training = section["rows"], section["training"]
    if not rows:
        return
    same = f" ({training['same_files']:,} of the training files are files of it)" if training["same_files"] else ""
    if rows == section["compared"]:
        text = (
            f"all {rows:,} evaluation rows stand in the training data{same}: the metrics tell what the model "
            "remembers, not what it does with new rows. Evaluate rows that it was not trained on."
        )
        yield _finding("error", "evaluated_on_training_data", text)
        return
    share, accuracy = section["share"], section["without"]["accuracy"]
    text = (
        f"{rows:,} of {section['compared']:,} evaluation rows ({number(share['value'])}) stand in the training data"
        f"{same}. Without them accuracy is {number(accuracy['value'])}."
    )
    yield _finding(_by_share(share["value"]), "leaked_rows", text)


def _better_on_leaked(section: Mapping[str, Any]) -> Iterator[Finding]:
    """Accuracy on leaked rows that is above that on the others by more than chance."""
    if "leaked" not in section:
        return
    here, there = section["leaked"]["accuracy"], section["without"]["accuracy"]
    if here["ci"] is None or there["ci"] is None:
        return
    limits = independent_difference(Bounded(there["value"], *there["ci"]), Bounded(here["value"], *here["ci"]))
    if limits[0] <= 0:
        return
    text = (
        f"the model is better on leaked rows: accuracy {number(here['value'])} on them, {number(there['value'])} on "
        f"the others, a difference of {interval(limits)}: it has learnt them by heart."
    )
    yield _finding("warning", "better_on_leaked_rows", text)


def _repeated(section: Mapping[str, Any]) -> Iterator[Finding]:
    rows, share = section["duplicates"], section["duplicate_share"]["value"]
    if not rows or share < _SOME:
        return
    text = (
        f"{rows:,} of {section['compared']:,} evaluation rows ({number(share)}) repeat the inputs of another one: they "
        "count more than once, and intervals are too narrow."
    )
    yield _finding("warning" if share >= _MUCH else "info", "duplicate_rows", text)


def _contradicting(section: Mapping[str, Any]) -> Iterator[Finding]:
    compared = section["compared"]
    if rows := section["conflicts"]:
        text = (
            f"{rows:,} evaluation rows have inputs that stand with another label as well: no model can be right on all "
            f"of them. The first is {_place(section['conflict_examples'][0])}."
        )
        yield _finding("warning" if rows >= _SOME * compared else "info", "label_conflicts", text)
    if rows := section["training_conflicts"]:
        text = (
            f"{rows:,} evaluation rows have another label in the training data. The first is "
            f"{_place(section['training_conflict_examples'][0])}."
        )
        yield _finding("warning" if rows >= _SOME * compared else "info", "labels_unlike_training", text)


def _place(row: Mapping[str, Any]) -> str:
    return f"row {row['row']:,} of {row['file']}"


def _telling(section: Mapping[str, Any]) -> Iterator[Finding]:
    """Columns that give the label away, the surest first."""
    columns = section["columns"]
    for column in columns[:_COLUMNS_NAMED]:
        how = "the order of its values" if column["measure"] == "roc_auc" else "the most frequent class of each value"
        said = "an area under the ROC curve of" if column["measure"] == "roc_auc" else "an accuracy of"
        more = ""
        if len(columns) > _COLUMNS_NAMED and column is columns[_COLUMNS_NAMED - 1]:
            more = f" {len(columns) - _COLUMNS_NAMED:,} more columns are like it."
        text = (
            f"column `{column['column']}` gives the label away: {how} has {said} {number(column['value'])} by itself. "
            f"Is it known before the label is?{more}"
        )
        yield _finding("warning", "column_gives_label_away", text)


def _overfit(section: Mapping[str, Any], quality: Mapping[str, Any]) -> Iterator[Finding]:
    """Accuracy on training rows that is far above that on evaluated rows, and surely so."""
    gap = section["gaps"]["accuracy_gap"]
    if gap["value"] is None:
        if section["training"]["no_labels"] is not None:
            text = f"nothing can be said of overfitting: {section['training']['no_labels']}."
            yield _finding("info", "overfitting_unknown", text)
        return
    if gap["ci"] is None or gap["ci"][0] <= 0 or gap["value"] <= _LARGE_GAP:
        return
    there, here = section["quality"]["accuracy"]["value"], quality["accuracy"]["value"]
    text = (
        f"the model is overfitted: accuracy {number(there)} on {section['rows']:,} training rows, {number(here)} on "
        f"the evaluated rows, a gap of {number(gap['value'])} ({interval(gap['ci'])})."
    )
    yield _finding("warning", "overfitting", text)
