"""Stored scores and rows of the data, brought together by id: an index for the workers, and who found whom.

Ids of the data are read twice: to know which stand twice, whatever shard they are in, and to count those that meet.
What stands twice on either side is on neither: which of the rows is meant cannot be known.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import one_chunk, to_numpy
from ortbatch.data.plan import Plan
from ortbatch.data.reader import Reader
from ortbatch.engine.predictions import OWN_LABEL, SCORES
from ortbatch.engine.stored_predictions import StoredPredictions
from ortbatch.errors import DataError, StorageError
from ortbatch.job.redaction import redact
from ortbatch.model.ids import TEXT, kind_of_ids, take_ids
from ortbatch.model.outputs import Output
from ortbatch.model.score_index import IndexWriter, Layout, ScoreIndex, Scores
from ortbatch.model.source import ModelSource
from ortbatch.model.stored import DUPLICATE_ID, NO_PREDICTION, NULL_ID, StoredScores, source_of

_NONE = -1


@dataclass(frozen=True)
class Joined:
    """Who found whom; every planned row counts, whatever the filter says of it.

    `rows == matched + unmatched_rows + duplicate_rows + null_ids`.

    Args:
        predictions: rows of the predictions; scored: those of them that have scores.
        rows: of the data; matched: those whose id has scores, and stands once here and there.
        unmatched_predictions: scored rows, their id but once there, that no row asked for.
        unmatched_rows: rows whose id has no scores. duplicate_rows, null_ids: rows by what is wrong with their id.
        duplicate_ids: ids that stand twice, here or there.
    """

    predictions: int
    scored: int
    rows: int
    matched: int
    unmatched_predictions: int
    unmatched_rows: int
    duplicate_ids: int
    duplicate_rows: int
    null_ids: int


@dataclass(frozen=True)
class JoinFacts:
    """What the report says of a join.

    Args:
        met: who found whom.
        model_sha256: of the model that made the predictions.
        whole: do they hold all that it put out?
    """

    met: Joined
    model_sha256: str
    whole: bool


@dataclass(frozen=True)
class Material:
    """What predictions hold that stands for what the model put out.

    Args:
        output: as a model's.
        columns: that are read, ids aside.
        dtype: NumPy's name of the type of the scores.
        whole: is it all that the model put out?
    """

    output: Output
    columns: tuple[str, ...]
    dtype: str
    whole: bool


def material_of(stored: StoredPredictions, schema: pa.Schema) -> Material:
    """The best that there is: scores as they came, the score of two classes, or the label alone."""
    own = OWN_LABEL if OWN_LABEL in schema.names else None
    if SCORES in schema.names and stored.kind != "label":
        columns = (SCORES, *([own] if own else []))
        dtype = str(np.dtype(schema.field(SCORES).type.value_type.to_pandas_dtype()))
        output = Output(SCORES, stored.kind, stored.columns, "predictions", stored.classes, own, own_by_place=True)
        return Material(output, columns, dtype, whole=True)
    if stored.kind != "label" and stored.positive is not None:
        output = Output("score", "probabilities", 2, "predictions", stored.classes)
        return Material(output, ("score",), "float64", whole=False)
    output = Output("predicted", "label", 1, "predictions", stored.classes, own_by_place=True)
    return Material(output, ("predicted",), "int64", whole=stored.kind == "label")


def scores_of(table: pa.Table, stored: StoredPredictions, material: Material) -> Scores:
    """What rows of predictions hold, as the model put it out."""
    name = material.columns[0]
    column = one_chunk(table.column(name))
    there = to_numpy(column.is_valid())
    own = None
    if name == SCORES:
        width = material.output.columns or 1
        kept = column.drop_null()
        if len(kept) and set(pc.unique(pc.list_value_length(kept)).to_pylist()) != {width}:
            raise DataError(f"model.scores: {redact(stored.uri)}: rows without {width} scores each. Write them again.")
        values = np.zeros((len(column), width), material.dtype)
        values[there] = to_numpy(kept.flatten()).reshape(-1, width)
        own = _places(one_chunk(table.column(OWN_LABEL)), stored) if material.output.own_label else None
    elif name == "score":
        assert stored.positive is not None
        score = to_numpy(pc.fill_null(column, 0.0))
        values = np.empty((len(column), 2))
        values[:, stored.positive], values[:, 1 - stored.positive] = score, 1 - score
    else:
        places = _places(column, stored)
        values, there = places[:, None], places != _NONE
    return Scores(values, own, there)


def _places(column: pa.Array, stored: StoredPredictions) -> NDArray[np.int64]:
    """Classes by place; -1 where there is none."""
    found = pc.index_in(column, value_set=pa.array(stored.classes, pa.string()))
    return to_numpy(pc.fill_null(found, _NONE)).astype(np.int64)


def join(
    stored: StoredPredictions, plan: Plan, column: str, material: Material
) -> tuple[ModelSource, StoredScores, Joined]:  # fmt: skip
    """Make the index, as files that are there as long as its source, and count who meets.

    Args:
        stored: predictions that have the column.
        plan: the data, whose files all have it, of the same kind.
        column: of ids.
        material: what of the predictions is taken.

    Raises:
        DataError: if predictions or data are damaged.
        StorageError: if storage failed, or the temp folder has no room.
    """
    folder = Path(mkdtemp(prefix="ortbatch-join-"))
    try:
        scored, duplicate_ids = _write(folder, stored, plan, column, material)
        source = source_of(folder, stored.uri, stored.sha256)
    except OSError as error:
        rmtree(folder, ignore_errors=True)
        raise StorageError(f"{folder}: scores cannot be written: {error}. Set TMPDIR to a folder with room.") from None
    except BaseException:
        rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(source, rmtree, folder, ignore_errors=True)
    scores = StoredScores(ScoreIndex(folder))
    return source, scores, _met(scores, stored, plan, column, (scored, duplicate_ids))


def _write(
    folder: Path, stored: StoredPredictions, plan: Plan, column: str, material: Material
) -> tuple[int, int]:  # fmt: skip
    """Write the index; rows with scores, and ids that stand twice."""
    kind = kind_of_ids(stored.schema().field(column).type) or TEXT
    again = _twice(plan, column, kind)
    width = material.output.columns or 1
    layout = Layout(kind, stored.rows, width, material.dtype, material.output.own_label is not None)
    with closing(IndexWriter(folder, layout, again)) as writer:
        scored = 0
        for table in stored.read([column, *material.columns]):
            scores = scores_of(table, stored, material)
            scored += int(scores.there.sum())
            writer.add(table.column(column), scores)
        return scored, writer.finish()


def _ids(plan: Plan, column: str) -> Iterator[pa.ChunkedArray]:
    """Ids of all planned rows, a block at a time."""
    with Reader([column]) as reader:
        for shard in plan.shards:
            for block in reader.read(shard):
                yield block.table.column(column)


def _twice(plan: Plan, column: str, kind: str) -> pa.ChunkedArray:
    """Ids that stand twice in the data, each once."""
    keys = np.sort(np.concatenate([_keys(ids) for ids in _ids(plan, column)]))
    again = np.unique(keys[1:][keys[1:] == keys[:-1]])
    if kind != TEXT:
        return pa.chunked_array([pa.array(again.view(np.int64))])
    if not again.size:
        return pa.chunked_array([], pa.large_string())
    # Unlike texts may share a key: only the texts themselves tell.
    texts = [_with_keys(ids, again) for ids in _ids(plan, column)]
    counted = pa.chunked_array(texts).value_counts()
    return pa.chunked_array([counted.field("values").filter(pc.greater(counted.field("counts"), 1))])


def _keys(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    ids = take_ids(column)
    return ids.keys[~ids.null]


def _with_keys(column: pa.ChunkedArray, keys: NDArray[np.uint64]) -> pa.Array:
    ids = take_ids(column)
    assert ids.texts is not None
    return ids.texts.filter(pa.array(np.isin(ids.keys, keys) & ~ids.null)).view(pa.large_string())


def _met(
    scores: StoredScores, stored: StoredPredictions, plan: Plan, column: str, known: tuple[int, int]
) -> Joined:  # fmt: skip
    asked = np.zeros(stored.rows, np.bool_)
    counts = dict.fromkeys((NULL_ID, DUPLICATE_ID, NO_PREDICTION), 0)
    rows = 0
    for ids in _ids(plan, column):
        places, bad = scores.find(ids)
        good = np.ones(len(ids), np.bool_)
        for reason, mask in bad.items():
            counts[reason] += int(mask.sum())
            good &= ~mask
        asked[places[good]] = True
        rows += len(ids)
    matched = int(asked.sum())
    scored, duplicate_ids = known
    return Joined(
        stored.rows, scored, rows, matched, scores.usable - matched, counts[NO_PREDICTION], duplicate_ids,
        counts[DUPLICATE_ID], counts[NULL_ID],
    )  # fmt: skip
