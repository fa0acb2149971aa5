"""report.json: everything that a run learnt, in sections, as JSON values.

Sections that differ between two runs of the same thing are `run`, `latency`, `throughput`, `provenance`, the gates that
are marked `volatile`, and `status` through them. Everything else is a function of model, data and job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ortbatch.job import Gate, Job
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.leakage import Checked
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import share
from ortbatch.report.calibration import calibration_section
from ortbatch.report.encode import plain
from ortbatch.report.fidelity import Known, fidelity_section
from ortbatch.report.findings import all_findings
from ortbatch.report.gates import EXIT_CODES, judge, status_of
from ortbatch.report.latency import latency_section, not_timed
from ortbatch.report.leakage import leakage_section
from ortbatch.report.overfitting import overfitting_section
from ortbatch.report.quality import quality_section
from ortbatch.report.ratios import baselines_part
from ortbatch.report.slices import slices_section
from ortbatch.report.thresholds import thresholds_section

SCHEMA_VERSION = 1
DENSE_UP_TO = 100
_FILES_NAMED = 20
_CONFUSED_PAIRS = 20
_CLASSES_NAMED = 20


@dataclass(frozen=True)
class RunFacts:
    """What the run knows besides its counts.

    Args:
        id: identifier of the run. started_at: RFC 3339, UTC. duration_s: seconds, start to report.
        pass_s: seconds of the pass over the data. pass_rows: rows that were done in them.
        evaluation_digest: what the counts are a function of, as one hash.
        identity: the same in parts.
        files: redacted path of every file of the plan, by index.
        shards: planned shards. rows: planned rows.
        predictions: folder, files, rows and columns of what was written; None if nothing was asked for.
        quarantined: shards that were left out: number, rows, files, reason and fault; their rows are in the coverage.
        positive: index of the positive class, None for multiclass.
        batch_size: rows of a batch.
        single: times of single predictions.
        single_facts: threads, rows, warm-up and cold start of their measurement.
        transform: times of the job's function between columns and inputs, a row each; None if it has none.
        findings: what the reader should know first.
        provenance: where the numbers come from.
        baselines: earlier runs that gates are held against, by name.
        baseline_facts: of the models that ran beside this one, by name: kind, model, batch_dependent, single and
            single_facts.
        checked: what was checked against the training data; None if the job names none.
        join: how rows and stored scores met by id; None where a model was run.
    """

    id: str
    started_at: str
    duration_s: float
    pass_s: float
    pass_rows: int
    evaluation_digest: str
    identity: Mapping[str, str]
    files: Sequence[str]
    shards: int
    rows: int
    quarantined: Sequence[Mapping[str, Any]]
    predictions: Mapping[str, Any] | None
    positive: int | None
    batch_size: int
    single: LatencyHistogram
    single_facts: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any]
    baselines: Mapping[str, Any] = field(default_factory=dict)
    baseline_facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    transform: LatencyHistogram | None = None
    checked: Checked | None = None
    join: Mapping[str, Any] | None = None


def build_report(job: Job, tally: Tally, done_shards: int, facts: RunFacts) -> dict[str, Any]:
    """All sections, judged by the job's gates."""
    report: dict[str, Any] = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "status": "",
            "exit_code": 0,
            **({"sampled": True} if job.data.sample is not None else {}),
            "run": _run(job, facts),
            "job": {**job.resolved(), "job_digest": job.digest(), "evaluation_digest": facts.evaluation_digest},
            "coverage": _coverage(job, tally, done_shards, facts),
            "quality": quality_section(tally, facts.positive),
            **_optional("calibration", calibration_section(tally, facts.positive)),
            "confusion_matrix": _confusion(tally.confusion),
            **_optional("thresholds", _thresholds(job, tally, facts.positive)),
            "latency": _latency(tally, facts)
            | baselines_part(tally, facts.batch_size, facts.single, facts.baseline_facts),
            "throughput": _throughput(tally, facts),
            **_optional("slices", slices_section(tally, facts.positive) if tally.slices.cuts else None),
            **_optional("fidelity", _fidelity(tally, facts)),
            **_checks(tally, facts),
            **({"predictions": facts.predictions} if facts.predictions is not None else {}),
            **_optional("join", facts.join),
            **_optional("baselines", facts.baselines or None),
            "gates": [],
            "findings": [],
            "provenance": {"identity": dict(facts.identity), **facts.provenance},
        }
    )
    report["findings"] = all_findings(report, facts.findings)
    return judged(job.gates, report)


def _latency(tally: Tally, facts: RunFacts) -> dict[str, Any]:
    section = latency_section(tally.latency, facts.batch_size, facts.single, facts.single_facts, facts.transform)
    return section if facts.join is None else not_timed(section, "scores are stored: no model was run")


def _thresholds(job: Job, tally: Tally, positive: int | None) -> dict[str, Any] | None:
    asked = [gate.metric for gate in job.gates]
    return thresholds_section(tally.scores, None if positive is None else job.threshold, asked)


def _fidelity(tally: Tally, facts: RunFacts) -> dict[str, Any] | None:
    dependent = any(finding["code"] == "batch_dependent" for finding in facts.findings)
    quantized = bool(facts.provenance.get("model", {}).get("quantized"))
    return fidelity_section(tally, Known(facts.positive, facts.files, facts.baseline_facts, dependent, quantized))


def _checks(tally: Tally, facts: RunFacts) -> dict[str, Any]:
    """The sections `leakage` and `overfitting`, as far as they were asked for."""
    if facts.checked is None:
        return {}
    leakage = leakage_section(facts.checked, tally, facts.positive, facts.files)
    overfitting = overfitting_section(facts.checked, tally, facts.positive)
    return {**_optional("leakage", leakage), **_optional("overfitting", overfitting)}


def _optional(name: str, section: object | None) -> dict[str, Any]:
    """A section that may be absent."""
    return {} if section is None else {name: section}


def judged(gates: Sequence[Gate], report: Mapping[str, Any]) -> dict[str, Any]:
    """The same report with the verdicts of some gates."""
    verdicts = judge(gates, report)
    status = status_of(report, verdicts)
    return {**report, "status": status, "exit_code": EXIT_CODES[status], "gates": plain(verdicts)}


def _run(job: Job, facts: RunFacts) -> dict[str, Any]:
    return {
        "id": facts.id,
        "name": job.name,
        "started_at": facts.started_at,
        "duration_s": round(facts.duration_s, 3),
        "vars": dict(sorted(job.variables.items())),
    }


def _coverage(job: Job, tally: Tally, done: int, facts: RunFacts) -> dict[str, Any]:
    coverage = tally.coverage
    wanted = facts.rows - coverage.filtered
    used = coverage.evaluated + coverage.unlabelled
    worst = list(coverage.rejected_files.items())
    return {
        "files": {"listed": len(facts.files), "planned": len(facts.files), "rejected": 0},
        "shards": {"planned": facts.shards, "done": done, "quarantined": list(facts.quarantined)},
        "rows": {
            "planned": facts.rows,
            "evaluated": coverage.evaluated,
            "unlabelled": coverage.unlabelled,
            "filtered": coverage.filtered,
            "rejected": coverage.rejected,
        },
        "bad_rows": {
            "count": coverage.bad_rows,
            "allowed": job.data.bad_rows_allowed(facts.rows),
            "files": len(worst),
            "worst_files": [{"file": facts.files[index], "rows": rows} for index, rows in worst[:_FILES_NAMED]],
            "by_class": _rejected_by_class(tally),
        },
        "fraction": Estimate(used / wanted) if wanted else Estimate.undefined("every row is filtered out"),
    }


def _rejected_by_class(tally: Tally) -> list[dict[str, Any]]:
    """Rejected rows whose label is known, by class, most first, beside the evaluated rows of that class."""
    classes, counts = tally.rejected_labels.nonzero()
    support = tally.confusion.table.row_sums()
    order = np.lexsort((classes, -counts))[:_CLASSES_NAMED]
    rows = [(int(classes[at]), int(counts[at])) for at in order]
    names = tally.confusion.classes
    return [{"class": names[place], "rejected": count, "evaluated": int(support[place])} for place, count in rows]


def _confusion(confusion: ConfusionMatrix) -> dict[str, Any]:
    head: dict[str, Any] = {"classes": list(confusion.classes), "rows": "true", "columns": "predicted"}
    head["most_confused"] = _most_confused(confusion)
    if len(confusion.classes) <= DENSE_UP_TO:
        return head | {"format": "dense", "counts": confusion.counts.tolist()}
    return head | {"format": "coo", "cells": np.column_stack(confusion.cells()).tolist()}


def _most_confused(confusion: ConfusionMatrix) -> list[dict[str, Any]]:
    """The pairs of classes that are taken for each other most often, most rows first, and their share of true rows."""
    true, predicted, counts = confusion.cells()
    wrong = np.flatnonzero(true != predicted)
    order = wrong[np.lexsort((predicted[wrong], true[wrong], -counts[wrong]))][:_CONFUSED_PAIRS]
    support = confusion.table.row_sums()
    return [
        {
            "true": confusion.classes[true[at]],
            "predicted": confusion.classes[predicted[at]],
            "rows": int(counts[at]),
            "share": share(int(counts[at]), int(support[true[at]]), ""),
        }
        for at in order.tolist()
    ]


def _throughput(tally: Tally, facts: RunFacts) -> dict[str, Any]:
    rate = facts.pass_rows / facts.pass_s if facts.pass_s > 0 else None
    return {
        "rows_per_s": Estimate(rate) if rate is not None else Estimate.undefined("no time passed"),
        "pass_s": facts.pass_s,
        "seconds": {stage: round(seconds, 6) for stage, seconds in tally.stages.seconds().items()},
    }
