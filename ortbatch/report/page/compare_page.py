"""The page of two runs compared: what is limited, every metric with its difference, and what else is not the same.

A pure function of what `Comparison.data` holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.compare_text import signed
from ortbatch.report.format import name
from ortbatch.report.page.blocks import Cell, Section, Sentence, Table, Tone, count, word
from ortbatch.report.page.compare_metrics import URGENCY, classes, differences
from ortbatch.report.page.doubts import between
from ortbatch.report.page.page import page
from ortbatch.report.page.room import fitting, said

_STATUS = {0: "passed", 1: "failed", 4: "inconclusive"}
_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "inconclusive": "doubt", "compared": "dim"}
_SAID = 6
_ROWS, _BYTES = 250, 100_000
_SEARCH_ABOVE = 20


def compare_page(data: Mapping[str, Any]) -> str:
    """Two runs compared, as HTML."""
    of_all = [entry for entry in data["metrics"] if "[" not in entry["metric"]]
    of_class = [entry for entry in data["metrics"] if "[" in entry["metric"]]
    made = (
        _limits(data),
        differences(data, of_all),
        classes(data, of_class),
        _pairs(data),
        _runs(data),
        _changed(data),
    )
    title = f"{name(data['new']['name'], 60)}: {name(data['new']['run'], 60)} against {name(data['old']['run'], 60)}"
    return page("compare.html", title, [section for section in made if section is not None], {"head": _head(data)})


def _head(data: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at the top: the verdict on limits, or how many metrics moved."""
    limits = sorted(data["limits"], key=lambda limit: ("failed", "inconclusive", "passed").index(limit["outcome"]))
    status = _STATUS[data["exit_code"]] if limits else "compared"
    verdicts = [entry["verdict"] for entry in data["metrics"] if "[" not in entry["metric"]]
    counts = [f"{verdicts.count(word)} {word}" for word in URGENCY if word in verdicts]
    told = [
        {
            "outcome": limit["outcome"],
            "tone": _TONES[limit["outcome"]],
            "gate": word(limit["gate"]),
            "why": Sentence(str(limit["why"])),
        }
        for limit in limits
    ]
    return {
        "status": status,
        "tone": _TONES[status],
        "words": f"Of {len(verdicts):,} metrics of all rows: {', '.join(counts)}.",
        "about": _how(data),
        "limits": told[:_SAID],
        "more": max(0, len(told) - _SAID),
    }


def _how(data: Mapping[str, Any]) -> str:
    """Are differences of the same rows?"""
    pairs = data["pairs"]
    if pairs["paired"]:
        return f"Paired: accuracy and recall are compared on the same {pairs['rows']:,} rows, row by row."
    return f"Unpaired, as independent samples of rows: {name(pairs['why'], 300)}."


def _limits(data: Mapping[str, Any]) -> Section | None:
    if not data["limits"]:
        return None
    rows = [
        (
            Cell(limit["outcome"], tone=_TONES[limit["outcome"]], mark=True),
            word(limit["gate"]),
            Cell(signed(limit["value"]), limit["value"]),
            Cell(between(limit["ci"])),
            Cell(f"{limit['op']} {limit['limit']:g}"),
            word(str(limit["why"])),
        )
        for limit in data["limits"]
    ]
    head = ("outcome", "limit", "difference", "95% interval", "allowed", "why")
    intro = Sentence("What a metric may lose at most; a loss is a fall, or a rise where lower is better.")
    return Section("limits", "Limits", [intro, Table("Limits", head, fitting(rows, _ROWS, _BYTES), texts=2, ends=1)])


def _pairs(data: Mapping[str, Any]) -> Section | None:
    """Of the same rows: who is right where, in all and by class."""
    pairs = data["pairs"]
    if not pairs["paired"]:
        return None
    alone = pairs["only_evaluated_by"]
    intro = Sentence(
        f"{pairs['rows']:,} rows that both runs evaluated, side by side; {pairs['flipped']:,} of "
        f"{pairs['predicted_by_both']:,} rows got another prediction. Only the old run evaluated {alone['old']:,}, "
        f"only the new one {alone['new']:,}."
    )
    rows = [
        (Cell("new right"), count(pairs["both_right"]), count(pairs["only_new_right"])),
        (Cell("new wrong"), count(pairs["only_old_right"]), count(pairs["both_wrong"])),
    ]
    chance = "how likely chance alone parts the rows that only one has right as unevenly, or more"
    note = f"McNemar's mid-p {pairs['mcnemar_mid_p']:.3g}: {chance}."
    joint = Table("Who is right, in rows", ("", "old right", "old wrong"), rows, note=note)
    return Section("pairs", "Row by row", [intro, joint, *_pairs_of_classes(pairs["per_class"])])


def _pairs_of_classes(classes: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    found = sorted(
        (row for row in classes if row["rows"]), key=lambda row: -(row["only_old_right"] + row["only_new_right"])
    )
    rows = [
        (
            word(row["class"]),
            *(count(row[part]) for part in ("rows", "both_right", "only_old_right", "only_new_right", "both_wrong")),
            Cell(signed(row["difference"]), row["difference"]),
            Cell(between(row["ci"])),
        )
        for row in found[:_ROWS]
    ]
    shown = fitting(rows, _ROWS, _BYTES)
    head = (
        "class",
        "rows",
        "both right",
        "only old right",
        "only new right",
        "both wrong",
        "recall differs by",
        "interval",
    )
    note = said(len(shown), len(found), "classes")
    yield Table("By true class", head, shown, note=note, folded=True, search=len(found) > _SEARCH_ABOVE)


def _runs(data: Mapping[str, Any]) -> Section:
    sides = [data["old"], data["new"]]
    lines = (
        ("run", "run"),
        ("name", "name"),
        ("started", "started_at"),
        ("status", "status"),
        ("model", "model_sha256"),
        ("data", "data_digest"),
    )
    rows = [(Cell(title), *(word(_short(side[part])) for side in sides)) for title, part in lines]
    rows.append((Cell("rows"), *(count(side["rows"]) for side in sides)))
    same = (
        "Both looked at the same rows in the same way."
        if data["rows"]["same"]
        else f"They did not look at the same rows: {data['rows']['why']}."
    )
    return Section("runs", "The two runs", [Sentence(same), Table("The two runs", ("", "old", "new"), rows, texts=3)])


def _changed(data: Mapping[str, Any]) -> Section:
    """What the two do not have in common."""
    changes = data["changed"]
    if not changes:
        return Section(
            "changed", "What changed", [Sentence("Nothing: the same model, data, job, versions and processor.")]
        )
    rows = [(word(change["what"]), word(_short(change["old"])), word(_short(change["new"]))) for change in changes]
    shown = fitting(rows, _ROWS, _BYTES)
    note = said(len(shown), len(rows), "changes")
    table = Table("What changed", ("what", "old", "new"), shown, texts=3, note=note, search=len(rows) > _SEARCH_ABOVE)
    return Section("changed", "What changed", [Sentence("What the two runs do not have in common."), table])


def _short(value: object) -> str:
    """A digest by its beginning, nothing for null, other things as JSON."""
    if isinstance(value, str):
        return value[:12] if len(value) == 64 else value
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
