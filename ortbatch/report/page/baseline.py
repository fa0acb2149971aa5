"""One model that ran beside this one: who is right where they differ, how far scores lie apart, which rows differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Fragment, Table, count, figure, word
from ortbatch.report.page.doubts import difference, doubts, starred
from ortbatch.report.page.room import fitting, key, said

_SCORES = ("mean", "rms", "p50", "p90", "p99", "p99_9", "max")
_ROWS = 60
_SEARCH_ABOVE = 10
Entry = Mapping[str, Any]


def about(title: str, entry: Entry, size: int) -> Iterator[Block]:
    """One baseline: what fits into so many bytes."""
    yield Fragment("heading.html", {"text": f"Beside {name(title, 60)}"})
    yield _joint(entry)
    yield from _unusable(entry)
    yield from _scores(title, entry)
    yield from _moved(entry)
    for table in (_rows(entry, "flipped"), _rows(entry, "worst"), _classes(entry), _slices(title, entry)):
        if table is not None:
            yield _cut(table, size // 4)


def _cut(table: Table, size: int) -> Table:
    rows = fitting(table.rows, _ROWS, size)
    note = said(len(rows), len(table.rows), "lines")
    return Table(table.title, table.head, rows, table.texts, note, folded=True, search=len(rows) > _SEARCH_ABOVE)


def _joint(entry: Entry) -> Table:
    joint = entry["joint"]
    rows = [
        (Cell("this model right"), count(joint["both_right"]), count(joint["only_model_right"])),
        (Cell("this model wrong"), count(joint["only_baseline_right"]), count(joint["both_wrong"])),
    ]
    alone = joint["only_model_right"] + joint["only_baseline_right"]
    note = (
        f"Were both equally good, chance alone would part the {alone:,} rows that only one has right as unevenly, or "
        f"more, with probability {joint['mcnemar_p']:.2g} (McNemar's mid-p)."
    )
    return Table("Who is right, in rows", ("", "the other right", "the other wrong"), rows, note=note)


def _unusable(entry: Entry) -> Iterator[Block]:
    if entry["unusable"]:
        rows = [(word(reason), count(rows)) for reason, rows in entry["unusable"].items()]
        yield Table("Rows that it could not do", ("reason", "rows"), rows)


def _scores(title: str, entry: Entry) -> Iterator[Block]:
    """How far probabilities lie apart, the largest difference of each row."""
    if (scores := entry.get("scores")) is None:
        return
    rows = [
        (Cell(which.replace("_", ".")), *starred(scores[which], key(f"fidelity.{which}_difference", title)))
        for which in _SCORES
    ]
    head = ("over the rows", "difference", "95% interval")
    yield Table("Differences of the probabilities, the largest of each row", head, rows, folded=True)
    yield from doubts((which, scores[which]) for which in _SCORES)
    above = [
        (Cell(f"more than {part['tolerance']:g}"), count(part["rows"]), *starred(part["share"]))
        for part in scores["above"]
    ]
    yield Table("Rows whose probabilities differ", ("by", "rows", "share", "95% interval"), above, folded=True)


def _moved(entry: Entry) -> Iterator[Block]:
    """Classes that seem to have other names."""
    if (permutation := entry.get("permutation")) is not None:
        rows = [
            (
                word(pair["baseline"]),
                word(pair["model"]),
                *(count(pair[part]) for part in ("rows", "of_baseline", "of_model")),
            )
            for pair in permutation["moved"]
        ]
        head = ("the other's class", "this model's class", "rows", "of the other's", "of this model's")
        yield Table(
            "With these other names of its classes more rows would agree", head, fitting(rows, _ROWS, 20_000), texts=2
        )


def _rows(entry: Entry, which: str) -> Table | None:
    """Single rows, to be found again in the data."""
    titles = {"flipped": "Rows whose predictions differ", "worst": "Rows whose probabilities differ most"}
    found = entry[which]
    if not found:
        return None
    head = ("file", "label", "this model", "the other", "row", "p of", "this model's", "the other's", "difference")
    scored = any("difference" in row for row in found)
    return Table(titles[which], head if scored else head[:5], [_line(row, scored=scored) for row in found], texts=4)


def _line(row: Mapping[str, Any], *, scored: bool) -> tuple[Cell, ...]:
    where = (word(row["file"]), *(word(row[part]) for part in ("label", "predicted", "baseline")), count(row["row"]))
    if not scored:
        return where
    scores = [figure(row.get(part)) for part in ("score", "baseline_score", "difference")]
    return *where, word(row.get("class", "")), *scores


def _classes(entry: Entry) -> Table | None:
    """Classes with rows that flip, most first."""
    found = sorted((row for row in entry["per_class"] if row["flips"]), key=lambda row: -row["flips"])
    rows = [
        (
            word(row["class"]),
            *(count(row[part]) for part in ("support", "flips", "only_model_right", "only_baseline_right")),
            *(figure(row["recall"][side]) for side in ("model", "baseline")),
            *difference(row["recall"]["difference"]),
        )
        for row in found[: 2 * _ROWS]
    ]
    head = (
        "class",
        "rows",
        "flips",
        "only this right",
        "only the other",
        "recall",
        "of the other",
        "difference",
        "95% interval",
    )
    return Table("Classes with rows that flip", head, rows) if rows else None


def _slices(title: str, entry: Entry) -> Table | None:
    """Slices, those that agree least first, as the report has them."""
    rows = [
        (
            word(part["name"]),
            count(part["rows"]),
            *starred(part["agreement"], key("fidelity.agreement", title, part["slice"].items())),
            *difference(
                part["accuracy"]["difference"], key("fidelity.accuracy_difference", title, part["slice"].items())
            ),
        )
        for part in entry.get("slices", [])[: 2 * _ROWS]
    ]
    head = ("slice", "rows", "agreement", "95% interval", "accuracy differs by", "95% interval")
    return Table("Slices, those that agree least first", head, rows) if rows else None
