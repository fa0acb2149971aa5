"""The plan: which rows there are, cut into shards, frozen before work starts.

A plan is a function of the files and the job alone: its order is that of the file names, its shards never depend on
the number of workers. Only footers are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from ortbatch.data.footer import Footer, read_footer
from ortbatch.data.partitions import FolderColumn, folder_columns, with_folders
from ortbatch.data.storage import is_remote, list_files
from ortbatch.errors import Complaints, DataError, OrtbatchError, StorageError
from ortbatch.job.redaction import redact

_READERS = 16
_FAILED_SHOWN = 5
_SHARD_BYTES = 64 << 20
_SHARDS_AT_LEAST = 64


@dataclass(frozen=True)
class PlannedFile:
    """One data file as its footer describes it.

    Args:
        uri: where it is.
        name: its path below the folder that all files share; with size and footer it is the file's identity.
        size: bytes.
        footer_sha256: hex digest of the footer.
        group_rows: rows of each row group.
        group_bytes: uncompressed bytes of each row group.
        folders: columns that stand in the names of its folders.
    """

    uri: str
    name: str
    size: int
    footer_sha256: str
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]
    folders: tuple[FolderColumn, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.group_rows)


@dataclass(frozen=True)
class Piece:
    """A run of row groups [first_group, end_group) of one file, whose first row is row `first_row` of that file.

    `picked` holds, as int64 bytes, the row numbers within the file that a sample picked, rising; None for all. `rows`
    are the rows that are looked at.
    """

    file: int
    first_group: int
    end_group: int
    first_row: int
    rows: int
    picked: bytes | None = None


@dataclass(frozen=True)
class Shard:
    """The unit of work, of retry and of counting: a run of row groups of one file, or several small files."""

    id: int
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True)
class Plan:
    """All files and all shards; shard i has id i."""

    files: tuple[PlannedFile, ...]
    shards: tuple[Shard, ...]

    @cached_property
    def rows(self) -> int:
        """Rows that are looked at."""
        return sum(shard.rows for shard in self.shards)

    def digest(self) -> str:
        """Sha256 of files (name, size, footer, rows, columns of folders; not where they are) and shards."""
        files = [
            (f.name, f.size, f.footer_sha256, f.group_rows, [(c.name, c.value) for c in f.folders]) for f in self.files
        ]
        shards = [[_named(piece) for piece in shard.pieces] for shard in self.shards]
        return hashlib.sha256(json.dumps([files, shards]).encode()).hexdigest()

    def to_json(self) -> str:
        """The frozen plan, for the run folder."""
        files = [{**asdict(file), "uri": redact(file.uri)} for file in self.files]
        shards = [{"id": shard.id, "pieces": [_named(piece) for piece in shard.pieces]} for shard in self.shards]
        return json.dumps({"plan_version": 1, "files": files, "shards": shards})


def _named(piece: Piece) -> dict[str, int | str]:
    """A piece in JSON; picked rows by their hash."""
    named: dict[str, int | str] = {
        "file": piece.file, "first_group": piece.first_group, "end_group": piece.end_group,
        "first_row": piece.first_row, "rows": piece.rows,
    }  # fmt: skip
    return named if piece.picked is None else {**named, "picked_sha256": hashlib.sha256(piece.picked).hexdigest()}


def sampled(plan: Plan, rows: int, seed: int) -> Plan:
    """The same plan for some rows, drawn without replacement from all; shards without any are left out.

    Raises:
        DataError: if there are fewer rows than asked for.
    """
    if rows > plan.rows:
        raise DataError(f"data.sample.rows: {rows:,} asked for, the data have {plan.rows:,} rows.")
    picked = np.sort(np.random.default_rng(seed).choice(plan.rows, rows, replace=False, shuffle=False))
    shards: list[Shard] = []
    before = 0
    for shard in plan.shards:
        pieces = []
        for piece in shard.pieces:
            first, last = np.searchsorted(picked, [before, before + piece.rows])
            if last > first:
                numbers = picked[first:last].astype(np.int64) - before + piece.first_row
                pieces.append(replace(piece, rows=int(last - first), picked=numbers.tobytes()))
            before += piece.rows
        if pieces:
            shards.append(Shard(len(shards), tuple(pieces)))
    return Plan(plan.files, tuple(shards))


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
    footers = _footers(paths, complaints)
    folders = folder_columns([file.folders for file in listed])
    checked: list[pa.Schema] = []
    for path, footer, columns in zip(paths, footers, folders, strict=True):
        if footer is not None and (schema := with_folders(footer.schema, columns)) not in checked:
            with complaints.heard():
                check_schema(path, schema)
            checked.append(schema)
    complaints.raise_all()
    names = _names(paths)
    known = [footer for footer in footers if footer is not None]
    files = tuple(_planned(*entry) for entry in zip(paths, names, known, folders, strict=True))
    if not any(file.rows for file in files):
        raise DataError(f"{', '.join(map(redact, uris))}: {len(files)} files, but no row in them")
    return Plan(files, tuple(_cut(files, shard_rows)))


def _footers(paths: Sequence[str], complaints: Complaints) -> list[Footer | None]:
    """Footers of all files; None for one that has none, of which the first few are told."""
    failed: list[OrtbatchError] = []

    def read(path: str) -> Footer | None:
        try:
            return read_footer(path)
        except (DataError, StorageError) as error:
            failed.append(error)
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        footers = list(pool.map(read, paths))
    for error in sorted(failed, key=str)[:_FAILED_SHOWN]:
        complaints.add(error)
    if len(failed) > _FAILED_SHOWN:
        complaints.add(DataError(f"{len(failed) - _FAILED_SHOWN:,} more of {len(paths):,} files cannot be read."))
    return footers


def _names(paths: Sequence[str]) -> list[str]:
    """Each path, without credentials and options, below the deepest folder that all share."""
    parts = [_parts(path) for path in paths]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def _parts(path: str) -> tuple[str, ...]:
    if not is_remote(path):
        return PurePosixPath(path).parts
    uri = urlsplit(path)
    return (uri.scheme, uri.netloc.rpartition("@")[2], *PurePosixPath(uri.path).parts[1:])


def _planned(uri: str, name: str, footer: Footer, folders: tuple[FolderColumn, ...]) -> PlannedFile:
    return PlannedFile(uri, name, footer.size, footer.sha256, footer.group_rows, footer.group_bytes, folders)


def _cut(files: Sequence[PlannedFile], shard_rows: int | None) -> list[Shard]:
    """Cut files into shards of at most a target size; at least one row group, or one small file, each."""
    total = sum(sum(file.group_bytes) for file in files)
    auto = min(_SHARD_BYTES, max(1, total // _SHARDS_AT_LEAST))
    limit = _Limit(auto, None) if shard_rows is None else _Limit(None, shard_rows)
    groups: list[list[Piece]] = []
    rows = size = 0  # of the last group, while it may still take small files
    open_group = False
    for index, file in enumerate(files):
        pieces = _pieces(index, file, limit)
        if len(pieces) != 1:
            groups += [[piece] for piece in pieces]
            open_group = open_group and not pieces
            continue
        file_size = sum(file.group_bytes)
        if open_group and limit.allows(size + file_size, rows + file.rows):
            groups[-1] += pieces
            rows, size = rows + file.rows, size + file_size
        else:
            groups.append(pieces)
            rows, size, open_group = file.rows, file_size, True
    return [Shard(index, tuple(group)) for index, group in enumerate(groups)]


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
