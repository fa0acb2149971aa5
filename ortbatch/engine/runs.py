"""Finished runs by where they lie: below a folder, or by a name that may hold `*`. A run is where a report.json is.

Local folders are walked no deeper than a run: what lies in one is no run. On a store all names below are listed.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ortbatch.data.storage import exists, is_remote, list_files, local_path
from ortbatch.engine.folder import PLAN, REPORT, RunFolder
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

_GLOB = re.compile(r"[*?\[]")


def runs_below(folder: str) -> tuple[list[RunFolder], list[tuple[str, str]]]:
    """Folders of all finished runs below a folder, itself among them; and folders that cannot be looked into, with why.

    Raises:
        DataError: if there is no such folder.
        StorageError: if storage failed.
    """
    if is_remote(folder):
        head, question, query = folder.partition("?")
        return [
            _of(file.uri) for file in list_files([f"{head.rstrip('/')}{question}{query}"]) if _is_report(file.uri)
        ], []
    root = local_path(folder)
    if not root.is_dir():
        raise DataError(f"{redact(folder)}: no such folder; give one that holds runs")
    closed: list[tuple[str, str]] = []
    found = [RunFolder(path) for path in _walked(root, closed)]
    return found, closed


def _walked(root: Path, closed: list[tuple[str, str]]) -> Iterator[str]:
    def note(error: OSError) -> None:
        closed.append((str(error.filename), f"cannot be looked into: {error.strerror}"))

    for path, folders, files in os.walk(root, onerror=note):
        if REPORT in files:
            yield path
        if REPORT in files or PLAN in files:
            folders.clear()
        folders.sort()


def runs_named(name: str, base: Path) -> list[RunFolder]:
    """Folders of finished runs that a name stands for.

    Args:
        name: of a run folder or its report.json, by path or URI, with `*`, `?`, `[...]` or `**` in it for several. What
            is there by that very name is no pattern.
        base: folder that a relative path counts from.

    Raises:
        DataError: if it is no URI of a store that is known.
        StorageError: if storage failed.
    """
    if is_remote(name):
        head, question, query = name.partition("?")
        one = RunFolder(f"{head.removesuffix(REPORT).rstrip('/')}{question}{query}")
        if not _GLOB.search(head):
            return [one] if one.holds_report() else []
        try:
            return [_of(file.uri) for file in list_files([one.file(REPORT)])]
        except DataError:
            return []
    path = str(local_path(name)).removesuffix(f"/{REPORT}")
    whole = str(base / path)
    if exists(whole) or not _GLOB.search(path):
        return [RunFolder(whole)] if RunFolder(whole).holds_report() else []
    # `root_dir`: the folder of the job may hold characters of patterns itself.
    found = sorted(glob.glob(path, root_dir=base, recursive=True))  # noqa: PTH207
    return [run for run in (RunFolder(str(base / each)) for each in found) if run.holds_report()]


def same_folder(one: RunFolder, other: RunFolder) -> bool:
    """Are two names of run folders those of one folder, also through links?"""
    if is_remote(one.uri) or is_remote(other.uri):
        return one.file("") == other.file("")
    return os.path.realpath(local_path(one.uri)) == os.path.realpath(local_path(other.uri))


def is_pattern(name: str) -> bool:
    """May a name stand for several?"""
    return bool(_GLOB.search(name.partition("?")[0] if is_remote(name) else name))


def _is_report(uri: str) -> bool:
    return uri.partition("?")[0].endswith(f"/{REPORT}")


def _of(uri: str) -> RunFolder:
    head, question, query = uri.partition("?") if is_remote(uri) else (uri, "", "")
    return RunFolder(f"{head.removesuffix(f'/{REPORT}')}{question}{query}")
