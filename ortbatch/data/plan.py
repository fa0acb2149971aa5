"""The plan: which rows there are, cut into shards, frozen before work starts.

A plan is a function of the files and the job alone: its order is that of the file names, its shards never depend on
the number of workers. Only footers are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice, takewhile
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from ortbatch.data.footers import Described, describe_all
from ortbatch.data.partitions import FolderColumn, folder_columns, with_folders
from ortbatch.data.shards import Piece, PlannedFile, Shard, Shards
from ortbatch.data.storage import is_remote, list_files
from ortbatch.errors import Complaints, DataError
from ortbatch.job.redaction import redact

__all__ = ["Piece", "Plan", "PlannedFile", "Shard", "Shards", "make_plan", "sampled"]

_SHARD_BYTES = 64 << 20
_SHARDS_AT_LEAST = 64
_ITEMS_AT_ONCE = 512


@dataclass(frozen=True)
class Plan:
    """All files and all shards; shard i has id i."""

    files: tuple[PlannedFile, ...]
    shards: Shards

    def __post_init__(self) -> None:
        object.__setattr__(self, "shards", self.shards.of_files(self.files))

    @cached_property
    def rows(self) -> int:
        """Rows that are looked at."""
        return int(self.shards.rows.sum())

    def shard(self, number: int, pieces: Sequence[Piece]) -> Shard:
        """A shard of any pieces of this plan's files."""
        return Shard(number, tuple(pieces), {piece.file: self.files[piece.file] for piece in pieces})

    def digest(self) -> str:
        """Sha256 of files (name, size, footer, rows, columns of folders; not where they are) and shards."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        files = (
            json.dumps((f.name, f.size, f.footer_sha256, f.group_rows, [(c.name, c.value) for c in f.folders]))
            for f in self.files
        )
        digest = hashlib.sha256()
        for part in chain("[", _array(files), ", ", _array(map(_named, self.shards.pieces_of_shards())), "]"):
            digest.update(part.encode())
        return digest.hexdigest()

    def to_json(self) -> str:
        """The frozen plan, for the run folder."""
        return "".join(self.json_parts())

    def json_parts(self) -> Iterator[str]:
        """The text of `to_json` in parts of some kilobytes: that of a million shards is 0.1 GB."""
        pieces = enumerate(self.shards.pieces_of_shards())
        shards = (f'{{"id": {number}, "pieces": {_named(group)}}}' for number, group in pieces)
        yield '{"plan_version": 1, "files": '
        yield from _array(map(_file_json, self.files))
        yield ', "shards": '
        yield from _array(shards)
        yield "}"


def _array(items: Iterator[str]) -> Iterator[str]:
    """A JSON array of items that are JSON already, as `json.dumps` writes it, some hundreds at a time."""
    yield "["
    before = ""
    while some := list(islice(items, _ITEMS_AT_ONCE)):
        yield before + ", ".join(some)
        before = ", "
    yield "]"


def _file_json(file: PlannedFile) -> str:
    named = {
        "uri": redact(file.uri), "name": file.name, "size": file.size, "footer_sha256": file.footer_sha256,
        "group_rows": file.group_rows, "group_bytes": file.group_bytes,
        "folders": [{"name": c.name, "value": c.value, "kind": c.kind} for c in file.folders],
    }  # fmt: skip
    return json.dumps(named)


def _named(pieces: Sequence[Piece]) -> str:
    """Pieces of a shard in JSON; picked rows by their hash."""
    named = (
        f'{{"file": {p.file}, "first_group": {p.first_group}, "end_group": {p.end_group}, '
        f'"first_row": {p.first_row}, "rows": {p.rows}{_picked(p)}}}'
        for p in pieces
    )
    return f"[{', '.join(named)}]"


def _picked(piece: Piece) -> str:
    if piece.picked is None:
        return ""
    return f', "picked_sha256": "{hashlib.sha256(piece.picked).hexdigest()}"'


def sampled(plan: Plan, rows: int, seed: int) -> Plan:
    """The same plan for some rows, drawn without replacement from all; shards without any are left out.

    Raises:
        DataError: if there are fewer rows than asked for.
    """
    if rows > plan.rows:
        raise DataError(f"data.sample.rows: {rows:,} asked for, the data have {plan.rows:,} rows. Ask for fewer.")
    picked = np.sort(np.random.default_rng(seed).choice(plan.rows, rows, replace=False, shuffle=False))
    return Plan(plan.files, plan.shards.of_rows(picked.astype(np.int64)))


def make_plan(uris: Sequence[str], shard_rows: int | None, check_schema: Callable[[str, pa.Schema], None]) -> Plan:
    """List the files, read their footers and cut shards.

    Args:
        uris: paths, folders, globs.
        shard_rows: most rows of a shard, in whole row groups; None to let size decide.
        check_schema: called once for every distinct schema with a file that has it; raises if the job cannot read it.

    Raises:
        DataError: if an entry names no file, a file is not Parquet, or there are no rows.
        PreflightError: with all that is wrong, if it is more than one thing.
    """
    listed = list_files(uris)
    paths = [file.uri for file in listed]
    complaints = Complaints()
    described = describe_all(paths, complaints)
    distinct = list(dict.fromkeys(file.folders for file in listed))
    by_folders = dict(zip(distinct, folder_columns(distinct), strict=True))
    folders = [by_folders[file.folders] for file in listed]
    _check_schemas(paths, described, folders, check_schema, complaints)
    complaints.raise_all()
    known = (entry for entry in described if entry is not None)
    files = tuple(map(_planned, paths, _names(paths), known, folders))
    if not any(file.rows for file in files):
        raise DataError(
            f"{', '.join(map(redact, uris))}: {len(files)} files, but no row in them; look at what writes them"
        )
    return Plan(files, Shards.of(files, _cut(files, shard_rows)))


def _check_schemas(
    paths: Sequence[str], described: Sequence[Described | None], folders: Sequence[tuple[FolderColumn, ...]],
    check_schema: Callable[[str, pa.Schema], None], complaints: Complaints,
) -> None:  # fmt: skip
    """Have each distinct schema checked once, with the first file that has it."""
    # Files that share a schema mostly share the object; schemas that are equal share their names and types.
    seen: set[tuple[int, int]] = set()
    checked: dict[tuple[str, ...], list[pa.Schema]] = {}
    for path, entry, columns in zip(paths, described, folders, strict=True):
        if entry is None or (id(entry.schema), id(columns)) in seen:
            continue
        seen.add((id(entry.schema), id(columns)))
        schema = with_folders(entry.schema, columns)
        alike = checked.setdefault((*schema.names, *map(str, schema.types)), [])
        if schema not in alike:
            with complaints.heard():
                check_schema(path, schema)
            alike.append(schema)


def _names(paths: Sequence[str]) -> list[str]:
    """Each path, without credentials and options, below the deepest folder that all share."""
    placed = [_placed(path) for path in paths]
    folders = list(dict.fromkeys(folder for folder, _ in placed))
    # Between the least and the greatest of sorted folders, all start as both do.
    ends = zip(min(folders), max(folders), strict=False)
    shared = sum(1 for _ in takewhile(lambda parts: parts[0] == parts[1], ends))
    below = {folder: "".join(f"{part}/" for part in folder[shared:]) for folder in folders}
    return [below[folder] + name for folder, name in placed]


def _placed(path: str) -> tuple[tuple[str, ...], str]:
    """Folders and name of a path or URI."""
    if is_remote(path):
        uri = urlsplit(path)
        parts = (uri.scheme, uri.netloc.rpartition("@")[2], *PurePosixPath(uri.path).parts[1:])
        return parts[:-1], parts[-1]
    folder, slash, name = path.rpartition("/")
    return _folders(folder + slash), name


@lru_cache(maxsize=1_024)
def _folders(folder: str) -> tuple[str, ...]:
    return PurePosixPath(folder).parts


def _planned(uri: str, name: str, found: Described, folders: tuple[FolderColumn, ...]) -> PlannedFile:
    return PlannedFile(uri, name, found.size, found.sha256, found.group_rows, found.group_bytes, folders)


def _cut(files: Sequence[PlannedFile], shard_rows: int | None) -> Iterator[list[Piece]]:
    """Pieces of each shard: files cut to at most a target size; at least one row group, or one small file, each."""
    total = sum(sum(file.group_bytes) for file in files)
    auto = min(_SHARD_BYTES, max(1, total // _SHARDS_AT_LEAST))
    limit = _Limit(auto, None) if shard_rows is None else _Limit(None, shard_rows)
    small: list[Piece] = []  # a shard that may still take small files
    rows = size = 0  # of it
    for index, file in enumerate(files):
        pieces = _pieces(index, file, limit)
        file_rows, file_size = file.rows, sum(file.group_bytes)
        if len(pieces) == 1 and small and limit.allows(size + file_size, rows + file_rows):
            small += pieces
            rows, size = rows + file_rows, size + file_size
        elif pieces:
            if small:
                yield small
            small, rows, size = (pieces, file_rows, file_size) if len(pieces) == 1 else ([], 0, 0)
            if not small:
                yield from ([piece] for piece in pieces)
    if small:
        yield small


@dataclass(frozen=True)
class _Limit:
    """Most bytes, or most rows, of a shard of more than one row group."""

    max_bytes: int | None
    max_rows: int | None

    def allows(self, size: int, rows: int) -> bool:
        return (self.max_bytes is None or size <= self.max_bytes) and (self.max_rows is None or rows <= self.max_rows)


def _pieces(index: int, file: PlannedFile, limit: _Limit) -> list[Piece]:
    """Runs of row groups of one file, each as long as the limit allows; empty row groups join their neighbours."""
    pieces: list[Piece] = []
    first, first_row, rows, size = 0, 0, 0, 0
    for group, (more, more_size) in enumerate(zip(file.group_rows, file.group_bytes, strict=True)):
        if rows and more and not limit.allows(size + more_size, rows + more):
            pieces.append(Piece(index, first, group, first_row, rows))
            first, first_row, rows, size = group, first_row + rows, 0, 0
        rows, size = rows + more, size + more_size
    if rows:
        pieces.append(Piece(index, first, len(file.group_rows), first_row, rows))
    return pieces
