"""Predictions: a row for every planned row, a file a shard, each written whole before its shard is counted.

    predictions/part-000012-3f9c1e02.parquet     rows of shard 12 in the order of the data
    predictions/_manifest.json                   every file with its rows and hash; any other is removed before
    predictions/_SUCCESS                         last

Two attempts of a shard write equal bytes to one name, so that it does not matter which comes last. Parts of another
identity go before the first of this one is written: no row is there twice at any moment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortbatch.data.atomic import names, remove, write_bytes
from ortbatch.data.plan import Shard
from ortbatch.engine.state import Part
from ortbatch.errors import RunFolderError, StorageError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable
from ortbatch.model.outputs import Decision, Scored, score

FOLDER = "predictions"
MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
FILTERED = "filtered"
SCORES, OWN_LABEL = "scores", "own_label"
WRITTEN = ("label", "predicted", "score", "top_k_labels", "top_k_scores", SCORES, OWN_LABEL, "rejected_reason")
_NONE = -1
_PART = "part-"
_OURS = re.compile(r"\.?part-\d{6,}-[0-9a-f]{8}\.parquet(\..*)?")


@dataclass(frozen=True)
class Kept:
    """What predictions are to hold besides themselves.

    Args:
        fields: columns of the data, as the first file has them.
        top_k: classes of each row, best first; 1: only the prediction.
        scores: NumPy type of the model's output if it is kept as it came; None if it is not.
        own_label: keep the model's own label too?
    """

    fields: pa.Schema
    top_k: int
    scores: str | None = None
    own_label: bool = False

    def digest_parts(self) -> dict[str, Any]:
        """What files depend on, as JSON values."""
        raw = {} if self.scores is None else {SCORES: self.scores, OWN_LABEL: self.own_label}
        return {"columns": str(self.fields), "top_k": self.top_k, **raw}


@dataclass(frozen=True)
class Sink:
    """Where predictions go.

    Args:
        folder: a path or URI.
        options: of the URI, with its `?`.
        identity: of the run, as hex.
        about: what each file says of itself.
        scored: what the manifest says of the scores.
        apart: is the folder none of the run's own? Then what is no prediction is not removed.
    """

    folder: str
    options: str
    identity: str
    about: Mapping[str, str]
    scored: Mapping[str, Any] = field(default_factory=dict)
    apart: bool = False

    def name(self, shard: int) -> str:
        """Name of a shard's file."""
        return f"{_PART}{shard:06}-{self.identity[:8]}.parquet"

    def file(self, name: str) -> str:
        """Where a file of the folder is."""
        return f"{self.folder}/{name}{self.options}"


class ShardPredictions:
    """Collects what became of each row of a shard, block by block, and writes it.

    Args:
        kept: what the job asks for.
        sink: where it goes.
        decision: how scores become predictions.
    """

    def __init__(self, kept: Kept, sink: Sink, decision: Decision) -> None:
        self._kept, self._sink, self._decision = kept, sink, decision
        self._blocks: list[_Block] = []

    def block(self, table: pa.Table) -> None:
        """Go on with the rows of a table; until more is said of a row, the filter left it out."""
        columns = table.select(self._kept.fields.names)
        if columns.schema != self._kept.fields:
            columns = columns.cast(self._kept.fields)
        self._blocks.append(_Block.of(columns, table.num_rows, self._kept.top_k))

    def labelled(self, places: NDArray[np.int64] | slice, labels: NDArray[np.int64]) -> None:
        """Rows of the block that have labels: class indices, -1 for none."""
        self._blocks[-1].label[places] = labels

    def rejected(self, reason: str, places: NDArray[Any]) -> None:
        """Rows of the block that the model never saw."""
        self._blocks[-1].say(reason, places)

    def answered(self, places: NDArray[np.int64], raw: NDArray[Any], own: NDArray[Any] | None = None) -> None:
        """Rows of the block, and what the model put out for them: scores, and its own labels if there are some."""
        if not places.size:
            return
        scored, block = score(self._decision, raw), self._blocks[-1]
        if self._kept.scores is not None:
            block.keep(places, raw)
        if self._kept.own_label and own is not None:
            block.own[places] = self._decision.places(own.reshape(-1))
        left = np.ones(places.size, np.bool_)
        for reason, mask in scored.bad.items():
            block.say(reason, places[mask & left])
            left &= ~mask
        good = np.flatnonzero(left)
        block.answer(places[good], scored.select(good), self._decision.positive)

    def write(self, shard: Shard) -> Part:
        """Put the shard's file; raises StorageError if it cannot be written."""
        content = self._encoded(shard.id)
        rows = sum(len(block.label) for block in self._blocks)
        self._blocks = []
        write_bytes(self._sink.file(self._sink.name(shard.id)), content)
        return Part(shard.id, rows, hashlib.sha256(content).hexdigest())

    def _encoded(self, shard: int) -> bytes:
        tables = [block.table(self._kept, self._decision.classes) for block in self._blocks]
        schema = schema_of(self._kept)
        # In one piece: how rows came would show in the pages.
        table = pa.concat_tables([pa.Table.from_batches([], schema), *tables]).combine_chunks()
        table = table.replace_schema_metadata({**self._sink.about, "ortbatch.shard": str(shard)})
        sink = pa.BufferOutputStream()
        # Scores hardly repeat: a dictionary of them makes files larger and reading slower. At its first level zstd
        # makes two thirds of what snappy does, in less time.
        pq.write_table(
            table, sink, compression="zstd", compression_level=1, use_dictionary=_repeating(table.schema),
            write_page_checksum=True,
        )  # fmt: skip
        return bytes(sink.getvalue())


def schema_of(kept: Kept) -> pa.Schema:
    """Columns of a file of predictions."""
    made = [("label", pa.string()), ("predicted", pa.string()), ("score", pa.float64())]
    if kept.top_k > 1:
        made += [("top_k_labels", pa.list_(pa.string())), ("top_k_scores", pa.list_(pa.float64()))]
    if kept.scores is not None:
        made.append((SCORES, pa.list_(pa.from_numpy_dtype(np.dtype(kept.scores)))))
    if kept.own_label:
        made.append((OWN_LABEL, pa.string()))
    return pa.schema([*kept.fields, *made, ("rejected_reason", pa.string())])


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns whose values may repeat; a list is named by what it holds."""
    plain = [field for field in schema if not pa.types.is_floating(field.type)]
    lists = {"top_k_labels": ["top_k_labels.list.element"], "top_k_scores": [], SCORES: []}
    return [path for field in plain for path in lists.get(field.name, [field.name])]


@dataclass
class _Block:
    """N rows: int64[N] classes or -1, float64[N] scores, the best classes [N, k], int64[N] reasons by place or -1.

    `raw` is what the model put out, [N, K] once it was asked; `asked` bool[N] says of which rows; `own` int64[N] are
    its own labels.
    """

    columns: pa.Table
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    score: NDArray[np.float64]
    best: NDArray[np.int64]
    best_scores: NDArray[np.float64]
    why: NDArray[np.int64]
    reasons: list[str]
    own: NDArray[np.int64]
    asked: NDArray[np.bool_]
    raw: NDArray[Any] | None = None

    @classmethod
    def of(cls, columns: pa.Table, rows: int, top_k: int) -> _Block:
        label, predicted, score = np.full(rows, _NONE), np.full(rows, _NONE), np.full(rows, np.nan)
        best, best_scores = np.full((rows, top_k), _NONE), np.full((rows, top_k), np.nan)
        own, asked = np.full(rows, _NONE), np.zeros(rows, np.bool_)
        return cls(
            columns, label, predicted, score, best, best_scores, np.zeros(rows, np.int64), [FILTERED], own, asked
        )  # fmt: skip

    def say(self, reason: str, places: NDArray[Any]) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.why[places] = self.reasons.index(reason)

    def keep(self, places: NDArray[np.int64], raw: NDArray[Any]) -> None:
        values = raw.reshape(len(raw), -1)
        if self.raw is None:
            self.raw = np.empty((len(self.why), values.shape[1]), values.dtype)
        self.raw[places], self.asked[places] = values, True

    def answer(self, places: NDArray[np.int64], scored: Scored, positive: int | None) -> None:
        self.why[places] = _NONE
        self.predicted[places] = scored.predicted
        if scored.probabilities is None:
            return
        # Of two classes all are made: these are the numbers that the threshold is held against.
        every = scored.probabilities.all() if positive is not None or self.best.shape[1] > 1 else None
        if positive is not None and every is not None:
            self.score[places] = every[:, positive]
        else:
            self.score[places] = scored.probabilities.own(scored.predicted)
        if self.best.shape[1] > 1 and every is not None:
            self.best[places], self.best_scores[places] = _best(every, self.best.shape[1])

    def table(self, kept: Kept, classes: Sequence[str]) -> pa.Table:
        names_of = pa.array(classes, pa.string())
        made = [_named(names_of, self.label), _named(names_of, self.predicted), _or_null(self.score)]
        if kept.top_k > 1:
            there = self.best[:, 0] != _NONE
            made += [_lists(names_of.take(pa.array(self.best[there].reshape(-1))), there, kept.top_k)]
            made += [_lists(pa.array(self.best_scores[there].reshape(-1)), there, kept.top_k)]
        if kept.scores is not None:
            raw = np.empty((len(self.why), 1), kept.scores) if self.raw is None else self.raw
            made.append(_lists(pa.array(raw[self.asked].reshape(-1)), self.asked, raw.shape[1]))
        if kept.own_label:
            made.append(_named(names_of, self.own))
        made.append(_named(pa.array(self.reasons, pa.string()), self.why))
        return pa.Table.from_arrays([*self.columns.columns, *made], schema=schema_of(kept))


def _named(values: pa.Array, places: NDArray[np.int64]) -> pa.Array:
    """Values by place; null where there is none."""
    return values.take(pa.array(places, mask=places == _NONE))


def _or_null(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _lists(values: pa.Array, there: NDArray[np.bool_], k: int) -> pa.Array:
    """Lists of k values, one for each row that is there; null for the others."""
    offsets = np.concatenate([[0], np.cumsum(there) * k])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=pa.array(~there))


def _best(probabilities: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k largest of each row [N, C] and where they are, largest first; of equal ones the first."""
    left, rows = probabilities.copy(), np.arange(len(probabilities))
    places, values = np.empty((len(left), k), np.int64), np.empty((len(left), k))
    for rank in range(k):
        places[:, rank] = left.argmax(axis=1)
        values[:, rank] = left[rows, places[:, rank]]
        left[rows, places[:, rank]] = -1.0
    return places, values


def there(sink: Sink) -> set[str]:
    """Names of the files that are there."""
    return set(names(f"{sink.folder}{sink.options}"))


def begin(sink: Sink) -> None:
    """Take away what says that predictions are complete, then the parts of any other identity.

    Raises:
        RunFolderError: if readers would take other files of the folder for predictions.
    """
    found = there(sink)
    foreign = sorted(name for name in found if name[0] not in "._" and not _OURS.fullmatch(name))
    if foreign and sink.apart:
        raise RunFolderError(
            f"{redact(sink.folder)}: holds {len(foreign):,} files that are no predictions, the first "
            f"{printable(foreign[0])}: readers would take them for some. Give a folder of their own to predictions."
        )
    for name in (SUCCESS, MANIFEST):
        remove(sink.file(name))
    own = f"-{sink.identity[:8]}.parquet"
    _remove(sink, (name for name in found if _OURS.fullmatch(name) and not name.endswith(own)))


def clear(sink: Sink) -> None:
    """Take away all predictions of a run before: this one writes none."""
    for name in (SUCCESS, MANIFEST):
        remove(sink.file(name))
    _remove(sink, (name for name in there(sink) if _OURS.fullmatch(name)))


def _remove(sink: Sink, found: Iterable[str]) -> None:
    """Delete some files; where the folder is not the run's own, those that are parts, or were to become some."""
    for name in found:
        if _OURS.fullmatch(name) or not sink.apart:
            remove(sink.file(name))


def finish(sink: Sink, parts: Iterable[Part]) -> None:
    """Remove what no shard wrote, then say what there is, then that it is all.

    Raises:
        StorageError: if it cannot be written, or a file is gone.
    """
    files = {sink.name(part.shard): part for part in sorted(parts)}
    found = there(sink)
    if missing := sorted(files.keys() - found):
        raise StorageError(
            f"{redact(sink.folder)}: {len(missing):,} files of predictions are gone, the first {missing[0]}. Run "
            "again: their shards are done again."
        )
    _remove(sink, found - files.keys())
    listed = [{"name": name, "rows": part.rows, "sha256": part.sha256} for name, part in files.items()]
    rows = sum(part.rows for part in files.values())
    about = {**sink.about, **({"scored": sink.scored} if sink.scored else {}), "rows": rows, "files": listed}
    write_bytes(sink.file(MANIFEST), (json.dumps(about, indent=1) + "\n").encode())
    write_bytes(sink.file(SUCCESS), b"")
