"""The command `latency`: what batches of each size cost. Arguments in, exit codes out."""

from __future__ import annotations

import click

from ortbatch.job_arguments import job_arguments, load_asked
from ortbatch.terminal import drawn, put, say


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    from ortbatch.curve import numbers_of

    try:
        return None if text is None else numbers_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("latency")
@job_arguments
@click.option(
    "--batch",
    default="1,2,4,...,256",
    show_default=True,
    callback=_numbers,
    metavar="N,N,...",
    help="Batch sizes, rising.",
)
@click.option(
    "--threads",
    callback=_numbers,
    metavar="N,N,...",
    help="Threads of the session, rising; by default the job's `latency.threads`.",
)
@click.option("--seconds", type=float, default=30.0, show_default=True, metavar="S", help="For warm-up and runs.")
@click.option(
    "--max-p99-ms",
    type=float,
    metavar="MS",
    help="Name the largest batch that keeps this limit; exit with 1 if none does, 4 where that cannot be told.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the curve as JSON.")
@click.option("--out", metavar="FILE.json", help="Write the curve as JSON.")
@click.option("--plot", metavar="FILE.svg", help="Draw the curve; needs the extra `plot`.")
def latency_command(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    batch: tuple[int, ...],
    threads: tuple[int, ...] | None,
    seconds: float,
    max_p99_ms: float | None,
    as_json: bool,
    out: str | None,
    plot: str | None,
) -> None:
    """Time batches of several sizes on real rows of JOB: latency and rows a second of each.

    Only session.run is timed. No run folder is written. Every size is run at least 30 times.
    """
    from ortbatch.curve import Sweep, latency_curve
    from ortbatch.data.atomic import write_bytes
    from ortbatch.report.latency_curve_plot import curve_svg
    from ortbatch.report.latency_curve_text import print_curve

    if plot is not None and not plot.endswith(".svg"):
        raise click.UsageError(f"--plot {plot}: it is written as SVG; give a name that ends in .svg")
    try:
        asked = Sweep(batch, threads, seconds, max_p99_ms)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    curve = latency_curve(load_asked(job, variables, overrides), asked, tell=say)
    put(curve.encode().encode() if as_json else drawn(lambda console: print_curve(curve.data, console)))
    if out is not None:
        write_bytes(out, curve.encode().encode())
    if plot is not None:
        write_bytes(plot, curve_svg(curve.data).encode())
    raise click.exceptions.Exit(curve.exit_code)
