"""The training data that a job is checked against: planned before the run, so that what is wrong is told then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ortbatch.data.binding import check_columns
from ortbatch.data.labels import check_label_type, label_family
from ortbatch.data.plan import Plan, make_plan
from ortbatch.engine.prepared import Prepared
from ortbatch.errors import DataError, JobError, Problem
from ortbatch.job import Job
from ortbatch.job.planned import ChecksSpec
from ortbatch.job.redaction import redact


@dataclass(frozen=True)
class Training:
    """Training data that can be read.

    Args:
        checks: what is asked of them.
        plan: the frozen plan.
        no_labels: why their labels cannot be read; None if they can.
    """

    checks: ChecksSpec
    plan: Plan
    no_labels: str | None

    @property
    def digest(self) -> str:
        """What is read: names, sizes and footers of the files."""
        return self.plan.digest()

    def differs_from(self, report: Mapping[str, Any]) -> bool:
        """Are these other data than those that a decoded report was made with?"""
        sections = [report[name] for name in ("leakage", "overfitting") if name in report]
        return any(section["training"]["plan_digest"] != self.digest for section in sections)


def plan_training(prepared: Prepared) -> Training | None:
    """Plan the training data of a job; None if it names none.

    Raises:
        JobError: if a gate is about what the job does not check.
        DataError: if they cannot be read, or do not have the columns that feed the model.
        PreflightError: if several things are wrong.
        StorageError: if storage failed.
    """
    job = prepared.job
    check_asked(job)
    if job.checks is None:
        return None
    contract = _Contract(prepared)
    plan = make_plan([job.locate(path) for path in job.checks.training_data], None, contract)
    return Training(job.checks, plan, contract.no_labels)


def check_asked(job: Job) -> None:
    """Refuse gates on checks that the job does not ask for; raises JobError with all of them."""
    asked = {
        "leakage": job.checks is not None and job.checks.leakage,
        "overfitting": job.checks is not None and job.checks.overfitting is not None,
    }
    problems = []
    for number, gate in enumerate(job.gates):
        family = gate.metric.name.partition(".")[0]
        if not asked.get(family, True):
            said = f"the job does not look for it; ask with `checks: {{training_data: PATH, {family}: true}}`"
            problems.append(Problem(str(gate), f"gates.{number}", said))
    if problems:
        raise JobError(problems)


class _Contract:
    """Holds every schema of the training data to what feeds the model; labels may be missing."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self.no_labels: str | None = None

    def __call__(self, where: str, schema: pa.Schema) -> None:
        """Check a schema; raises DataError if the model cannot be fed."""
        where, inputs = redact(where), self._prepared.evaluation.inputs
        check_columns(inputs.bound, schema, None, f"checks.training_data: {where}")
        columns = inputs.transform.columns if inputs.transform is not None else ()
        missing = [name for name in columns if len(schema.get_all_field_indices(name)) != 1]
        if missing:
            raise DataError(
                f"checks.training_data: {where}: model.transform reads {', '.join(missing)}; columns: "
                f"{', '.join(schema.names[:20])}."
            )
        self.no_labels = self.no_labels or self._problem_of_label(where, schema)

    def _problem_of_label(self, where: str, schema: pa.Schema) -> str | None:
        label = self._prepared.evaluation.labels.column
        if len(schema.get_all_field_indices(label)) != 1:
            return f"{where} has no label column `{label}`"
        there, here = schema.field(label), self._prepared.schema.field(label)
        try:
            check_label_type(there)
        except DataError as error:
            return f"{where}: {error}"
        if label_family(there.type) != label_family(here.type):
            return f"{where}: label column `{label}` holds {there.type}, that of the evaluation data {here.type}"
        return None
