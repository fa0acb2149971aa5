"""Two runs compared, for a terminal: what is limited and what changed first, then the metrics.

Made to be read in 80 columns. Names are shown as they are, never as markup, and cannot move the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ortbatch.report.compare import BETTER, NOT_SIGNIFICANT, UNKNOWN, WORSE
from ortbatch.report.format import name, number
from ortbatch.report.sheet import sheet

_CLASSES_UP_TO = 20
_CHANGES_UP_TO = 30
_COLOURS = {BETTER: "green", WORSE: "bold red", NOT_SIGNIFICANT: "dim", UNKNOWN: "dim"}
_OUTCOMES = {"passed": "green", "failed": "bold red", "inconclusive": "yellow"}


def print_comparison(data: Mapping[str, Any], console: Console) -> None:
    """Print what `Comparison.data` holds."""
    parts = (_runs(data), _changed(data), _rows(data), _limits(data), _metrics(data))
    for part in (part for each in parts for part in each):
        console.print(part)


def signed(value: float | None) -> str:
    """A difference with its sign.

    >>> signed(0.01), signed(-0.25), signed(0.0), signed(None)
    ('+0.0100', '-0.2500', '0.0000', '–')
    """
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def _runs(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    for side in ("old", "new"):
        run = data[side]
        yield Text(
            f"{side}  {name(run['run'], 60)}: {name(run['name'])}, {run['status']}, {run['rows']:,} rows, model "
            f"{name(run['model_sha256'][:12])}"
        )
    yield ""


def _changed(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    changes = data["changed"]
    if not changes:
        yield Text("Nothing changed: the same model, data, job, versions and processor.")
    for change in changes[:_CHANGES_UP_TO]:
        old, new = (name(_short(change[side]), 60) for side in ("old", "new"))
        yield Text(f"changed: {name(change['what'], 80)}: {old} → {new}")
    if len(changes) > _CHANGES_UP_TO:
        yield Text(f"changed: {len(changes) - _CHANGES_UP_TO:,} more; --json has them")
    yield ""


def _short(value: object) -> str:
    if isinstance(value, str):
        return value[:12] if len(value) == 64 else value
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _rows(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    pairs = data["pairs"]
    if not pairs["paired"]:
        yield Text(f"Compared as independent samples of rows ({name(pairs['why'], 300)}).")
        yield ""
        return
    yield Text(
        f"The same {pairs['rows']:,} rows, paired: {pairs['both_right']:,} right in both, {pairs['only_old_right']:,} "
        f"only in old, {pairs['only_new_right']:,} only in new, {pairs['both_wrong']:,} in neither; McNemar's mid-p "
        f"{pairs['mcnemar_mid_p']:.3g}"
    )
    alone = pairs["only_evaluated_by"]
    if alone["old"] or alone["new"]:
        yield Text(f"not paired: {alone['old']:,} rows that only old evaluated, {alone['new']:,} that only new did")
    yield Text(f"{pairs['flipped']:,} of {pairs['predicted_by_both']:,} rows got another prediction")
    yield ""


def _limits(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    for limit in data["limits"]:
        line = Text(limit["outcome"].upper() if limit["outcome"] == "failed" else limit["outcome"])
        line.stylize(_OUTCOMES[limit["outcome"]])
        yield line.append(f"  {name(limit['gate'], 60)}: {name(str(limit['why']), 300)}", "not bold default")
    if data["limits"]:
        yield ""


def _metrics(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    of_all = [entry for entry in data["metrics"] if "[" not in entry["metric"]]
    of_class = [entry for entry in data["metrics"] if "[" in entry["metric"]]
    moved = [entry for entry in of_class if entry["verdict"] in (BETTER, WORSE)]
    if len(of_class) > _CLASSES_UP_TO * 6:
        of_class = sorted(moved, key=lambda entry: -abs(entry["difference"]))[: _CLASSES_UP_TO * 2]
    yield _table(data, [entry for entry in (*of_all, *of_class) if (entry["old"], entry["new"]) != (None, None)])
    told = sum(entry["ci"] is not None for entry in data["metrics"])
    yield Text(
        f"{data['confidence']:.12g} intervals of new - old. {told:,} metrics have one: where nothing changed, about "
        f"{told * (1 - data['confidence']):.1f} of them would leave out 0 by chance. They know of rows and runs only, "
        "not of how busy a machine was.",
        "dim",
    )


def _table(data: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> Table:
    shown = sheet("metric", "old", "new", "new - old", f"{data['confidence'] * 100:.12g}% interval", "verdict")
    shown.columns[5].justify = "left"
    for entry in entries:
        ci = "" if entry["ci"] is None else f"{signed(entry['ci'][0])}…{signed(entry['ci'][1])}"
        shown.add_row(
            Text(name(entry["metric"], 30)),
            *(number(entry[side]) for side in ("old", "new")),
            signed(entry["difference"]),
            ci,
            Text(entry["verdict"], _COLOURS[entry["verdict"]]),
        )
    return shown
