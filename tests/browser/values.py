"""Every number of a decoded report by the names that gates, metrics.csv and the page have for it; a plain walk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Number = float | int | None


def numbers_of(report: Mapping[str, Any]) -> dict[str, Number]:
    """Name → number as report.json has it. Paths stand for themselves: `coverage.rows.planned`."""
    found = dict(_paths(report, ""))
    found |= {name: item["value"] for name, item in _estimates(report["quality"])}
    found |= _of_classes(report["quality"]["per_class"], "")
    found["coverage"] = report["coverage"]["fraction"]["value"]
    for entry in report.get("slices", []):
        found |= {f"{name}@{entry['name']}": item["value"] for name, item in _estimates(entry)}
        found |= _of_classes(entry.get("per_class", []), f"@{entry['name']}")
    found |= _operating_points(report)
    for name in report.get("fidelity", {}):
        found |= dict(_baseline(name, report))
    gaps = report.get("overfitting", {}).get("gaps", {})
    found |= {f"overfitting.{name}": item["value"] for name, item in gaps.items()}
    for gate in report["gates"]:
        found["gates[" + gate["gate"] + "]" if "versus" in gate else gate["metric"]] = gate["value"]
    return found


def _estimates(section: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, item) for name, item in section.items() if isinstance(item, dict) and {"value", "ci"} <= item.keys())


def _of(class_name: str) -> list[str]:
    """A class in brackets, also as JSON: awkward names are written so."""
    return [f"[{class_name}]", f"[{json.dumps(class_name, ensure_ascii=False)}]", f"[{json.dumps(class_name)}]"]


def _of_classes(rows: list[Mapping[str, Any]], at: str) -> dict[str, Number]:
    named = [(row, name, item) for row in rows for name, item in _estimates(row)]
    return {f"{name}{of}{at}": item["value"] for row, name, item in named for of in _of(row["class"])}


def _operating_points(report: Mapping[str, Any]) -> dict[str, Number]:
    curves = report.get("thresholds", {}).get("curves", [])
    points = [(curve["class"], point["metric"], point["estimate"]["value"])
              for curve in curves for point in curve["operating_points"]]  # fmt: skip
    plain = {metric: value for _, metric, value in points if "positive" in report["quality"]}
    return plain | {f"{metric}{of}": value for name, metric, value in points for of in _of(name)}


def _baseline(name: str, report: Mapping[str, Any]) -> Iterator[tuple[str, Number]]:
    """What gates call `fidelity[name].max_difference`, `fidelity[name].agreement@device=ios`."""
    entry, family = report["fidelity"][name], f"fidelity[{name}]"
    yield from _paths(entry, family)
    yield f"{family}.unusable", sum(entry["unusable"].values())
    yield from ((f"{family}.{of}_difference", item["value"]) for of, item in _estimates(entry.get("scores", {})))
    yield from ((f"{family}.{of}_difference", it["difference"]["value"]) for of, it in entry["metrics"].items())
    for part in entry.get("slices", []):
        yield f"{family}.agreement@{part['name']}", part["agreement"]["value"]
        yield f"{family}.accuracy_difference@{part['name']}", part["accuracy"]["difference"]["value"]
    timed = report["latency"].get("baselines", {}).get(name, {})
    for ratio, of in (("latency_ratio", "batch_ratio"), ("single_latency_ratio", "single_ratio")):
        if of in timed:
            yield f"{family}.{ratio}", timed[of]["value"]


def _paths(value: Any, path: str) -> Iterator[tuple[str, Number]]:
    """(dotted path, number) of every number; an estimate is one."""
    if isinstance(value, dict):
        if {"value", "ci"} <= value.keys():
            yield path, value["value"]
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _paths(inner, f"{path}[{place}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
