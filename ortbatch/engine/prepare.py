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
)
from ortbatch.data.plan import Plan, make_plan, sampled
from ortbatch.data.transform import Transform, read_transform
from ortbatch.engine.baseline_setup import Opened, is_model
from ortbatch.engine.contract import Contract
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.engine.host import available_cpus
from ortbatch.engine.joined import prepare_joined
from ortbatch.engine.layout import Node, lay_out
from ortbatch.engine.prepared import THREADS, ModelFile, Prepared, Settled
from ortbatch.engine.probe import (
    affordable,
    batch_dependence,
    first_rows,
    run_in_batches,
    usable_features,
    without_loose_label,
)
from ortbatch.engine.task import check_expected, check_gates, check_rows, cut, decide, kept_of, labels_of
from ortbatch.engine.tune import TUNED_FROM_ROWS, tune
from ortbatch.engine.turned import provable_columns
from ortbatch.errors import Complaints, ModelError
from ortbatch.job import Job
from ortbatch.job.model_spec import StoredSpec
from ortbatch.model.outputs import Output, choose_output, settle_output
from ortbatch.model.own_label import settle_by_place
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load, open_source
from ortbatch.model.tuning import Tuning, batch_size_for, ladder, most_rows_for

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
    if isinstance(job.model, StoredSpec):
        return prepare_joined(job, job.model, there or Settled())
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
        prepared = cut(_with_baselines(_fit(job, *opened, plan, contract, output), beside), there)
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
    check_expected(job, plan)
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
    labels = labels_of(job, contract.schema.field(job.data.label), output, table)
    output = _settle_own_label(job, model, output, labels, contract.inputs, features, batch_size)
    decision = decide(job, output, labels.classes)
    check_gates(job, decision)
    if how == "rule":
        batch_size = min(batch_size, most_rows_for(len(decision.classes)))
    dependence = batch_dependence(model, decision, contract.inputs, features, batch_size)
    dependence = replace(dependence, dynamic=file.graph.dynamic)
    if dependence.matters and how == "rule":
        # Its predictions depend on their company: alone is the only company that a served row is sure to have.
        batch_size, how = 1, "batch_dependent"
    kept = {name: array.copy() for name, array in example.items()}
    unlabelled = job.data.unlabelled == "score"
    dtype = next(spec.dtype for spec in file.outputs if spec.name == decision.output.name)
    written = kept_of(job, contract, decision, dtype)
    evaluation = Evaluation(contract.inputs, labels, decision, batch_size, kept, terms, unlabelled, written)
    if not dependence.scores:
        by_columns = batch_size_for(row_bytes, by_columns=True)
        sizes = [batch_size, min(by_columns, most_rows_for(len(decision.classes)))]
        names = provable_columns(file.source, model, contract.inputs, decision.output, features, sizes)
        evaluation = evaluation.by_columns(names)
        if names and how == "rule":
            evaluation = replace(evaluation, batch_size=sizes[-1])
    decoded = decode(evaluation, table)
    check_rows(evaluation, decoded, table)
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
