"""The command `track`: tell an experiment tracker of a finished run. Arguments in, exit codes out."""

from __future__ import annotations

import click

from ortbatch.terminal import put


@click.command("track")
@click.argument("run")
@click.option("--mlflow", "uri", metavar="URI", help="MLflow server; by default the one that the job names.")
@click.option("--experiment", metavar="NAME", help="Experiment there; by default the job's.")
def track_command(run: str, uri: str | None, experiment: str | None) -> None:
    """Log a finished RUN (its folder) to MLflow, as its job does when it ends: once, however often this is called."""
    from ortbatch.earlier import read_run, run_folder
    from ortbatch.tracking.spec import spec_of
    from ortbatch.tracking.track import track

    report = read_run(run)
    where = track(report, run_folder(run), spec_of(report, uri, experiment))
    put(f"logged: {where}\n")
