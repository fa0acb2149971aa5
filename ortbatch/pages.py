"""report.html beside report.json: made after the report, from nothing but the report, and never in its way.

A page that cannot be made or written loses no run: the report and its exit code stand, and `ortbatch report RUN` makes
the page again.
"""

from __future__ import annotations

from collections.abc import Callable

from ortbatch.data.atomic import write_bytes
from ortbatch.data.storage import is_remote
from ortbatch.engine.folder import PAGE
from ortbatch.errors import OrtbatchError
from ortbatch.job.redaction import redact
from ortbatch.report.report import Report


def page_beside(report: Report) -> str:
    """Where the page of a report lies: beside it, on object stores too."""
    head, question, query = report.path.partition("?") if is_remote(report.path) else (report.path, "", "")
    folder, slash, _ = head.rpartition("/")
    return f"{folder}{slash}{PAGE}{question}{query}"


def write_page(report: Report, path: str | None = None) -> str:
    """Write the page of a report, and return where: a path or URI, beside the report if None is given.

    Raises:
        StorageError: if it cannot be written.
    """
    from ortbatch.report.page.page import report_page

    where = page_beside(report) if path is None else path
    write_bytes(where, report_page(report.data).encode())
    return where


def write_page_if_possible(report: Report, warn: Callable[[str], None]) -> bool:
    """Write the page beside its report. Was it written? If not, `warn` is told, whatever the reason."""
    try:
        write_page(report)
        return True
    except OrtbatchError as error:
        again = "`ortbatch report RUN --html FILE` makes it elsewhere."
        warn(f"the run is complete, but its page was not written: {error} {again}")
    except Exception as error:
        what = f"{type(error).__name__}: {redact(str(error))}"
        warn(
            f"the run is complete, but its page could not be made: {what}. This is a defect of ortbatch; please report "
            f"it. The report is {redact(report.path)}."
        )
    return False
