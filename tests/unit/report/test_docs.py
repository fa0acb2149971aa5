"""docs/report.md names every key of the report, every status and every column of the table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ortbatch.report.gates import EXIT_CODES
from ortbatch.report.schema import REPORT_SCHEMA
from ortbatch.report.table import COLUMNS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "report.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", TEXT))


def keys_of(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of all properties; estimates are one key."""
    if schema.get("type") == "array":
        yield from keys_of(schema["items"], f"{path}[]")
        return
    for name, inner in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below
        if isinstance(inner, dict):
            yield from keys_of(inner, below)


PATHS = sorted(set(keys_of(REPORT_SCHEMA)))
HEADINGS = {
    "coverage.rows", "coverage.files", "coverage.shards", "coverage.bad_rows", "coverage.bad_rows.worst_files",
    "latency.batch", "latency.single",
}  # fmt: skip
JOB_KEYS = {"latency.threads", "latency.max_seconds"}


def test_the_schema_has_as_many_keys_as_it_seems() -> None:
    assert len(PATHS) > 130


@pytest.mark.parametrize("path", [path for path in PATHS if path not in HEADINGS])
def test_every_key_is_described(path: str) -> None:
    both = re.sub(r"^latency\.(batch|single\.transform|single)\.", "latency.*.", path)
    assert {path, both, path.removesuffix("[]")} & NAMED


@pytest.mark.parametrize("key", REPORT_SCHEMA["$defs"]["estimate"]["properties"])
def test_every_part_of_an_estimate_is_described(key: str) -> None:
    assert f"| `{key}` |" in TEXT


@pytest.mark.parametrize(("status", "code"), EXIT_CODES.items())
def test_every_status_stands_with_its_exit_code(status: str, code: int) -> None:
    assert f"| `{status}` | {code} |" in TEXT


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_of_the_table_is_described(column: str) -> None:
    assert f"`{column}`" in TEXT.partition("## metrics.csv")[2]


def test_no_key_is_described_that_there_is_not() -> None:
    sections = "|".join(name for name in REPORT_SCHEMA["properties"] if name != "job")
    described = {name for name in NAMED if re.fullmatch(rf"({sections})(\[\])?(\.[\w*\[\]]+)+", name)}
    known = {re.sub(r"^latency\.(batch|single\.transform|single)\.", "latency.*.", path) for path in PATHS} | set(PATHS)
    assert described - known == JOB_KEYS
