"""Verdicts as JUnit XML, for systems that show test results: a gate is a test case.

A gate that failed is a failure, one that is inconclusive an error, so that neither looks green. An incomplete run has a
case of its own, `coverage of the data`, in error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {"failed": "failure", "inconclusive": "error"}


def junit_xml(report: Mapping[str, Any]) -> str:
    """The verdicts of a decoded report as an XML document."""
    gates, run = report["gates"], report["run"]
    incomplete = report["status"] == "incomplete"
    outcomes = [gate["outcome"] for gate in gates]
    counts = {
        "tests": str(len(gates) + incomplete),
        "failures": str(outcomes.count("failed")),
        "errors": str(outcomes.count("inconclusive") + incomplete),
        "skipped": "0",
        "time": f"{run['duration_s']:.3f}",
    }
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": _text(run["name"]), "timestamp": run["started_at"], **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in _facts(report).items():
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for gate in gates:
        case = _case(suite, run["name"], gate["gate"])
        if (tag := _TAGS.get(gate["outcome"])) is not None:
            why = _text(gate["why"])
            ET.SubElement(case, tag, {"type": gate["outcome"], "message": why}).text = why
        else:
            ET.SubElement(case, "system-out").text = _text(gate["why"])
    if incomplete:
        bad = report["coverage"]["bad_rows"]
        why = f"{bad['count']:,} bad rows, {bad['allowed']:,} allowed; or a gate on coverage failed"
        case = _case(suite, run["name"], "coverage of the data")
        ET.SubElement(case, "error", {"type": "incomplete", "message": why}).text = why
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, name: str, gate: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", {"classname": _text(name), "name": _text(gate), "time": "0"})


def _facts(report: Mapping[str, Any]) -> dict[str, str]:
    return {
        "run_id": report["run"]["id"],
        "status": report["status"],
        "rows": str(report["quality"]["rows"]),
        "model_sha256": report["provenance"]["model"]["sha256"],
        "data_digest": report["provenance"]["data"]["plan_digest"],
    }


def _text(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
