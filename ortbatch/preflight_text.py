"""What `ortbatch check` says: how the job fits model and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ortbatch.report.format import name

if TYPE_CHECKING:
    from ortbatch.engine.prepare import Prepared

_HOW = {"job": "the job says so", "name": "same name", "order": "numeric columns in file order"}


def print_prepared(prepared: Prepared, console: Console) -> None:
    """Print plan, binding, output and classes; names are shown as they are, never as markup, and inert."""
    plan, evaluation = prepared.plan, prepared.evaluation
    decision = evaluation.decision
    console.print(Text("OK", "bold green"), Text(f"{prepared.job.name} can run"))
    console.print(Text(f"data: {plan.rows:,} rows in {len(plan.files):,} files, {len(plan.shards):,} shards"))
    graph, providers = prepared.model.graph, ", ".join(prepared.model.providers)
    maker = name(graph.producer) or "unknown producer"
    console.print(Text(f"model: sha256 {prepared.model.sha256[:12]}, opset {graph.opset}, {maker}, {providers}"))
    console.print(_binding(prepared))
    output = decision.output
    console.print(Text(f"output: {name(output.name)}, {output.kind} (by {output.inferred}), {output.columns} a row"))
    task = (
        "multiclass" if decision.positive is None else f"binary, positive {name(decision.classes[decision.positive])}"
    )
    shown = _some(decision.classes, 12)
    console.print(Text(f"task: {task}; {len(decision.classes)} classes: {shown}"))
    labels = evaluation.labels
    console.print(Text(f"label: column {name(labels.column)}, by {labels.by}; batch size {evaluation.batch_size:,}"))
    rejected = prepared.decoded.rejected
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in sorted(rejected.items())) or "none rejected"
    good = len(prepared.decoded.labels)
    console.print(Text(f"first rows: {good + sum(rejected.values()):,} read, {good:,} good, {reasons}"))


def _binding(prepared: Prepared) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("input", "type", "row shape", "columns", "how"):
        table.add_column(column, overflow="fold")
    for binding in prepared.evaluation.inputs.bound:
        columns = _some(binding.columns, 8)
        shape = "×".join(map(str, binding.row_shape)) or "scalar"
        cells = (name(binding.name), binding.cast.dtype, shape, columns, _HOW[binding.how])
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(name(text) for text in names[:most]) + (f", … ({len(names):,})" if len(names) > most else "")
