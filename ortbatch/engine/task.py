"""The task of a run: classes, labels and threshold, and what else of the job must fit them.

What is checked here is the same whether a model is run or its stored scores are read.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from ortbatch.data.labels import Labels, bind_labels, check_label_names, fractional, is_integer_name
from ortbatch.data.plan import Plan
from ortbatch.data.survey import are_cuts_of, survey
from ortbatch.engine.contract import Contract
from ortbatch.engine.evaluation import DecodedRows, Evaluation
from ortbatch.engine.host import available_cpus
from ortbatch.engine.predictions import WRITTEN, Kept
from ortbatch.engine.prepared import Prepared, Settled
from ortbatch.errors import Complaints, DataError, JobError, ModelError, Problem
from ortbatch.job import Job
from ortbatch.job.gates import check_class, check_slice
from ortbatch.model.outputs import Decision, Output

_TEXT_SHOWN = 40


def check_expected(job: Job, plan: Plan) -> None:
    expect = job.data.expect
    complaints = Complaints()
    for name, expected, got in (("rows", expect.rows, plan.rows), ("files", expect.files, len(plan.files))):
        if expected is not None and expected != got:
            where = ", ".join(job.data.path)
            complaints.add(DataError(f"data.expect.{name}: expected {expected:,}, found {got:,} in {where}."))
    complaints.raise_all()


def cut(prepared: Prepared, there: Settled) -> Prepared:
    """The same with the slices that the data hold; data that were looked through for them are not read again."""
    plan, specs = prepared.plan, prepared.job.slices
    known = there.data == plan.digest() and are_cuts_of(there.cuts, specs)
    cuts = there.cuts if known else survey(plan, specs, available_cpus())
    return replace(prepared, evaluation=replace(prepared.evaluation, cuts=cuts))


def labels_of(job: Job, field: pa.Field, output: Output, table: pa.Table) -> Labels:
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


def decide(job: Job, output: Output, classes: tuple[str, ...]) -> Decision:
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


def kept_of(job: Job, contract: Contract, decision: Decision, scores_as: str) -> Kept | None:
    """What predictions hold, if the job asks for them; `scores_as` is the NumPy type of the model's output."""
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
    if not asked.scores:
        return Kept(contract.kept_fields(), asked.top_k)
    if decision.output.kind == "label":
        raise DataError("predictions.scores: the model puts out labels only. Take it out.")
    return Kept(contract.kept_fields(), asked.top_k, scores_as, decision.output.own_label is not None)


def check_gates(job: Job, decision: Decision) -> None:
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


def check_rows(evaluation: Evaluation, decoded: DecodedRows, table: pa.Table) -> None:
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
