"""The command `schema`: the JSON Schemas of all that is written and printed as JSON, and of the job file."""

from __future__ import annotations

import json
from typing import Any

import click

from ortbatch.terminal import put


@click.command("schema")
@click.argument("what", type=click.Choice(["job", "report", "latency", "check"]))
def schema_command(what: str) -> None:
    """Print the JSON Schema of the job file, of report.json, of a latency curve or of a check."""
    put(json.dumps(_schema(what), indent=2) + "\n")


def _schema(what: str) -> dict[str, Any]:
    if what == "job":
        from ortbatch.job import job_schema

        return job_schema()
    if what == "latency":
        from ortbatch.report.latency_curve_schema import CURVE_SCHEMA

        return CURVE_SCHEMA
    if what == "check":
        from ortbatch.preflight_schema import PREFLIGHT_SCHEMA

        return PREFLIGHT_SCHEMA
    from ortbatch.report.schema import REPORT_SCHEMA

    return REPORT_SCHEMA
