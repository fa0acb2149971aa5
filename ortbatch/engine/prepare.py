"""Preflight: everything that can be known before work starts, checked against some real rows.

Job, model and data are brought together once, here; what comes out is frozen, sent to every worker and written in the
report. Whatever is wrong with them is found here, before anything is written.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding, TensorSpec, bind_inputs, check_columns
from ortbatch.data.columns import INEXACT_VALUE, WRONG_LENGTH
from ortbatch.data.features import Features, new_buffers
from ortbatch.data.labels import Labels, bind_labels, check_label_names, fractional, label_family
from ortbatch.data.plan import Plan, Shard, make_plan
from ortbatch.data.reader import Block, read_shard
from ortbatch.data.storage import is_remote, local_path, read_bytes
from ortbatch.engine.evaluate import DecodedRows, Evaluation, decode
from ortbatch.errors import DataError, JobError, ModelError, Problem
from ortbatch.job import Job
from ortbatch.job.gates import check_class
from ortbatch.job.redaction import redact
from ortbatch.model.graph import Graph, read_graph
from ortbatch.model.outputs import Decision, Output, choose_output, settle_output
from ortbatch.model.session import OnnxModel
from ortbatch.model.tuning import batch_size_for

PREFLIGHT_ROWS = 256
_PLACES = 16
_TEXT_SHOWN = 40
THREADS = 1


@dataclass(frozen=True)
class ModelFile:
    """The model's bytes and what they are.

    Args:
        content: the ONNX file. sha256: its hash. where: what the job calls it.
        graph: what the file says of itself.
        inputs, outputs: what the session says.
        providers: execution providers of the session.
    """

    content: bytes
    sha256: str
    where: str
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    providers: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A job that can run.

    Args:
        job: what was asked.
        model: the model file.
        plan: the frozen plan.
        evaluation: what workers are given.
        decoded: the first rows, decoded, by which it was checked.
    """

    job: Job
    model: ModelFile
    plan: Plan
    evaluation: Evaluation
    decoded: DecodedRows

    @cached_property
    def evaluation_digest(self) -> str:
        """Sha256 of what the counts depend on: model, data plan, binding, output, threshold."""
        decision = self.evaluation.decision
        parts = {
            "model": self.model.sha256,
            "plan": self.plan.digest(),
            # How a thing was found is no part of what it is.
            "inputs": [asdict(replace(binding, how="")) for binding in self.evaluation.inputs],
            "labels": asdict(self.evaluation.labels),
            "decision": asdict(replace(decision, output=replace(decision.output, inferred=""))),
        }
        return _digest(parts)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What a shard's tally is a function of; two runs of one identity give the same counts."""
        return {
            "evaluation": self.evaluation_digest,
            "batch_size": str(self.evaluation.batch_size),
            "threads": str(THREADS),
            "providers": ",".join(self.model.providers),
            "onnxruntime": onnxruntime.__version__,
        }


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def prepare(job: Job) -> Prepared:
    """Check a job against its model and its data.

    Raises:
        ModelError: if the model cannot be loaded, or does not fit.
        DataError: if the data cannot be planned, or do not fit.
        StorageError: if storage failed.
    """
    file, model = open_model(job)
    output = choose_output(model.outputs, file.graph, job.model.output.name, job.model.output.kind)
    contract = _Contract(job, model.inputs)
    shard_rows = job.execution.shard_rows
    uris = [job.locate(path) for path in job.data.path]
    plan = make_plan(uris, None if shard_rows == "auto" else shard_rows, contract)
    _check_expected(job, plan)
    return _fit(job, file, model, plan, contract, output)


def open_model(job: Job) -> tuple[ModelFile, OnnxModel]:
    """Read the model file and load it once, as every worker will."""
    uri = job.locate(job.model.path)
    try:
        content = read_bytes(uri)
    except DataError as error:
        raise ModelError(f"model.path: {error}") from None
    graph = read_graph(content, uri)
    model = with_local_path(content, uri, lambda path: OnnxModel(path, job.model.providers, THREADS, uri))
    file = ModelFile(
        content, hashlib.sha256(content).hexdigest(), uri, graph, model.inputs, model.outputs, model.providers
    )
    return file, model


def with_local_path(content: bytes, uri: str, use: Callable[[Path], OnnxModel]) -> OnnxModel:
    """Load a model by path: where it lies if that is local, else from a copy that is gone afterwards.

    Raises:
        ModelError: if it cannot be loaded, or the file no longer has this content: its hash would name another model.
    """
    if not is_remote(uri):
        model = use(local_path(uri))
        if read_bytes(uri) != content:
            raise ModelError(f"{redact(uri)}: changed after the run began; run again when nobody writes it.")
        return model
    with tempfile.TemporaryDirectory(prefix="ortbatch-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        return use(path)


class _Contract:
    """Binds the inputs by the first schema that it sees, and holds every other schema to that."""

    def __init__(self, job: Job, inputs: tuple[TensorSpec, ...]) -> None:
        self._job = job
        self._specs = inputs
        self.schema: pa.Schema | None = None
        self.inputs: tuple[InputBinding, ...] = ()

    def __call__(self, where: str, schema: pa.Schema) -> None:
        label = self._job.data.label
        if self.schema is None:
            check_columns((), schema, label, redact(where))
            self.inputs = bind_inputs(self._specs, schema, self._job.model.inputs or {}, label)
        check_columns(self.inputs, schema, label, redact(where))
        if self.schema is None:
            self.schema = schema
        first, other = (label_family(s.field(label).type) for s in (self.schema, schema))
        if first != other:
            raise DataError(
                f"{redact(where)}: label column `{label}` holds {schema.field(label).type}; in the first file it holds "
                f"{self.schema.field(label).type}. Write both alike."
            )


def _check_expected(job: Job, plan: Plan) -> None:
    expect = job.data.expect
    for name, expected, got in (("rows", expect.rows, plan.rows), ("files", expect.files, len(plan.files))):
        if expected is not None and expected != got:
            raise DataError(f"data.expect.{name}: expected {expected:,}, found {got:,} in {', '.join(job.data.path)}.")


def _fit(
    job: Job, file: ModelFile, model: OnnxModel, plan: Plan, contract: _Contract, output: Output
) -> Prepared:  # fmt: skip
    """Send the first rows through the model and settle what only they can tell."""
    assert contract.schema is not None
    table = _first_rows(plan, contract.inputs, job.data.label)
    raw = _run_features(model, output, contract.inputs, table)
    output = settle_output(output, raw)
    field = contract.schema.field(job.data.label)
    labels = bind_labels(field, job.data.classes, job.data.label_is, output.classes)
    check_label_names(labels, field.type)
    if (broken := fractional(table.column(field.name))) is not None:
        raise DataError(
            f"label column `{field.name}` holds {broken}, which is no class: this is a regression task; ortbatch "
            "evaluates binary and multiclass classifiers."
        )
    decision = _decide(job, output, labels.classes)
    _check_gates(job, decision)
    batch_size = job.model.batch_size if job.model.batch_size != "auto" else batch_size_for(contract.inputs)
    evaluation = Evaluation(plan.files, contract.inputs, labels, decision, int(batch_size))
    decoded = decode(evaluation, table)
    _check_rows(evaluation, decoded, table)
    return Prepared(job, file, plan, evaluation, decoded)


def _first_rows(plan: Plan, inputs: tuple[InputBinding, ...], label: str) -> pa.Table:
    """The first rows; where none of them can be used, some further on: a run counts bad rows wherever they are."""
    columns = list(dict.fromkeys([*(name for binding in inputs for name in binding.columns), label]))
    tables: list[pa.Table] = []
    for block in _blocks(plan, plan.shards, columns):
        # Files may differ in integer width and the like: the first of a kind are enough.
        if tables and block.table.schema != tables[0].schema:
            break
        tables.append(block.table.slice(0, PREFLIGHT_ROWS - sum(table.num_rows for table in tables)))
        if sum(table.num_rows for table in tables) >= PREFLIGHT_ROWS:
            break
    first = pa.concat_tables(tables)
    if _usable(inputs, label, first).any():
        return first
    for block in _blocks(plan, plan.shards[:: -(-len(plan.shards) // _PLACES)], columns):
        usable = np.flatnonzero(_usable(inputs, label, block.table))
        if usable.size:
            return block.table.slice(int(usable[0]), PREFLIGHT_ROWS)
    return first


def _blocks(plan: Plan, shards: Sequence[Shard], columns: list[str]) -> Iterator[Block]:
    return (block for shard in shards for block in read_shard(plan.files, shard, columns))


def _usable(inputs: tuple[InputBinding, ...], label: str, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows have features that can be used, and a label."""
    good = ~np.asarray(table.column(label).is_null(nan_is_null=True))
    for mask in Features(inputs, table).bad.values():
        good = good & ~mask
    return good


def _run_features(model: OnnxModel, output: Output, inputs: tuple[InputBinding, ...], table: pa.Table) -> NDArray[Any]:
    """Raw outputs for the rows whose features are good."""
    features = Features(inputs, table)
    good = np.ones(features.rows, np.bool_)
    for mask in features.bad.values():
        good &= ~mask
    inexact = features.bad.get(INEXACT_VALUE)
    if inexact is not None and not all(binding.cast.lossy for binding in inputs):
        raise DataError(
            f"row {int(np.flatnonzero(inexact)[0])} of the data holds a number that the model's input type cannot hold "
            f"exactly. Columns: {_some_columns(inputs)}. `cast: lossy` in `model.inputs` allows rounding."
        )
    if not good.any():
        reasons = ", ".join(sorted(features.bad))
        hint = _wrong_length(inputs, table) if WRONG_LENGTH in features.bad else ""
        raise DataError(f"none of the first {features.rows} rows has usable features ({reasons}){hint}.")
    features.keep(np.flatnonzero(good))
    raw = model.run(output.name, features.batch(0, features.rows, new_buffers(inputs, features.rows)))
    if raw.ndim == 0 or len(raw) != features.rows:
        raise ModelError(
            f"output `{output.name}` has shape {list(raw.shape)} for a batch of {features.rows} rows; its first "
            "dimension must be the batch."
        )
    return raw


def _wrong_length(inputs: tuple[InputBinding, ...], table: pa.Table) -> str:
    for binding in (binding for binding in inputs if binding.is_list):
        found = pc.list_value_length(table.column(binding.columns[0])).drop_null().unique().to_pylist()
        if wrong := sorted(set(found) - {binding.width}):
            shown = ", ".join(map(str, wrong[:5]))
            return (
                f": column `{binding.columns[0]}` holds lists of {shown}; input `{binding.name}` needs "
                f"{binding.width}; ragged lists are not available yet"
            )
    return ""


def _some_columns(inputs: tuple[InputBinding, ...]) -> str:
    names = [name for binding in inputs for name in binding.columns]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _decide(job: Job, output: Output, classes: tuple[str, ...]) -> Decision:
    """Task, positive class and threshold."""
    if output.classes is not None and output.classes != len(classes):
        raise ModelError(
            f"output `{output.name}` of the model scores {output.classes} classes, `data.classes` names "
            f"{len(classes)}: {', '.join(classes[:10])}."
        )
    if len(classes) == 2:
        name = job.data.positive if job.data.positive is not None else classes[1]
        if name not in classes:
            raise DataError(f"data.positive: `{name}` is none of the classes {', '.join(classes)}.")
        return Decision(output, classes, classes.index(name), job.threshold)
    if job.data.positive is not None or "threshold" in job.model_fields_set:
        raise DataError(f"`data.positive` and `threshold` are for two classes; this task has {len(classes)}.")
    return Decision(output, classes, None, job.threshold)


def _check_gates(job: Job, decision: Decision) -> None:
    """Now that the classes are known, hold the gates against them."""
    problems = []
    for number, gate in enumerate(job.gates):
        try:
            check_class(gate, decision.classes)
        except ValueError as error:
            problems.append(Problem(str(gate), f"gates.{number}", str(error)))
    if problems:
        raise JobError(problems)


def _check_rows(evaluation: Evaluation, decoded: DecodedRows, table: pa.Table) -> None:
    if len(decoded.labels):
        return
    labels: Labels = evaluation.labels
    seen = _some_values(table.column(labels.column))
    reasons = ", ".join(f"{reason}: {rows}" for reason, rows in sorted(decoded.rejected.items()))
    raise DataError(
        f"none of the first {table.num_rows} rows can be evaluated ({reasons}). Label column `{labels.column}` "
        f"holds {seen}; classes, by {labels.by}: {', '.join(labels.classes[:10])}."
    )


def _some_values(column: pa.ChunkedArray) -> str:
    """A few values of a column, for a message."""
    try:
        return ", ".join(str(value)[:_TEXT_SHOWN] for value in column.unique()[:5].to_pylist())
    except UnicodeDecodeError:
        return "text that is not UTF-8"
