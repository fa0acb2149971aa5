"""Evaluation rows that stand in the training data: how many, what they are worth, and what else is wrong with rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.metrics.checked import QUALITY
from ortbatch.report.compare_text import signed
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, count, figure, word
from ortbatch.report.page.doubts import doubts, starred
from ortbatch.report.page.room import fitting, said

_ROWS, _BYTES = 30, 20_000
_TRAINING = ("training_file", "training_row")
_EXAMPLES: Mapping[str, tuple[str, tuple[str, str], Sequence[str]]] = {
    "examples": ("Leaked rows", _TRAINING, ()),
    "duplicate_examples": ("Rows that repeat another one", ("first_file", "first_row"), ()),
    "conflict_examples": (
        "Rows whose inputs have another label elsewhere",
        ("other_file", "other_row"),
        ("class", "other_class"),
    ),
    "training_conflict_examples": (
        "Rows whose inputs have another label in the training data",
        _TRAINING,
        ("class", "training_class"),
    ),
}
"""Where some rows stand → their title, where the other row is named, and the labels."""


def leakage(report: Mapping[str, Any]) -> Section | None:
    """Rows that the model may know by heart."""
    found = report.get("leakage")
    if found is None:
        return None
    training = found["training"]
    intro = Sentence(
        f"Evaluation rows whose inputs also stand in the training data ({training['looked_at']:,} rows of "
        f"{training['files']:,} files were compared with {found['compared']:,}): a model may know them by heart, and "
        "quality on them says little."
    )
    notes = doubts([("share of leaked rows", found["share"]), ("share of repeated rows", found["duplicate_share"])])
    blocks: list[Block] = [intro, _counts(found), *notes, *_worth(report["quality"], found)]
    blocks += [*_columns(found["columns"]), *_examples(found)]
    badge = f"{found['rows']:,} leaked" if found["rows"] else ""
    return Section("leakage", "Leakage", blocks, badge, "bad" if badge else "")


def _counts(found: Mapping[str, Any]) -> Table:
    nothing = (Cell(""), Cell(""))
    rows = [
        (
            Cell("leaked: stand in the training data"),
            count(found["rows"], "leakage.rows"),
            *starred(found["share"], "leakage.share"),
        ),
        (
            Cell("repeat another evaluation row"),
            count(found["duplicates"], "leakage.duplicates"),
            *starred(found["duplicate_share"], "leakage.duplicate_share"),
        ),
        (
            Cell("have another label elsewhere in the evaluation data"),
            count(found["conflicts"], "leakage.conflicts"),
            *nothing,
        ),
        (Cell("have another label in the training data"), _contradicted(found), *nothing),
        (Cell("different inputs among the compared rows"), count(found["distinct"]), *nothing),
    ]
    return Table(
        "What was found",
        ("evaluation rows that", "rows", "share", "95% interval"),
        rows,
        note=_training(found["training"]),
    )


def _contradicted(found: Mapping[str, Any]) -> Cell:
    rows, why = found["training_conflicts"], found["training"]["no_labels"]
    return Cell("–", tone="dim", more=str(why)) if rows is None else count(rows, "leakage.training_conflicts")


def _training(training: Mapping[str, Any]) -> str:
    """What became of the training rows."""
    parts = [f"{training['matching']:,} training rows match an evaluation row"]
    parts += [f"labels of the training data are not known: {training['no_labels']}"] if training["no_labels"] else []
    parts += (
        [f"{training['same_files']:,} files are files of the evaluation data too"] if training["same_files"] else []
    )
    parts += [f"{training['unusable']:,} training rows have no inputs for the model"] if training["unusable"] else []
    parts += [f"{training['left_out']:,} training rows could not be read"] if training["left_out"] else []
    return "; ".join(parts) + "."


def _worth(quality: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Block]:
    """Quality with and without leaked rows."""
    without, leaked = found["without"], found.get("leaked", {})
    metrics = [metric for metric in QUALITY if metric in without and metric in quality]
    rows = []
    for metric in metrics:
        of_leaked = starred(leaked[metric]) if metric in leaked else (Cell("–", tone="dim"), Cell(""))
        clean = starred(without[metric], f"leakage.without.{metric}")
        less = Cell(signed(found["difference"].get(metric)), found["difference"].get(metric))
        rows.append((Cell(metric), starred(quality[metric], metric)[0], *clean, *of_leaked, less))
    if found["rows"]:
        head = ("metric", "all rows", "without leaked", "95% interval", "leaked", "95% interval", "all less without")
        counts = f"{without['rows']:,} rows are not leaked" + (f", {leaked['rows']:,} are." if leaked else ".")
        yield Table("What leaked rows are worth", head, rows, note=counts)
        parts = (("without leaked rows", without), ("leaked rows", leaked))
        yield from doubts(
            (f"{metric}, {of}", part[metric]) for of, part in parts for metric in metrics if metric in part
        )


def _columns(columns: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    if columns:
        rows = [
            (
                word(one["column"]),
                word(one["input"]),
                Cell(one["measure"]),
                figure(one["value"]),
                figure(one["majority"]),
                count(one["rows"]),
            )
            for one in columns
        ]
        head = ("column", "input", "measure", "value", "largest class", "rows of the sample")
        yield Table("Columns that tell the label by themselves", head, fitting(rows, _ROWS, _BYTES), texts=3)


def _examples(found: Mapping[str, Any]) -> Iterator[Table]:
    """Some rows of each kind, to be found again in the data."""
    for which, (title, other, classes) in _EXAMPLES.items():
        if not found[which]:
            continue
        rows = [_example(row, other, classes) for row in found[which]]
        shown = fitting(rows, _ROWS, _BYTES)
        head = ("file", "other file", *(["label", "other label"] if classes else []), "row", "other row")
        yield Table(
            f"{title}: some of them",
            head,
            shown,
            texts=len(head) - 2,
            note=said(len(shown), len(rows), "rows"),
            folded=True,
        )


def _example(row: Mapping[str, Any], other: tuple[str, str], classes: Sequence[str]) -> tuple[Cell, ...]:
    labels = [Cell("none", tone="dim") if row[part] is None else word(row[part]) for part in classes]
    return word(row["file"]), word(row[other[0]]), *labels, count(row["row"]), count(row[other[1]])
