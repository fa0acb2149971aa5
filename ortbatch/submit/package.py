"""The files of a job's folder that travel: code, model, and the data that the job names there; no more than a bound.

Left behind is what only this machine needs: hidden files, `data/`, `runs/`, Parquet files, keys; `.ortbatchignore`
(in the syntax of .gitignore) adds to it. What the job names travels in any case, but for keys. Files that lie outside
of the folder are named by absolute paths or URIs, and must be there on every node.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortbatch.errors import JobError, Problem

if TYPE_CHECKING:
    from ortbatch.job import Job

IGNORE_FILE = ".ortbatchignore"
LARGEST = 100_000_000
_MOST_FILES = 5_000
_SHOWN = 3
_IGNORED = (".*", "__pycache__/", "*.py[co]", "/data/", "/runs/", "*.parquet")
_KEYS = ("*.pem", "*.key", "*.p12", "*.pfx", "*.env", ".env*", "id_rsa*", "id_ed25519*", "id_ecdsa*", "auth_token",
         "credentials", "credentials.*", ".netrc", ".aws/", ".ssh/", ".git/")  # fmt: skip
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(models|runs):/")
_REPORT = "report.json"


@dataclass(frozen=True)
class Package:
    """What travels.

    Args:
        files: by name in the package, with `/`, in order.
        digest: of names and contents; without the reports of earlier runs, which are others after each run.
        size: bytes.
    """

    files: dict[str, Path]
    digest: str
    size: int

    def write(self, folder: Path) -> None:
        """Copy the files into a folder."""
        for name, path in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def pack(job: Job, job_file: str) -> Package:
    """The files that travel with a job.

    Args:
        job: that is to run.
        job_file: its file, in the job's folder.

    Raises:
        JobError: if the job names files beside its folder, or what travels is too much.
    """
    import pathspec

    folder = job.folder
    ignore = folder / IGNORE_FILE
    own = ignore.read_text().splitlines() if ignore.is_file() else []
    ignored = pathspec.PathSpec.from_lines("gitignore", [*_IGNORED, *own])
    keys = pathspec.PathSpec.from_lines("gitignore", _KEYS)
    named, reports = _named(job)
    files = {name: path for name, path in _below(folder, folder) if not ignored.match_file(name)}
    for path in (*named, *reports):
        files |= dict(_below(path, folder)) if path.is_dir() else {path.relative_to(folder).as_posix(): path}
    files[job_file] = folder / job_file
    files = {name: files[name] for name in sorted(files) if not keys.match_file(name)}
    size = _bounded(job, files)
    changing = {path.relative_to(folder).as_posix() for path in reports}
    return Package(files, _digest({name: path for name, path in files.items() if name not in changing}), size)


def _below(top: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for where, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", ".git", ".venv"))
        for name in names:
            path = Path(where, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _named(job: Job) -> tuple[list[Path], list[Path]]:
    """Files and folders below the job's that it names; and the reports of earlier runs among them."""
    named, reports, problems = [], [], []
    for key, path in _paths(job.resolved()):
        if _REMOTE.match(path) or Path(path).is_absolute():
            continue
        if os.path.normpath(path).startswith(".."):
            said = f"{path} lies outside of the job's folder, which is all that travels; move it there, or name a URI"
            problems.append(Problem(job.name, key, said))
            continue
        # The folder of the job may hold characters of patterns itself.
        found = [job.folder / name for name in glob.glob(path, root_dir=job.folder, recursive=True)]  # noqa: PTH207
        if key.endswith(".run"):
            reports += [run / _REPORT for run in found if (run / _REPORT).is_file()]
            continue
        named += found
        # Weights of large models lie beside their graph.
        beside = f"{glob.escape(path)}?data"
        named += [job.folder / name for name in glob.glob(beside, root_dir=job.folder)]  # noqa: PTH207
    written = None if job.predictions is None else job.predictions.path
    if written is not None and not _REMOTE.match(written) and not Path(written).is_absolute():
        said = (
            f"{written} would lie in a copy of the folder, which goes when the run ends; name a URI or an absolute path"
        )
        problems.append(Problem(job.name, "predictions.path", said))
    if problems:
        raise JobError(problems)
    return named, reports


def _paths(job: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every path of a job, by its key."""
    models = {"model": job["model"], **{f"baselines.{name}": spec for name, spec in job["baselines"].items()}}
    for where, spec in models.items():
        keys = ["path", "torch", "weights", "run", *(["scores"] if where == "model" else [])]
        yield from ((f"{where}.{key}", spec[key]) for key in keys if isinstance(spec.get(key), str))
        for part in (spec, spec.get("transform") or {}):
            yield from ((f"{where}.files", path) for path in part.get("files") or ())
    yield from (("data.path", path) for path in job["data"]["path"])
    yield from (("checks.training_data", path) for path in (job["checks"] or {}).get("training_data", ()))


def _bounded(job: Job, files: dict[str, Path]) -> int:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    size = sum(sizes.values())
    if size <= LARGEST and len(files) <= _MOST_FILES:
        return size
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN]
    listed = ", ".join(f"{name} ({sizes[name] / 1e6:.1f} MB)" for name in largest)
    said = (
        f"{size / 1e6:.1f} MB in {len(files):,} files would travel, {LARGEST / 1e6:.0f} MB in {_MOST_FILES:,} files "
        f"are the most; the largest are {listed}. Put models and data on an object store and name their URIs, or "
        f"keep what the run does not need here: name it in {IGNORE_FILE}"
    )
    raise JobError([Problem(str(job.folder), "", said)])


def _digest(files: dict[str, Path]) -> str:
    total = hashlib.sha256()
    for name, path in files.items():
        with path.open("rb") as content:
            total.update(f"{name}\0{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
