"""Two runs against each other: what changed between them, every metric with its difference, and limits on a drop.

A pure function of two decoded reports and, where both kept predictions of the same rows, of the pairs that were counted
from them. A difference is new minus old. Its word follows its interval: `better` or `worse` where it excludes 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.job import Gate, MetricRef
from ortbatch.metrics.differences import JointCounts, mcnemar_mid_p, paired_difference
from ortbatch.metrics.intervals import CONFIDENCE
from ortbatch.metrics.pairs import PairedRows
from ortbatch.metrics.reference import lower_is_better
from ortbatch.report.encode import encode, is_estimate, plain
from ortbatch.report.gates import EXIT_CODES, look_up
from ortbatch.report.quality import POSITIVE, positive_row, rows_behind
from ortbatch.report.versus import DIGITS, Difference, Found, difference, verdict

BETTER, WORSE, NOT_SIGNIFICANT, UNKNOWN = "better", "worse", "not significant", "cannot be told"
OLD = "OLD"
"""What limits on a drop are measured against."""

_OF_THE_DATA = ("majority_class_accuracy",)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs compared: `data` holds `old`, `new`, `changed`, `rows`, `pairs`, `metrics`, `limits` and `exit_code`."""

    data: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0, 1 where a metric dropped too far, 4 where one cannot be decided at the confidence asked for."""
        return int(self.data["exit_code"])

    @property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """Metric → what is told of it."""
        return {entry["metric"]: entry for entry in self.data["metrics"]}

    def encode(self) -> str:
        """The same as JSON text."""
        return encode(self.data) + "\n"


def other_rows(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why two runs did not look at the same rows in the same way; None if they did."""
    if old["provenance"]["data"]["plan_digest"] != new["provenance"]["data"]["plan_digest"]:
        return "the data are others"
    binding = [report["provenance"]["binding"].get("label") for report in (old, new)]
    if binding[0] != binding[1]:
        return "the label is read in another way"
    if old["job"]["data"].get("filter") != new["job"]["data"].get("filter"):
        return "the filter is another"
    if sorted(old["quality"]["classes"]) != sorted(new["quality"]["classes"]):
        return "the classes are others"
    return None


def compare_reports(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    pairs: PairedRows | str,
    limits: Sequence[Gate] = (),
    confidence: float | None = None,
) -> Comparison:
    """Compare two decoded reports.

    Args:
        old: the one.
        new: the other.
        pairs: rows that both looked at; a sentence where they were not paired.
        limits: on differences.
        confidence: level of the intervals; None: 95%, and `limits` are decided by the value alone.
    """
    level = confidence or CONFIDENCE
    sides = [dict(_estimates(report)) for report in (old, new)]
    names = {ref: None for side in reversed(sides) for ref in side}

    def told(ref: MetricRef, at: float) -> Difference:
        found = [side.get(ref) or look_up(ref, report) for side, report in zip(sides, (old, new), strict=True)]
        return _paired(ref, new, pairs, at) or difference(ref, found[0], found[1], at)

    judged = [
        verdict(gate, told(gate.metric, CONFIDENCE), told(gate.metric, level).ci if gate.confidence else None)
        for gate in limits
    ]
    outcomes = {entry["outcome"] for entry in judged}
    worst = next((word for word in ("failed", "inconclusive") if word in outcomes), "passed")
    data = {
        "old": _about(old),
        "new": _about(new),
        "changed": changed(old, new),
        "confidence": level,
        "rows": {"same": (why := other_rows(old, new)) is None, **({} if why is None else {"why": why})},
        "pairs": {"paired": False, "why": pairs} if isinstance(pairs, str) else _pairs(pairs, level),
        "metrics": [_metric(ref, told(ref, level)) for ref in names],
        "limits": judged,
        "exit_code": EXIT_CODES[worst],
    }
    return Comparison(plain(data))


def word(ref: MetricRef, told: Difference) -> str:
    """Better, worse, or why not: by the interval of the difference."""
    if told.ci is None or ref.name in _OF_THE_DATA:
        return UNKNOWN
    low, high = told.ci
    if low <= 0 <= high:
        return NOT_SIGNIFICANT
    return BETTER if (low > 0) != lower_is_better(ref.name) else WORSE


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What two runs do not have in common: `what`, `old`, `new`; a side that has no such thing is null."""
    sides = [dict(_traits(report)) for report in (old, new)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    found = ((name, sides[0].get(name), sides[1].get(name)) for name in names)
    return [{"what": name, "old": one, "new": other} for name, one, other in found if one != other]


def _traits(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    provenance = report["provenance"]
    yield "model sha256", provenance["model"]["sha256"]
    yield "data digest", provenance["data"]["plan_digest"]
    yield "batch size", provenance.get("batch_size", {}).get("rows", provenance["identity"].get("batch_size"))
    yield "host CPU", provenance["host"].get("cpus")
    yield from ((f"version of {name}", version) for name, version in sorted(provenance["versions"].items()))
    digests = ("job_digest", "evaluation_digest")
    yield from _leaves("job", {key: item for key, item in report["job"].items() if key not in digests})


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}", item)
    else:
        yield path, value


def _about(report: Mapping[str, Any]) -> dict[str, Any]:
    run, provenance = report["run"], report["provenance"]
    return {
        "run": run["id"],
        "name": run["name"],
        "started_at": run["started_at"],
        "status": report["status"],
        "rows": report["quality"]["rows"],
        "model_sha256": provenance["model"]["sha256"],
        "data_digest": provenance["data"]["plan_digest"],
    }


def _estimates(report: Mapping[str, Any]) -> Iterator[tuple[MetricRef, Found]]:
    """Every estimate of quality, by class, of coverage, latency and throughput."""
    quality, planned = report["quality"], report["coverage"]["rows"]["planned"]
    positive = positive_row(quality)
    for name, item in quality.items():
        if is_estimate(item):
            rows = rows_behind(name, positive if name in POSITIVE else None, quality["rows"])
            yield MetricRef(name), Found(item, rows)
    for row in quality["per_class"]:
        for name, item in row.items():
            if is_estimate(item):
                yield MetricRef(name, class_name=row["class"]), Found(item, rows_behind(name, row, quality["rows"]))
    yield MetricRef("coverage"), Found(report["coverage"]["fraction"], planned)
    for kind, section in report["latency"].items():
        for name, item in section.items():
            if is_estimate(item):
                yield MetricRef(f"latency.{kind}.{name}"), Found(item, section["count"])
    yield MetricRef("throughput.rows_per_s"), Found(report["throughput"]["rows_per_s"], planned)


def _paired(ref: MetricRef, new: Mapping[str, Any], pairs: PairedRows | str, level: float) -> Difference | None:
    """The difference on the rows that both runs evaluated, of accuracy and of recall by class."""
    if isinstance(pairs, str) or ref.slice:
        return None
    quality = new["quality"]
    if ref.name == "accuracy":
        joint = pairs.joint
    elif ref.name == "recall" and (name := ref.class_name or quality.get("positive")) in pairs.places:
        joint = pairs.of_class(name)
    elif ref == MetricRef("specificity") and "positive" in quality:
        joint = pairs.of_class(next(name for name in quality["classes"] if name != quality["positive"]))
    else:
        return None
    if not joint.rows:
        return Difference(None, None, None, why="no row of it was evaluated by both runs")
    ends = (joint.both + joint.only_old) / joint.rows, (joint.both + joint.only_new) / joint.rows
    ci = paired_difference(joint, level)
    return Difference(*ends, round(joint.difference, DIGITS), ci, "newcombe_paired", rows=joint.rows)


def _pairs(pairs: PairedRows, level: float) -> dict[str, Any]:
    # Rows by class as Python integers, not one lookup by name a class.
    classes = ((name, JointCounts(*counts)) for name, counts in zip(pairs.classes, pairs.counts.tolist(), strict=True))
    return {
        "paired": True,
        **_joint(pairs.joint, level),
        "only_evaluated_by": {"old": pairs.only_old, "new": pairs.only_new},
        "predicted_by_both": pairs.predicted,
        "flipped": pairs.flipped,
        "per_class": [{"class": name, **_joint(joint, level)} for name, joint in classes],
    }


def _joint(joint: JointCounts, level: float) -> dict[str, Any]:
    """Of some rows: the table, the exact test, and the interval of the difference."""
    told: dict[str, Any] = {
        "rows": joint.rows,
        "both_right": joint.both,
        "only_old_right": joint.only_old,
        "only_new_right": joint.only_new,
        "both_wrong": joint.neither,
        "mcnemar_mid_p": mcnemar_mid_p(joint.only_old, joint.only_new),
    }
    if not joint.rows:
        return told | {"difference": None, "ci": None}
    return told | {"difference": round(joint.difference, DIGITS), "ci": list(paired_difference(joint, level))}


def _metric(ref: MetricRef, told: Difference) -> dict[str, Any]:
    entry = {
        "metric": str(ref),
        "old": told.old,
        "new": told.new,
        "difference": told.value,
        "ci": None if told.ci is None else list(told.ci),
        "verdict": word(ref, told),
        "rows": told.rows,
    }
    if told.method is not None:
        entry["method"] = told.method
    why = "it is about the rows, not the model" if ref.name in _OF_THE_DATA and told.why is None else told.why
    return entry if why is None else entry | {"why": why}
