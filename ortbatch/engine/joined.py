"""Preflight of a job whose model is stored: predictions of an earlier run, joined with rows by id.

What comes out is what a model's preflight gives, so that the run and its report are those of any other job. Nothing is
run, so nothing is timed, and what needs a model is refused.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ortbatch.data.plan import Plan, make_plan, sampled
from ortbatch.engine.contract import Contract
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.engine.feeder import Inputs, Join
from ortbatch.engine.joining import JoinFacts, join, material_of
from ortbatch.engine.prepared import ModelFile, Prepared, Settled
from ortbatch.engine.probe import Dependence, first_rows
from ortbatch.engine.stored_predictions import StoredPredictions, open_predictions
from ortbatch.engine.task import check_expected, check_gates, cut, decide, kept_of, labels_of
from ortbatch.errors import Complaints, DataError, JobError, Problem
from ortbatch.job import Job
from ortbatch.job.model_spec import StoredSpec
from ortbatch.job.planned import RunBaseline
from ortbatch.job.redaction import redact
from ortbatch.model.ids import kind_of_ids
from ortbatch.model.stored import PLACE
from ortbatch.model.tuning import Tuning, batch_size_for, most_rows_for

_PLACE_BYTES = 8


def prepare_joined(job: Job, spec: StoredSpec, there: Settled) -> Prepared:
    """Check a job against the predictions that it joins and its data, and join them.

    Raises:
        JobError: if the job asks for what needs a model.
        DataError: if predictions are not complete, or do not fit; if no id of the data is among theirs.
        PreflightError: if several of these are so.
        StorageError: if storage failed.
    """
    complaints = Complaints()
    stored = plan = None
    contract = Contract(job, None, None)
    with complaints.heard():
        _check_asked(job)
    with complaints.heard():
        stored = open_predictions(job.locate(spec.scores))
        _check_ids(stored.schema(), spec.join, f"model.scores: {redact(stored.uri)}", "`predictions.columns` keeps it")
    with complaints.heard():
        plan = _plan(job, spec, contract, None if stored is None else stored.schema())
    complaints.raise_all()
    assert stored is not None
    assert plan is not None
    return cut(_joined(job, spec, stored, plan, contract), there)


def _check_asked(job: Job) -> None:
    """Refuse what cannot be had without a model."""
    beside = [name for name, baseline in job.baselines.items() if not isinstance(baseline, RunBaseline)]
    where = [(f"baselines.{name}", "other models are run beside a model") for name in beside]
    where += [("checks", "the features of a model are looked at")] if job.checks is not None else []
    timed = [n for n, gate in enumerate(job.gates) if gate.metric.name.startswith("latency.")]
    where += [(f"gates.{n}", "no model is run, so nothing is timed") for n in timed]
    if where:
        why = "`model.scores` takes stored scores: {}. Take it out, or name a model in `model.path`."
        raise JobError([Problem(job.name, key, why.format(text)) for key, text in where])


def _plan(job: Job, spec: StoredSpec, contract: Contract, stored: pa.Schema | None) -> Plan:
    """All rows that the job names, or its sample of them; ids are of the kind of those of the predictions."""

    def check(where: str, schema: pa.Schema) -> None:
        complaints = Complaints()
        with complaints.heard():
            contract(where, schema)
        with complaints.heard():
            _check_ids(schema, spec.join, redact(where), "name another in `model.join`")
            _check_kinds(schema, stored, spec.join, redact(where))
        complaints.raise_all()

    shard_rows = job.execution.shard_rows
    plan = make_plan([job.locate(path) for path in job.data.path], None if shard_rows == "auto" else shard_rows, check)
    check_expected(job, plan)
    return plan if job.data.sample is None else sampled(plan, job.data.sample.rows, job.data.sample.seed)


def _check_ids(schema: pa.Schema, column: str, where: str, remedy: str) -> None:
    if len(schema.get_all_field_indices(column)) != 1:
        raise DataError(f"{where}: no column `{column}` to join by; columns: {', '.join(schema.names[:20])}; {remedy}.")
    kind = schema.field(column).type
    if kind_of_ids(kind) is None:
        raise DataError(f"{where}: column `{column}` holds {kind}; ids are integers or text. Write it so.")


def _check_kinds(schema: pa.Schema, stored: pa.Schema | None, column: str, where: str) -> None:
    if stored is None or column not in stored.names:
        return
    here, there = schema.field(column).type, stored.field(column).type
    if kind_of_ids(here) != kind_of_ids(there):
        raise DataError(
            f"{where}: column `{column}` holds {here}; in the predictions it holds {there}. Write both alike."
        )


def _joined(job: Job, spec: StoredSpec, stored: StoredPredictions, plan: Plan, contract: Contract) -> Prepared:
    """Settle classes and threshold by what the predictions say, and join."""
    assert contract.schema is not None
    material, terms = material_of(stored, stored.schema()), job.data.filter or ()
    source, scores, met = join(stored, plan, spec.join, material)
    if not met.matched:
        raise DataError(
            f"none of {met.rows:,} rows has an id that is among the {met.predictions:,} predictions in "
            f"{redact(spec.scores)}. See that `{spec.join}` is the same in both, and that it is the same night."
        )
    table = first_rows(plan, Inputs((), join=Join(spec.join, scores)), job.data.label, terms)
    labels = labels_of(job, contract.schema.field(job.data.label), material.output, table)
    decision = decide(job, material.output, labels.classes)
    check_gates(job, decision)
    rows = min(batch_size_for(_PLACE_BYTES), most_rows_for(len(decision.classes)))
    kept = kept_of(job, contract, decision, material.dtype)
    unlabelled = job.data.unlabelled == "score"
    example = {PLACE: np.zeros(1, np.int64)}
    evaluation = Evaluation(
        Inputs((), join=Join(spec.join)), labels, decision, rows, example, terms, unlabelled, kept
    )  # fmt: skip
    return Prepared(
        job, ModelFile(source, (), (), ()), plan, contract.schema, evaluation,
        decode(evaluation.reading(scores), table), Dependence(0, 0, scores=False), "rule",
        Tuning("scores are looked up: nothing depends on it"), _PLACE_BYTES,
        joined=JoinFacts(met, stored.model_sha256, material.whole),
    )  # fmt: skip
