"""Complete predictions of an earlier run, read as they were written: what the manifest lists, and nothing else.

A file is believed when its hash is the one that the manifest says. Does not know what they are read for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.data.atomic import names
from ortbatch.data.storage import exists, is_remote, read_bytes
from ortbatch.engine.predictions import MANIFEST, SUCCESS
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable

_AGAIN = "Run the job that writes them again with --force."


@dataclass(frozen=True)
class StoredPart:
    """A file, as the manifest has it."""

    uri: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class StoredPredictions:
    """All files of a run.

    Args:
        uri: of their folder.
        sha256: of the manifest, and through it of every byte.
        model_sha256: of the model that made them.
        kind: of its output: `logits`, `probabilities` or `label`.
        columns: scores of a row that it puts out.
        classes: in output order.
        positive: index of the positive class; None of a multiclass task.
        parts: the files, in the order of the data.
    """

    uri: str
    sha256: str
    model_sha256: str
    kind: str
    columns: int
    classes: tuple[str, ...]
    positive: int | None
    parts: tuple[StoredPart, ...]

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(part.rows for part in self.parts)

    def schema(self) -> pa.Schema:
        """Columns of the first file; raises DataError if it is damaged."""
        return _opened(self.parts[0]).schema_arrow

    def read(self, columns: list[str]) -> Iterator[pa.Table]:
        """Some columns, a row group at a time; raises DataError if a file is not the one that was written."""
        for part in self.parts:
            file = _opened(part)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)


def open_predictions(uri: str) -> StoredPredictions:
    """Look at a folder of predictions, by path or URI.

    Raises:
        DataError: if they are not complete, or the folder holds other files than the manifest lists.
        StorageError: if storage failed.
    """
    head, question, query = uri.partition("?") if is_remote(uri) else (uri, "", "")
    head, options = head.rstrip("/"), question + query
    for name in (SUCCESS, MANIFEST):
        if not exists(f"{head}/{name}{options}"):
            raise DataError(
                f"model.scores: {redact(uri)}: no complete predictions ({name} is not there): the run that writes them "
                "has not ended, or never ran. Run it first; an unfinished one goes on."
            )
    content = read_bytes(f"{head}/{MANIFEST}{options}")
    try:
        manifest = json.loads(content)
        listed = {entry["name"]: entry for entry in manifest["files"]}
        parts = tuple(_part(f"{head}/{name}{options}", listed[name]) for name in sorted(listed))
        found = _described(uri, hashlib.sha256(content).hexdigest(), manifest, parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"model.scores: {redact(uri)}: {MANIFEST} is damaged, or of a version before joins ({error!r}). {_AGAIN}"
        ) from None
    _check_files(uri, set(names(f"{head}{options}")), set(listed))
    if not found.rows:
        raise DataError(f"model.scores: {redact(uri)}: no row in them. Look at the data of the run that wrote them.")
    return found


def _described(uri: str, sha256: str, manifest: Mapping[str, Any], parts: tuple[StoredPart, ...]) -> StoredPredictions:
    scored, model = manifest["scored"], manifest["ortbatch.model_sha256"]
    classes, positive, kind, columns = (scored[key] for key in ("classes", "positive", "kind", "columns"))
    if kind not in ("logits", "probabilities", "label") or not all(isinstance(name, str) for name in classes):
        raise ValueError(kind)
    if positive is not None and (type(positive) is not int or not 0 <= positive < len(classes) == 2):
        raise ValueError(positive)
    if type(columns) is not int or columns not in (1, len(classes)):
        raise ValueError(columns)
    return StoredPredictions(uri, sha256, str(model), kind, columns, tuple(classes), positive, parts)


def _part(uri: str, entry: Mapping[str, Any]) -> StoredPart:
    rows, sha256, name = entry["rows"], entry["sha256"], entry["name"]
    if type(rows) is not int or rows < 0 or not isinstance(sha256, str) or "/" in name or "\\" in name:
        raise ValueError(entry)
    return StoredPart(uri, rows, sha256)


def _check_files(uri: str, there: set[str], listed: set[str]) -> None:
    """What is read must be all that readers see."""
    if missing := sorted(listed - there):
        raise DataError(
            f"model.scores: {redact(uri)}: {len(missing):,} of {len(listed):,} listed files are gone, the first "
            f"{printable(missing[0])}. {_AGAIN}"
        )
    if more := sorted(name for name in there - listed if name[0] not in "._"):
        raise DataError(
            f"model.scores: {redact(uri)}: {len(more):,} files that {MANIFEST} does not list, the first "
            f"{printable(more[0])}. Move them elsewhere: readers take them for predictions."
        )


def _opened(part: StoredPart) -> pq.ParquetFile:
    content = read_bytes(part.uri)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise DataError(f"model.scores: {redact(part.uri)}: not the file that the manifest lists (sha256). {_AGAIN}")
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    except pa.ArrowException as error:
        raise DataError(f"model.scores: {redact(part.uri)}: cannot be read: {error}. {_AGAIN}") from None
    if file.metadata.num_rows != part.rows:
        raise DataError(
            f"model.scores: {redact(part.uri)}: {file.metadata.num_rows:,} rows; the manifest lists {part.rows:,}. "
            f"{_AGAIN}"
        )
    return file
