"""A few numbers that say most, for the top of the page: how right, how fast, how complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ortbatch.report.format import interval, name
from ortbatch.report.page.blocks import Cell, estimate

_BINARY = {"precision": "precision", "recall": "recall", "f1": "F1", "roc_auc": "ROC AUC"}
_MULTICLASS = {"balanced_accuracy": "balanced accuracy", "f1_macro": "F1, mean of classes", "log_loss": "log loss"}


@dataclass(frozen=True)
class Tile:
    """A number with its name.

    Args:
        label: what it is.
        value: what it comes to.
        below: its interval or why there is none, small.
    """

    label: str
    value: Cell
    below: str


def tiles(report: Mapping[str, Any]) -> list[Tile]:
    """At most eight, in the order of the page; what the data do not define is left out, but for coverage."""
    chosen = ((label, item, key) for label, item, key in _chosen(report) if item is not None)
    return [_tile(*each) for each in chosen if each[1]["value"] is not None or each[2] == "coverage"]


def _chosen(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None, str]]:
    """(label, estimate, key)"""
    quality, latency = report["quality"], report["latency"]
    yield "accuracy", quality.get("accuracy"), "accuracy"
    chosen = _BINARY if "positive" in quality else _MULTICLASS
    for metric, label in chosen.items():
        yield label, quality.get(metric), metric
    yield "p99 of a single prediction, ms", latency.get("single", {}).get("p99_ms"), "latency.single.p99_ms"
    yield "rows a second", report["throughput"]["rows_per_s"], "throughput.rows_per_s"
    yield "coverage", report["coverage"]["fraction"], "coverage"


def _tile(label: str, item: Mapping[str, Any], key: str) -> Tile:
    below = interval(item["ci"]) if item["ci"] is not None else name(item.get("reason") or "", 60)
    return Tile(label, estimate(item, key)[0], below)
