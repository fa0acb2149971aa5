"""Stored scores in place of a model: a session that is fed places and puts out what lies there.

It travels as a model does: a few bytes that say what it is, in place of the graph, and files beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.features import Feed
from ortbatch.data.storage import local_path
from ortbatch.model.graph import Graph
from ortbatch.model.score_index import DUPLICATE, USABLE, ScoreIndex
from ortbatch.model.session import OnnxModel, Predictor
from ortbatch.model.source import ExternalFile, ModelSource, load, load_by_columns, require_unchanged

PLACE = "place"
OWN = "own_label"
NULL_ID, DUPLICATE_ID, NO_PREDICTION = "null_id", "duplicate_id", "no_prediction"
_FOLDER = "stored-scores"
_HEAD = b'{"stored_scores": '  # no protobuf begins with this


class StoredScores:
    """Scores by id. Only what is looked at is read.

    Args:
        index: its files.
    """

    fixed_batch = None
    session_s = 0.0

    def __init__(self, index: ScoreIndex) -> None:
        self._index = index

    @property
    def usable(self) -> int:
        """Ids that stand once and have scores."""
        return self._index.usable

    def find(self, column: pa.ChunkedArray) -> tuple[NDArray[np.int64], dict[str, NDArray[np.bool_]]]:
        """Places of ids, int64[N] (0 where there is none), and the rows that have none, by reason."""
        places, states, null = self._index.find(column)
        bad = {
            NULL_ID: null,
            DUPLICATE_ID: states == DUPLICATE,
            NO_PREDICTION: (states != USABLE) & (states != DUPLICATE) & ~null,
        }
        return places, {reason: mask for reason, mask in bad.items() if mask.any()}

    def run(self, outputs: Sequence[str], feed: Feed) -> list[NDArray[Any]]:
        """Scores [N, K] of some places, and own labels if they are asked for."""
        places = feed[PLACE]
        own = self._index.own
        return [own[places].astype(np.int64) if name == OWN and own is not None else self._index.scores[places]
                for name in outputs]  # fmt: skip


def source_of(folder: Path, where: str, sha256: str) -> ModelSource:
    """The files of an index as those of a model.

    Args:
        folder: of the files; nobody else writes into it.
        where: what the job calls the predictions.
        sha256: what the predictions are known by.
    """
    files = sorted(folder.iterdir())
    external = tuple(ExternalFile(f"{_FOLDER}/{path.name}", str(path), _sha256(path)) for path in files)
    head = _HEAD + json.dumps([file.sha256 for file in external]).encode() + b"}"
    size = sum(path.stat().st_size for path in files)
    graph = Graph("ortbatch predictions", 0, {}, {}, (), head, rewritten=True)
    return ModelSource(where, sha256, size, graph, external, hashlib.sha256(head).hexdigest())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_predictor(
    source: ModelSource, providers: Sequence[str], threads: int, columns: Sequence[str] = ()
) -> Predictor:  # fmt: skip
    """A session of a model, or stored scores, in this process; arguments and errors are those of `load`."""
    if not source.graph.runs.startswith(_HEAD):
        return load(source, providers, threads, columns)
    scores = StoredScores(ScoreIndex(local_path(source.external[0].uri).parent))
    require_unchanged(source)
    return scores


def load_travelled(
    path: Path, providers: Sequence[str], threads: int, where: str, columns: Sequence[str] = ()
) -> Predictor:  # fmt: skip
    """The same from files that came by wire (`unpack`)."""
    with path.open("rb") as file:
        stored = file.read(len(_HEAD)) == _HEAD
    if stored:
        return StoredScores(ScoreIndex(path.parent / _FOLDER))
    if columns:
        return load_by_columns(path.read_bytes(), columns, providers, threads, where)
    return OnnxModel(path, providers, threads, where)
