"""The command `init`: a job file by looking at a model and at data. Arguments in, exit codes out; nothing is asked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortbatch.errors import StorageError
from ortbatch.terminal import drawn, put
from ortbatch.verdict import shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from ortbatch.draft.attempts import Draft


@click.command("init")
@click.option("--model", required=True, type=click.Path(), metavar="FILE", help="ONNX file, by path or URI.")
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(),
    metavar="PATH",
    help="Parquet: file, folder, glob or URI.",
)
@click.option("--label", metavar="COLUMN", help="Column of the label, where it cannot be told.")
@click.option(
    "--classes",
    type=click.Path(),
    metavar="NAMES",
    help="Classes in output order, `cat,dog`, or a file with one a line.",
)
@click.option(
    "--out", type=click.Path(), default="job.yaml", show_default=True, metavar="FILE", help="Job file to write."
)
@click.option("--force", is_flag=True, help="Write it even if there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print what was inferred as JSON.")
def init_command(
    model: str, data: tuple[str, ...], label: str | None, classes: str | None, out: str, **options: bool
) -> None:
    """Write a commented job file by looking at a model and at data; it runs unedited.

    Says what was inferred, and by what. What cannot be told is not guessed: nothing is written, the exit code is 2.
    """
    from ortbatch.data.atomic import write_bytes
    from ortbatch.draft.attempts import Hints, draft_job
    from ortbatch.draft.text import draft_text

    if Path(out).exists() and not options["force"]:
        raise click.UsageError(f"--out {out}: there is one already; give another name, or --force to replace it")
    with _folder_of(Path(out)):
        draft = draft_job(model, data, Path(out), Hints(label, classes))
        write_bytes(out, draft_text(draft, _command(model, data, out)).encode())
    put(_as_json(draft, out) if options["as_json"] else drawn(lambda console: _print(draft, out, console)))


@contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    """Make the folder of a file, from which its paths count; where the block raises, leave none that was not there."""
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageError(f"--out {path}: cannot be written: {error.strerror}. Give another name.") from None
    except Exception:
        for folder in missing:
            folder.rmdir()
        raise


def _command(model: str, data: tuple[str, ...], out: str) -> str:
    from ortbatch.job.redaction import redact

    sources = [word for each in data for word in ("--data", redact(each))]
    return f"made by: {shlex.join(['ortbatch', 'init', '--model', redact(model), *sources, '--out', out])}"


def _as_json(draft: Draft, out: str) -> str:
    from dataclasses import asdict

    from ortbatch.draft.text import caution, draft_notes
    from ortbatch.report.encode import encode, plain

    told = {
        "path": out,
        "job": draft.job.resolved(),
        "inferred": [asdict(note) for note in draft_notes(draft)],
        "agreement": {**asdict(draft.agreement), "says_something": draft.agreement.says_something},
        "caution": caution(draft),
    }
    return f"{encode(plain(told))}\n"


def _print(draft: Draft, out: str, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ortbatch.draft.text import caution, draft_notes
    from ortbatch.report.format import name

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("inferred", "value", "by"):
        table.add_column(column, overflow="fold")
    for note in draft_notes(draft):
        table.add_row(*(Text(name(cell, 400)) for cell in (note.what, note.value, note.by)))
    console.print(Text(f"wrote {name(shown_path(out), 200)}", "bold"))
    console.print(table)
    console.print(Text(f"tried: {draft.agreement}"))
    if (said := caution(draft)) is not None:
        console.print(Text(f"caution: {said}", "bold yellow"))
    console.print(Text(f"next: ortbatch run {shlex.quote(name(shown_path(out), 200))}"))
