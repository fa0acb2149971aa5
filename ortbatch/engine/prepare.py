"""Preflight: everything that can be known before work starts, checked against some real rows.

Job, model and data are brought together once, here; what comes out is frozen, sent to every worker and written in the
report. Whatever is wrong with them is found here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from ortbatch.data.features import new_buffers
from ortbatch.data.labels import (
    Labels,
    bind_labels,
    check_label_names,
    fractional,
    is_integer_name,
)
from ortbatch.data.plan import Plan, make_plan, sampled
from ortbatch.data.survey import are_cuts_of, survey
from ortbatch.data.transform import Transform, read_transform
from ortbatch.engine.baseline_setup import Opened, is_model
from ortbatch.engine.contract import Contract
from ortbatch.engine.evaluation import DecodedRows, Evaluation, decode
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.engine.host import available_cpus
from ortbatch.engine.layout import Node, lay_out
from ortbatch.engine.predictions import WRITTEN, Kept
from ortbatch.engine.prepared import THREADS, ModelFile, Prepared, Settled
from ortbatch.engine.probe import (
    affordable,
    batch_dependence,
    first_rows,
    run_in_batches,
    usable_features,
    without_loose_label,
)
from ortbatch.engine.tune import TUNED_FROM_ROWS, tune
from ortbatch.engine.turned import provable_columns
from ortbatch.errors import Complaints, DataError, JobError, ModelError, Problem
from ortbatch.job import Job
from ortbatch.job.gates import check_class, check_slice
from ortbatch.model.outputs import Decision, Output, choose_output, settle_output
from ortbatch.model.own_label import settle_by_place
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load, open_source
from ortbatch.model.tuning import Tuning, batch_size_for, ladder, most_rows_for

_TEXT_SHOWN = 40
_WHY = {
    "job": "`model.batch_size`",
    "model": "the only one that the model takes",
    "rule": f"256 KiB of inputs; fewer than {TUNED_FROM_ROWS:,} rows are not tuned",
    "batch_dependent": "predictions depend on the batch",
}


def prepare(job: Job, there: Settled | None = None) -> Prepared:
    """Check a job against its model and its data.

    Args:
        job: what is asked.
        there: what the run that the folder holds has settled: its batch size, where that could have been tuned to, and
            its slices, where data and cuts are the same.

    Raises:
        ModelError: if the model cannot be loaded, or does not fit.
        DataError: if the data cannot be planned, or do not fit.
        PreflightError: if several of these are so.
        StorageError: if storage failed.
    """
    complaints = Complaints()
    opened = output = plan = transform = None
    beside: list[Opened] = []
    with complaints.heard():
        transform = _transform(job)
    with complaints.heard():
        opened = open_model(job)
    if opened is not None:
        file, model = opened
        with complaints.heard():
            output = choose_output(model.outputs, file.graph, job.model.output.name, job.model.output.kind)
    bindable = opened is not None and (transform is not None or job.model.transform is None)
    contract = Contract(job, opened[1].inputs if opened is not None and bindable else None, transform)
    for name, spec in job.baselines.items():
        if is_model(spec):
            with complaints.heard():
                beside.append(Opened(job, name, spec, opened and opened[0]))
    with complaints.heard():
        plan = _plan(job, contract, beside)
    complaints.raise_all()
    # Whatever is None by now was complained of.
    assert opened is not None
    assert output is not None
    assert plan is not None
    there = there or Settled()
    try:
        prepared = _cut(_with_baselines(_fit(job, *opened, plan, contract, output), beside), there)
        return _tuned(prepared, opened[1], there.batch_size)
    except MemoryError as error:
        said = f"out of memory with the first rows: {error}. Lower `model.batch_size`, or free some."
        raise ModelError(said) from None


def _plan(job: Job, contract: Contract, beside: Sequence[Opened]) -> Plan:
    """All rows that the job names, or its sample of them."""

    def check(where: str, schema: pa.Schema) -> None:
        contract(where, schema)
        for baseline in beside:
            baseline.check(where, schema, contract.inputs)

    shard_rows = job.execution.shard_rows
    uris = [job.locate(path) for path in job.data.path]
    plan = make_plan(uris, None if shard_rows == "auto" else shard_rows, check)
    _check_expected(job, plan)
    if job.data.sample is not None:
        plan = sampled(plan, job.data.sample.rows, job.data.sample.seed)
    return plan


def _transform(job: Job) -> Transform | None:
    asked = job.model.transform
    return None if asked is None else read_transform(asked.function, asked.columns, asked.files, job.folder)


def open_model(job: Job) -> tuple[ModelFile, OnnxModel]:
    """Read the model file and load it once, as every worker will."""
    source = open_source(job.locate(job.model.path), job.tracker)
    model = load(source, job.model.providers, THREADS)
    return ModelFile(source, model.inputs, model.outputs, model.providers), model


def _check_expected(job: Job, plan: Plan) -> None:
    expect = job.data.expect
    complaints = Complaints()
    for name, expected, got in (("rows", expect.rows, plan.rows), ("files", expect.files, len(plan.files))):
        if expected is not None and expected != got:
            where = ", ".join(job.data.path)
            complaints.add(DataError(f"data.expect.{name}: expected {expected:,}, found {got:,} in {where}."))
    complaints.raise_all()


def _fit(
    job: Job, file: ModelFile, model: OnnxModel, plan: Plan, contract: Contract, output: Output
) -> Prepared:  # fmt: skip
    """Send the first rows through the model and settle what only they can tell."""
    assert contract.schema is not None
    terms = job.data.filter or ()
    table = first_rows(plan, contract.inputs, job.data.label, terms)
    features = usable_features(contract.inputs, table)
    example, _ = features.batch(0, 1, new_buffers(contract.inputs.bound, 1))
    together, _ = features.batch(0, features.rows, new_buffers(contract.inputs.bound, features.rows))
    row_bytes = sum(array.nbytes for array in together.values()) // features.rows
    batch_size, how = _batch_size(job, model, row_bytes)
    features = affordable(features, row_bytes)
    output = settle_output(output, run_in_batches(model, output, contract.inputs, features, batch_size))
    output = without_loose_label(model, output, contract.inputs, features)
    labels = _labels(job, contract.schema.field(job.data.label), output, table)
    output = _settle_own_label(job, model, output, labels, contract.inputs, features, batch_size)
    decision = _decide(job, output, labels.classes)
    _check_gates(job, decision)
    if how == "rule":
        batch_size = min(batch_size, most_rows_for(len(decision.classes)))
    dependence = batch_dependence(model, decision, contract.inputs, features, batch_size)
    dependence = replace(dependence, dynamic=file.graph.dynamic)
    if dependence.matters and how == "rule":
        # Its predictions depend on their company: alone is the only company that a served row is sure to have.
        batch_size, how = 1, "batch_dependent"
    kept = {name: array.copy() for name, array in example.items()}
    unlabelled = job.data.unlabelled == "score"
    written = _kept(job, contract, decision)
    evaluation = Evaluation(contract.inputs, labels, decision, batch_size, kept, terms, unlabelled, written)
    if not dependence.scores:
        by_columns = batch_size_for(row_bytes, by_columns=True)
        sizes = [batch_size, min(by_columns, most_rows_for(len(decision.classes)))]
        names = provable_columns(file.source, model, contract.inputs, decision.output, features, sizes)
        evaluation = evaluation.by_columns(names)
        if names and how == "rule":
            evaluation = replace(evaluation, batch_size=sizes[-1])
    decoded = decode(evaluation, table)
    _check_rows(evaluation, decoded, table)
    return Prepared(
        job, file, plan, contract.schema, evaluation, decoded, dependence, how, Tuning(_WHY[how]), row_bytes
    )


def _with_baselines(prepared: Prepared, beside: Sequence[Opened]) -> Prepared:
    """The same with the other models, settled by the first rows."""
    if not beside:
        return prepared
    evaluation, job = prepared.evaluation, prepared.job
    asked = dict.fromkeys(column for baseline in beside for column in baseline.columns)
    terms = job.data.filter or ()
    table = first_rows(prepared.plan, evaluation.inputs, job.data.label, terms, tuple(asked))
    complaints, found = Complaints(), []
    for baseline in beside:
        with complaints.heard():
            found.append(baseline.settle(evaluation, prepared.schema, table))
    complaints.raise_all()
    evaluation = replace(evaluation, baselines=tuple(baseline for baseline, _ in found))
    return replace(prepared, evaluation=evaluation, baselines=tuple(about for _, about in found))


def _cut(prepared: Prepared, there: Settled) -> Prepared:
    """The same with the slices that the data hold; data that were looked through for them are not read again."""
    plan, specs = prepared.plan, prepared.job.slices
    known = there.data == plan.digest() and are_cuts_of(there.cuts, specs)
    cuts = there.cuts if known else survey(plan, specs, available_cpus())
    return replace(prepared, evaluation=replace(prepared.evaluation, cuts=cuts))


def _tuned(prepared: Prepared, model: OnnxModel, there: int | None) -> Prepared:
    """Where `auto` is open: the same with the batch size of the run in the folder, or the best on real rows."""
    if prepared.batch_size_by != "rule" or prepared.plan.rows < TUNED_FROM_ROWS:
        return prepared
    evaluation, source, execution = prepared.evaluation, prepared.model.source, prepared.job.execution
    sizes = ladder(prepared.row_bytes, len(evaluation.decision.classes), evaluation.batch_size)
    if there in sizes:
        found, how, tuning = there, "folder", Tuning("that of the run in the folder")
    else:
        if turned := evaluation.inputs.by_columns:
            model = load(source, prepared.job.model.providers, THREADS, turned)
        here = lay_out([Node(available_cpus(), None)], 0, len(prepared.plan.shards), execution, one_process=True)
        found, tuning = tune(model, evaluation, prepared.plan, sizes, prepared.decoded.feeder, here.streams)
        how = "rule" if found == evaluation.batch_size else "tuned"
    return replace(prepared, evaluation=replace(evaluation, batch_size=found), batch_size_by=how, tuning=tuning)


def _settle_own_label(
    job: Job, model: OnnxModel, output: Output, labels: Labels, inputs: Inputs, features: Feeder, batch_size: int
) -> Output:  # fmt: skip
    """Find out how the model's own labels name the classes."""
    if output.own_label is None:
        return output
    own = run_in_batches(model, replace(output, name=output.own_label), inputs, features, batch_size)
    given = job.data.classes is not None or output.names is not None
    by_place = settle_by_place(output.names or labels.classes, own.reshape(-1), given=given)
    return replace(output, own_by_place=by_place)


def _batch_size(job: Job, model: OnnxModel, row_bytes: int) -> tuple[int, str]:
    """Rows of a batch, and who says so: the model, the job or the rule."""
    asked = job.model.batch_size
    if model.fixed_batch is not None:
        if asked not in ("auto", model.fixed_batch):
            raise ModelError(
                f"model.batch_size: {asked}; the model takes batches of {model.fixed_batch} only. Leave it out."
            )
        return model.fixed_batch, "model"
    return (batch_size_for(row_bytes), "rule") if asked == "auto" else (asked, "job")


def _labels(job: Job, field: pa.Field, output: Output, table: pa.Table) -> Labels:
    """How labels are read; names that the graph gives its columns are classes unless the job names them."""
    classes = job.data.classes
    if classes is not None and output.names is not None:
        _check_names(classes, output)
    labels = bind_labels(field, classes or output.names, job.data.label_is, output.classes)
    check_label_names(labels, field.type)
    if (broken := fractional(table.column(field.name))) is not None:
        raise DataError(
            f"label column `{field.name}` holds {broken}, which is no class: this is a regression task; ortbatch "
            "evaluates binary and multiclass classifiers. Name another column in `data.label`."
        )
    return labels


def _check_names(classes: tuple[str, ...], output: Output) -> None:
    """Hold the job's classes against those of the graph; display names for 0, 1, ... are no conflict."""
    names = output.names or ()
    display = names == tuple(map(str, range(len(names)))) and not any(is_integer_name(name) for name in classes)
    if classes != names and not (display and len(classes) == len(names)):
        raise ModelError(
            f"data.classes are {', '.join(classes[:10])}; the model itself names the columns of output `{output.name}` "
            f"{', '.join(names[:10])}, in that order. Leave `data.classes` out, or give them as the model does."
        )


def _decide(job: Job, output: Output, classes: tuple[str, ...]) -> Decision:
    """Task, positive class and threshold."""
    if output.classes is not None and output.classes != len(classes):
        raise ModelError(
            f"output `{output.name}` of the model scores {output.classes} classes, `data.classes` names "
            f"{len(classes)}: {', '.join(classes[:10])}. Name as many as it scores."
        )
    if len(classes) == 2:
        name = job.data.positive if job.data.positive is not None else classes[1]
        if name not in classes:
            raise DataError(f"data.positive: `{name}` is none of the classes {', '.join(classes)}.")
        return Decision(output, classes, classes.index(name), job.threshold)
    if job.data.positive is not None or "threshold" in job.model_fields_set:
        raise DataError(
            f"`data.positive` and `threshold` are for two classes; this task has {len(classes)}. Take them out."
        )
    return Decision(output, classes, None, job.threshold)


def _kept(job: Job, contract: Contract, decision: Decision) -> Kept | None:
    """What predictions hold, if the job asks for them."""
    asked = job.predictions
    if asked is None:
        return None
    taken = [name for name in asked.columns if name in WRITTEN]
    if taken or len(set(asked.columns)) < len(asked.columns):
        raise DataError(
            f"predictions.columns: each once, and none of {', '.join(WRITTEN)}, which are written anyway; got "
            f"{', '.join(asked.columns)}. Rename such a column of the data to keep it."
        )
    most = 1 if decision.output.kind == "label" else len(decision.classes)
    if asked.top_k > most:
        said = "the model puts out labels only" if most == 1 else f"there are {most} classes"
        raise DataError(f"predictions.top_k: {asked.top_k}; {said}. Lower it.")
    return Kept(contract.kept_fields(), asked.top_k)


def _check_gates(job: Job, decision: Decision) -> None:
    """Now that the classes are known, hold the gates against them."""
    problems = []
    for number, gate in enumerate(job.gates):
        try:
            check_class(gate, decision.classes)
            check_slice(gate, [spec.column for spec in job.slices])
        except ValueError as error:
            problems.append(Problem(str(gate), f"gates.{number}", str(error)))
    if problems:
        raise JobError(problems)


def _check_rows(evaluation: Evaluation, decoded: DecodedRows, table: pa.Table) -> None:
    if len(decoded.labels):
        return
    labels: Labels = evaluation.labels
    seen = _some_values(table.column(labels.column))
    reasons = ", ".join(f"{reason}: {rows.size}" for reason, rows in sorted(decoded.rejected.items()))
    raise DataError(
        f"none of the first {table.num_rows} rows can be evaluated ({reasons}). Label column `{labels.column}` "
        f"holds {seen}; expected, by {labels.by}: {', '.join(labels.classes[:10])}."
    )


def _some_values(column: pa.ChunkedArray) -> str:
    """A few values of a column, for a message."""
    try:
        return ", ".join(str(value)[:_TEXT_SHOWN] for value in column.unique()[:5].to_pylist())
    except UnicodeDecodeError:
        return "text that is not UTF-8"
