"""The commands about runs that are done: `compare` and `history`. Arguments in, exit codes out."""

from __future__ import annotations

from typing import Any

import click

from ortbatch.terminal import drawn, put, say

_MOST_LINES = 50
_HTML = click.option(
    "--html",
    "html",
    type=click.Path(),
    metavar="FILE",
    help="Also write it as a page: one HTML file that needs nothing else.",
)


@click.command("compare")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option(
    "--max-drop",
    "drops",
    multiple=True,
    metavar="METRIC=X",
    help="Exit with 1 if the metric lost more than X: fell, or rose where lower is better (latency, log_loss).",
)
@click.option(
    "--confidence",
    type=float,
    metavar="C",
    help="Level of the intervals (0.95), which then decide about --max-drop: 4 where they cannot.",
)
@click.option("--unpaired", is_flag=True, help="Leave kept predictions of the same rows unread.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@_HTML
def compare_command(drops: tuple[str, ...], as_json: bool, html: str | None, **asked: Any) -> None:
    """Compare two finished runs, by folder or report.json: what changed, and every metric with its difference.

    Rows are paired where both runs kept predictions of the same rows. Without --max-drop the exit code is 0.
    """
    from ortbatch.earlier import compare, limits_of
    from ortbatch.report.compare_text import print_comparison

    losses = dict(_loss(entry) for entry in drops)
    try:
        limits_of(losses, asked["confidence"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    comparison = compare(**asked, max_drop=losses)
    if html is not None:
        from ortbatch.report.page.compare_page import compare_page

        _write(html, compare_page(comparison.data))
    if as_json:
        put(comparison.encode().encode())
    else:
        put(drawn(lambda console: print_comparison(comparison.data, console)))
    raise click.exceptions.Exit(comparison.exit_code)


def _loss(entry: str) -> tuple[str, float]:
    """A metric and the largest loss; a slice in the metric holds `=` too."""
    from ortbatch.metrics.reference import number

    metric, equals, loss = entry.rpartition("=")
    if not equals or not metric:
        raise click.UsageError(f"--max-drop {entry}: expected METRIC=NUMBER, such as `recall=0.01`")
    try:
        return metric.strip(), number(loss.strip())
    except ValueError as error:
        raise click.UsageError(f"--max-drop {entry}: {error}") from None


@click.command("history")
@click.argument("folder", type=click.Path())
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Show this metric; may be given several times."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N runs; the table shows 50 if unsaid."
)
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
@_HTML
def history_command(folder: str, metrics: tuple[str, ...], limit: int | None, as_json: bool, html: str | None) -> None:
    """List the finished runs below FOLDER by time: metrics with intervals, and drift from one run to the next."""
    from ortbatch.earlier import history, metrics_of
    from ortbatch.report.history_text import print_history

    try:
        metrics_of(metrics)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    # A table of a thousand lines is for no eyes, and laying it out takes longer than reading the runs.
    for_eyes = _MOST_LINES if html is None and not as_json else None
    found = history(folder, metrics=metrics, limit=limit or for_eyes)
    if html is not None:
        from ortbatch.report.page.history_page import history_page

        _write(html, history_page(found.data))
    if as_json:
        put(found.encode().encode())
    else:
        put(drawn(lambda console: print_history(found.data, console)))


def _write(file: str, page: str) -> None:
    """Write a page, whole or not at all, and say where it is."""
    from ortbatch.data.atomic import write_bytes
    from ortbatch.job.redaction import redact

    write_bytes(file, page.encode())
    say(f"page: {redact(file)}")
