"""Runs in order of time: metrics with their intervals, and how far rows and scores drifted from one run to the next.

A function of decoded reports; a report that lacks what every report has is told as unreadable, and costs no other its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.job import MetricRef
from ortbatch.report.drift import Shape, drift_of
from ortbatch.report.encode import encode
from ortbatch.report.gates import look_up

OF_BINARY = ("accuracy", "precision", "recall", "f1", "roc_auc", "latency.single.p99_ms")
DRIFTING = 200
"""Newest runs whose drift is told unless a limit says how many: counts of scores take most of the time."""
OF_MANY = ("accuracy", "f1_macro", "latency.single.p99_ms")


@dataclass(frozen=True, eq=False)
class History:
    """Runs, oldest first: `data` holds `folder`, `metrics`, `runs`, `left_out` (older ones) and `unreadable`."""

    data: Mapping[str, Any]

    @property
    def runs(self) -> Sequence[Mapping[str, Any]]:
        """An entry a run."""
        return tuple(self.data["runs"])

    def encode(self) -> str:
        """The same as JSON text."""
        return encode(self.data) + "\n"


@dataclass(frozen=True)
class Glanced:
    """A stored report.

    Args:
        path: where it lies.
        report: its sections; None if they cannot be read.
        why: then why.
        again: reads it again with its counts of scores, if `report` lacks them.
    """

    path: str
    report: Mapping[str, Any] | None
    why: str = ""
    again: Callable[[], Glanced] | None = None

    @property
    def lacks(self) -> str:
        """What a list of runs cannot do without; empty if all is there."""
        return self.why if self.report is None else _lacks(self.report)

    @property
    def when(self) -> tuple[str, str] | None:
        """Time of the run and its id, by which runs are in order; None if the report has none."""
        about = (self.report or {}).get("run")
        started = about.get("started_at") if isinstance(about, dict) else None
        return (started, str(about.get("id"))) if isinstance(about, dict) and isinstance(started, str) else None


def history_of(
    folder: str, found: Iterable[Glanced], metrics: Sequence[MetricRef], limit: int | None = None, older: int = 0
) -> History:
    """The runs below a folder.

    Args:
        folder: as given, without secrets.
        found: their reports, in any order.
        metrics: to show; none: those of the tasks that occur.
        limit: newest runs to show; None: all.
        older: runs before all of these, which nobody looks at.
    """
    readable: list[tuple[str, str, Glanced]] = []
    unreadable = []
    for each in found:
        why = each.lacks
        if each.report is None or why:
            unreadable.append({"path": each.path, "why": why})
        else:
            run = each.report["run"]
            readable.append((run["started_at"], run["id"], each))
    readable.sort(key=lambda item: item[:2])
    # One more, for the drift of the first that is shown.
    shown = len(readable) if limit is None else min(limit, len(readable))
    glanced = [each for _, _, each in readable[max(0, len(readable) - shown - 1) :]]
    tasks = {each.report["quality"]["task"] for each in glanced if each.report is not None}
    refs = list(metrics) or [MetricRef(name) for name in _usual(tasks)]
    drifting = shown if limit is not None else min(shown, DRIFTING)
    rows: list[dict[str, Any]] = []
    before: tuple[str, Shape | str] | None = None
    for left, each in zip(range(len(glanced), 0, -1), glanced, strict=True):
        row, shape = _row(each, refs), _shape(each) if left <= drifting + 1 else None
        row["drift"] = None if before is None or shape is None else {"from": before[0], **_drift(before[1], shape)}
        before = None if shape is None else (row["run"], shape)
        rows.append(row)
    return History(
        {
            "folder": folder,
            "metrics": [str(ref) for ref in refs],
            "runs": rows[len(rows) - shown :],
            "left_out": len(readable) - shown + older,
            "unreadable": sorted(unreadable, key=lambda item: item["path"]),
        }
    )


def _usual(tasks: set[str]) -> Iterable[str]:
    """Metrics of the tasks, each once; latency last."""
    lists = [names for task, names in (("binary", OF_BINARY), ("multiclass", OF_MANY)) if task in tasks] or [OF_MANY]
    names = dict.fromkeys(name for each in lists for name in each)
    return sorted(names, key=lambda name: name.startswith("latency."))


def _lacks(report: Mapping[str, Any]) -> str:
    """What of a report a list of runs cannot do without."""
    needed: tuple[Callable[[Mapping[str, Any]], object], ...] = (
        lambda r: (r["run"]["id"].lower(), r["run"]["started_at"].lower(), r["status"].lower()),
        lambda r: (
            r["coverage"]["rows"]["planned"] + r["quality"]["rows"],
            r["latency"].keys(),
            r["throughput"].keys(),
        ),
        lambda r: [(row["class"].lower(), row["support"] + 0) for row in r["quality"]["per_class"]],
        lambda r: (r["quality"]["task"].lower(), r["quality"]["classes"]),
        lambda r: (r["provenance"]["model"]["sha256"].lower(), r["provenance"]["data"]["plan_digest"].lower()),
    )
    try:
        for look in needed:
            look(report)
    except (KeyError, TypeError, AttributeError) as error:
        return f"not a valid report: {type(error).__name__} {error}"
    return ""


def _row(glanced: Glanced, refs: Sequence[MetricRef]) -> dict[str, Any]:
    report = glanced.report or {}
    run, provenance = report["run"], report["provenance"]
    return {
        "run": run["id"],
        "name": run["name"],
        "started_at": run["started_at"],
        "status": report["status"],
        "path": glanced.path,
        "rows": report["quality"]["rows"],
        "model_sha256": provenance["model"]["sha256"],
        "data_digest": provenance["data"]["plan_digest"],
        "metrics": {str(ref): _metric(ref, report) for ref in refs},
    }


def _metric(ref: MetricRef, report: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = look_up(ref, report)
    except (KeyError, TypeError) as error:
        return {"value": None, "ci": None, "reason": f"not a valid report: {type(error).__name__} {error}"}
    if isinstance(found, str):
        return {"value": None, "ci": None, "reason": found}
    reason = {"reason": found.estimate["reason"]} if "reason" in found.estimate else {}
    return {"value": found.estimate["value"], "ci": found.estimate["ci"], **reason}


def _shape(glanced: Glanced) -> Shape | str:
    """What may drift; a sentence if it cannot be read."""
    whole = glanced.again() if glanced.again is not None else glanced
    try:
        return Shape.of(whole.report or {})
    except (KeyError, TypeError, ValueError) as error:
        return f"not a valid report: {type(error).__name__} {error}"


def _drift(older: Shape | str, newer: Shape | str) -> dict[str, Any]:
    try:
        if isinstance(older, Shape) and isinstance(newer, Shape):
            return drift_of(older, newer)
        why = older if isinstance(older, str) else str(newer)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        why = f"not a valid report: {type(error).__name__} {error}"
    missing = {"psi": None, "js": None, "reason": why}
    return {"class_balance": missing, "scores": missing}
