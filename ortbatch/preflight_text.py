"""What `ortbatch check` says: how the job fits model and data, what else a run reads, and about what it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ortbatch.api import Options, choose_engine
from ortbatch.preflight import Preflight, needed
from ortbatch.report.format import name

if TYPE_CHECKING:
    import pyarrow as pa

    from ortbatch.data.binding import InputBinding
    from ortbatch.engine.baselines import Baseline
    from ortbatch.engine.joining import JoinFacts
    from ortbatch.engine.prepared import Prepared, PreparedBaseline

_HOW = {"job": "job", "name": "same name", "order": "file order"}


def print_preflight(found: Preflight, console: Console) -> None:
    """Print all of it; names are shown as they are, never as markup, and inert."""
    print_prepared(found.prepared, console)
    for line in (*_others(found), *_expected(found)):
        console.print(Text(line))
    if found.prepared.job.gates:
        console.print(_gates(found))


def _others(found: Preflight) -> Iterator[str]:
    """What a run reads besides the evaluation data."""
    training = found.training
    if training is not None:
        asked = training.checks
        checks = [name for name, wanted in (("leakage", asked.leakage), ("overfitting", asked.overfitting)) if wanted]
        labels = "" if training.no_labels is None else f"; labels cannot be read: {name(training.no_labels, 200)}"
        rows = f"{training.plan.rows:,} rows in {len(training.plan.files):,} files"
        yield f"training data: {rows}, for {' and '.join(checks)}{labels}"
    for baseline, entry in found.earlier.items():
        missing = entry.get("missing")
        said = f"run {entry['path']}" if missing is None else f"no run: {missing}"
        yield f"baseline {name(baseline)}: {name(said, 200)}"


def _expected(found: Preflight) -> Iterator[str]:
    """Time and memory: estimates, and what they were made of."""
    rehearsal, expected = found.rehearsal, found.forecast
    if rehearsal is None or expected is None:
        yield f"time and memory: not estimated: {name(found.not_timed or '', 300)}"
        return
    read = rehearsal.group_rows
    layout, latency = found.layout, found.prepared.job.latency.max_seconds
    yield (
        f"time, estimated: {seconds(expected.pass_s)} for the pass at {expected.rows_per_s:,.0f} rows/s, on "
        f"{layout.workers:,} × {layout.streams:,} streams of this machine"
        + (f"; {seconds(expected.start_s)} for Ray to start" if expected.start_s else "")
        + (f"; single predictions at most {seconds(latency)}" if found.prepared.joined is None else "")
    )
    parts = (("libraries", expected.base_bytes), ("sessions", expected.session_bytes),
             ("row groups", expected.groups_bytes), ("batches", expected.batch_bytes))  # fmt: skip
    shares = ", ".join(f"{part} {_size(size)}" for part, size in parts)
    yield f"memory, estimated: {_size(expected.worker_bytes)} a worker: {shares}"
    yield (
        f"estimated from {rehearsal.rows:,} rows by one stream: reading takes {_micro(rehearsal.read_s, read)} a row, "
        f"all else {_micro(rehearsal.other_s, rehearsal.rows)}; other rows and a busy machine change it"
    )


def seconds(value: float) -> str:
    """A duration as people say it.

    >>> seconds(0.31), seconds(75), seconds(7300)
    ('0.3 s', '1.2 min', '2 h')
    """
    if value < 60:
        return f"{value:.1g} s" if value < 1 else f"{value:.2g} s"
    return f"{value / 60:.2g} min" if value < 3600 else f"{value / 3600:.2g} h"


def _micro(spent: float, rows: int) -> str:
    return f"{spent / rows * 1e6:,.3g} µs"


def _size(value: int) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 1 << 30 else f"{max(1, round(value / 2**20)):,} MiB"


def _gates(found: Preflight) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("gate", "needs"):
        table.add_column(column, overflow="fold")
    plan, size = found.prepared.plan, found.prepared.evaluation.batch_size
    for gate in found.prepared.job.gates:
        needs, lacks = needed(gate, plan.rows, size)
        table.add_row(Text(name(str(gate), 100)), Text(f"{needs}: this run cannot decide it" if lacks else needs))
    return table


def print_prepared(prepared: Prepared, console: Console) -> None:
    """Print plan, binding, output and classes; names are shown as they are, never as markup, and inert."""
    plan, evaluation = prepared.plan, prepared.evaluation
    decision = evaluation.decision
    console.print(Text("OK", "bold green"), Text(f"{name(prepared.job.name, 100)} can run"))
    console.print(Text(f"data: {plan.rows:,} rows in {len(plan.files):,} files, {len(plan.shards):,} shards"))
    graph, providers = prepared.model.graph, ", ".join(prepared.model.providers)
    maker = name(graph.producer) or "unknown producer"
    if prepared.joined is None:
        console.print(Text(f"model: sha256 {prepared.model.sha256[:12]}, opset {graph.opset}, {maker}, {providers}"))
        console.print(_binding(prepared))
    else:
        console.print(Text(_joined(prepared.joined)))
    output = decision.output
    console.print(Text(f"output: {name(output.name)}, {output.kind} (by {output.inferred}), {output.columns} a row"))
    task = (
        "multiclass" if decision.positive is None else f"binary, positive {name(decision.classes[decision.positive])}"
    )
    shown = _some(decision.classes, 12)
    console.print(Text(f"task: {task}; {len(decision.classes)} classes: {shown}"))
    labels = evaluation.labels
    console.print(Text(f"label: column {name(labels.column)}, by {labels.by}"))
    for cut in evaluation.cuts:
        pooled = f", {cut.pooled:,} rarer ones together" if cut.pooled else ""
        console.print(Text(f"slices: by {_some(cut.by, 8)}: {len(cut.values):,}{pooled}"))
    company = f"{prepared.dependence.labels:,} of {prepared.dependence.rows:,}"
    size = f"{evaluation.batch_size:,} (by {prepared.batch_size_by}: {prepared.tuning.why})"
    console.print(Text(f"batch size: {size}; labels that depend on the batch: {company}"))
    for baseline, about in zip(evaluation.baselines, prepared.baselines, strict=True):
        console.print(Text(f"baseline {name(baseline.name)}: {_beside(baseline, about)}"))
    engine, why = choose_engine(prepared, Options())
    console.print(Text(f"engine: {engine} ({why})"))
    rejected = {reason: len(places) for reason, places in prepared.decoded.rejected.items()}
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in sorted(rejected.items())) or "none rejected"
    good = len(prepared.decoded.labels)
    console.print(Text(f"first rows: {good + sum(rejected.values()):,} read, {good:,} good, {reasons}"))


def _joined(joined: JoinFacts) -> str:
    """Whose scores are stored, and how many rows have some."""
    met = joined.met
    return (
        f"scores: {met.scored:,} stored ones of model {name(joined.model_sha256[:12])}; {met.matched:,} of "
        f"{met.rows:,} rows have one by their id, {met.duplicate_ids:,} ids stand twice"
    )


def _beside(baseline: Baseline, about: PreparedBaseline) -> str:
    """What a baseline is, what it is fed, and what it puts out."""
    fed = "fed what the model is fed" if baseline.takes_the_models_feed else f"of {_some(baseline.columns, 8)}"
    output = baseline.decision.output
    found = about.dependence
    company = "" if found is None or not found.matters else "; its labels depend on the batch"
    return f"{baseline.kind}, {fed}, {output.kind} (by {output.inferred}), {output.columns} a row{company}"


def _binding(prepared: Prepared) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("input", "type", "row", "columns", "of type", "cast", "null", "how"):
        table.add_column(column, overflow="fold")
    inputs = prepared.evaluation.inputs
    for binding in inputs.bound:
        fed = (_shape(binding), _fed_by(binding), _types(prepared, binding.columns), *_care(binding))
        cells = (name(binding.name), name(binding.cast.dtype), *fed, _HOW[binding.how])
        table.add_row(*(Text(cell) for cell in cells))
    for spec in inputs.made:
        function = name(inputs.transform.function) if inputs.transform else ""
        columns = _some(inputs.transform.columns, 8) if inputs.transform else ""
        held = _types(prepared, inputs.transform.columns) if inputs.transform else ""
        shape = "×".join("?" if dim is None else str(dim) for dim in spec.shape[1:])
        cells = (name(spec.name), name(spec.dtype), shape, columns, held, "", "", function)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _types(prepared: Prepared, columns: Sequence[str]) -> str:
    """Arrow types of columns, each once; of how many columns where there are several types. A list is `float[8][?]`."""
    kinds = Counter(_type(prepared.schema.field(column).type) for column in columns)
    return ", ".join(name(kind) if len(kinds) == 1 else f"{rows} {name(kind)}" for kind, rows in kinds.items())


def _type(kind: pa.DataType) -> str:
    from ortbatch.data.lists import leaf, lengths_of

    return str(leaf(kind)) + "".join(f"[{'?' if length is None else length}]" for length in lengths_of(kind))


def _care(binding: InputBinding) -> tuple[str, str]:
    """How values are cast, and what becomes of nulls."""
    if not binding.columns:
        return "", ""
    kept = "NaN" if binding.cast.dtype.startswith("float") else "rejected"
    null = kept if binding.cast.null is None else str(binding.cast.null)
    return "lossy" if binding.cast.lossy else "exact", null


def _shape(binding: InputBinding) -> str:
    """The shape of a row; 0 stands for a length that each batch has for itself."""
    return "×".join("longest" if size == 0 else str(size) for size in binding.row_shape) or "scalar"


def _fed_by(binding: InputBinding) -> str:
    if binding.fill is not None:
        return f"filled with {binding.fill:g}"
    if binding.like is not None:
        return f"mask of {name(binding.like)}"
    padded = f", padded with {binding.padding.value:g}" if binding.padding is not None else ""
    return _some(binding.columns, 8) + padded


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(name(text) for text in names[:most]) + (f", … ({len(names):,})" if len(names) > most else "")
