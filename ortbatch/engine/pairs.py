"""Predictions of two runs over the same rows, read side by side: shard by shard, a file of each in memory at a time.

A file is believed when its hash is the one that the manifest says. Rows are paired by place: two runs of one plan have
the same shards, and a file holds a row for each planned row of its shard. What is not complete is no error, and told in
words; what is damaged is one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ortbatch.data.storage import exists, read_bytes
from ortbatch.engine.folder import RunFolder
from ortbatch.engine.predictions import FOLDER, MANIFEST, SUCCESS
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable
from ortbatch.metrics.pairs import NOWHERE, Codes, PairedRows

_PART = re.compile(r"part-(\d{6,})-[0-9a-f]{8}\.parquet")
_COLUMNS = ["label", "predicted", "rejected_reason"]
_ROWS = 65_536
_AGAIN = "Run it again with --force, or compare without predictions (--unpaired)."


@dataclass(frozen=True)
class _File:
    """A file of a shard, as the manifest has it."""

    uri: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Predictions:
    """Complete predictions of a run: the file of each shard that was done."""

    files: Mapping[int, _File]
    quarantined: frozenset[int]


@dataclass(frozen=True)
class _Rows:
    """N rows of one run: classes by index, int64[N]; `NOWHERE` without label, where not evaluated, or unpredicted."""

    label: Codes
    evaluated: Codes
    predicted: Codes

    def __len__(self) -> int:
        return len(self.label)

    def cut(self, start: int, end: int) -> _Rows:
        return _Rows(self.label[start:end], self.evaluated[start:end], self.predicted[start:end])


def predictions_of(folder: RunFolder, report: Mapping[str, Any]) -> Predictions | str:
    """What a finished run kept; a clause that says why nothing can be read.

    Raises:
        DataError: if the manifest is damaged, or is that of another run.
        StorageError: if storage failed.
    """
    if "predictions" not in report:
        return "kept no predictions"
    if (elsewhere := report["predictions"]["folder"]) != FOLDER:
        return f"keeps its predictions apart from it, in {printable(elsewhere)}"
    missing = [name for name in (SUCCESS, MANIFEST) if not exists(folder.file(f"{FOLDER}/{name}"))]
    if missing:
        return f"has no complete predictions any more ({FOLDER}/{missing[0]} is gone)"
    where = folder.file(f"{FOLDER}/{MANIFEST}")
    try:
        manifest = json.loads(read_bytes(where))
        digest, listed = manifest["ortbatch.evaluation_digest"], manifest["files"]
        files = {_shard(entry["name"]): _file(folder, entry) for entry in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{redact(where)}: damaged, it is no manifest ({error!r}). {_AGAIN}") from None
    if digest != report["job"]["evaluation_digest"]:
        raise DataError(f"{redact(where)}: of another run than the report beside it. {_AGAIN}")
    left_out = report["coverage"]["shards"]["quarantined"]
    rows = sum(file.rows for file in files.values()) + sum(shard["rows"] for shard in left_out)
    planned = report["coverage"]["rows"]["planned"]
    if len(files) != len(listed) or rows != planned:
        raise DataError(f"{redact(where)}: lists {rows:,} rows of {planned:,} planned ones. {_AGAIN}")
    return Predictions(files, frozenset(shard["shard"] for shard in left_out))


def _shard(name: str) -> int:
    match = _PART.fullmatch(name)
    if match is None:
        raise ValueError(name)
    return int(match[1])


def _file(folder: RunFolder, entry: Mapping[str, Any]) -> _File:
    rows, sha256 = entry["rows"], entry["sha256"]
    if type(rows) is not int or rows < 0 or not isinstance(sha256, str):
        raise ValueError(entry)
    return _File(folder.file(f"{FOLDER}/{entry['name']}"), rows, sha256)


def pair(old: Predictions, new: Predictions, classes: Sequence[str]) -> PairedRows:
    """Count what two runs made of the same rows.

    Args:
        old: of the one run.
        new: of the other, whose plan is the same.
        classes: names of all classes.

    Raises:
        DataError: if a file is damaged, or the rows are not the same.
        StorageError: if storage failed.
    """
    if old.files.keys() | old.quarantined != new.files.keys() | new.quarantined:
        raise DataError(f"the predictions of the two runs are not of the same shards. {_AGAIN}")
    total = PairedRows.empty(classes)
    for shard in sorted(old.files.keys() | new.files.keys()):
        for left, right in _side_by_side(old.files.get(shard), new.files.get(shard), classes):
            one = PairedRows.of(classes, (left.evaluated, right.evaluated), (left.predicted, right.predicted))
            total = total.merge(one)
    return total


def _side_by_side(old: _File | None, new: _File | None, classes: Sequence[str]) -> Iterator[tuple[_Rows, _Rows]]:
    """Equal numbers of rows of both, in turns; a shard that one run left out has rows of which that knows nothing."""
    if old is None or new is None:
        for rows in _read(cast(_File, old or new), classes):
            nothing = np.full(len(rows), NOWHERE)
            unknown = _Rows(nothing, nothing, nothing)
            yield (unknown, rows) if old is None else (rows, unknown)
        return
    if old.rows != new.rows:
        raise DataError(f"{redact(new.uri)}: {new.rows:,} rows, where the old run has {old.rows:,}. {_AGAIN}")
    at = 0
    for left, right in _in_step(_read(old, classes), _read(new, classes)):
        known = (left.label != NOWHERE) & (right.label != NOWHERE)
        if (other := np.flatnonzero(known & (left.label != right.label))).size:
            first = int(other[0])
            labels = classes[left.label[first]], classes[right.label[first]]
            raise DataError(
                f"{redact(new.uri)}: row {at + first:,} has the label `{labels[1]}`, and `{labels[0]}` in the old run: "
                f"the rows are not the same. {_AGAIN}"
            )
        yield left, right
        at += len(left)


def _in_step(left: Iterator[_Rows], right: Iterator[_Rows]) -> Iterator[tuple[_Rows, _Rows]]:
    """Pieces of equal length; both have as many rows in all."""
    nothing = np.empty(0, np.int64)
    one = other = _Rows(nothing, nothing, nothing)
    while True:
        one = one if len(one) else next(left, one)
        other = other if len(other) else next(right, other)
        size = min(len(one), len(other))
        if not size:
            return
        yield one.cut(0, size), other.cut(0, size)
        one, other = one.cut(size, len(one)), other.cut(size, len(other))


def _read(file: _File, classes: Sequence[str]) -> Iterator[_Rows]:
    content = read_bytes(file.uri)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{redact(file.uri)}: damaged, its hash is not the one in {MANIFEST}. {_AGAIN}")
    names = pa.array(classes, pa.string())
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        if parquet.metadata.num_rows != file.rows:
            raise DataError(f"{redact(file.uri)}: {parquet.metadata.num_rows:,} rows, not {file.rows:,}. {_AGAIN}")
        for batch in parquet.iter_batches(_ROWS, columns=_COLUMNS):
            if batch.num_rows:
                yield _coded(file, batch, names)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(f"{redact(file.uri)}: no file of predictions: {error}. {_AGAIN}") from None


def _coded(file: _File, batch: pa.RecordBatch, names: pa.Array) -> _Rows:
    codes = []
    for column in (batch.column("label"), batch.column("predicted")):
        code = pc.fill_null(pc.index_in(column, value_set=names), NOWHERE).to_numpy(zero_copy_only=False)
        unknown = (code == NOWHERE) & pc.is_valid(column).to_numpy(zero_copy_only=False)
        if unknown.any():
            name = column[int(np.flatnonzero(unknown)[0])].as_py()
            raise DataError(f"{redact(file.uri)}: `{name}` is none of the classes of the report. {_AGAIN}")
        codes.append(code.astype(np.int64))
    used = pc.is_null(batch.column("rejected_reason")).to_numpy(zero_copy_only=False)
    return _Rows(codes[0], np.where(used, codes[0], NOWHERE), np.where(used, codes[1], NOWHERE))
