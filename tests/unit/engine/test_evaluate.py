"""One stream: small blocks are run together, others alone; the tally cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ortbatch.data.features import Feed
from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import Shard
from ortbatch.engine import evaluate
from ortbatch.engine.evaluate import Stream
from ortbatch.engine.events import Fault
from ortbatch.engine.pool import StreamPool
from ortbatch.engine.prepare import open_model, prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.tasks import LookingPool
from ortbatch.job import Job
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.tally import Tally
from ortbatch.model.session import OnnxModel
from tests.models import linear_model
from tests.tables import corrupt, write_table

FILES = 12


def rows_of(file: int, rows: int, *, holes: bool = False, wide: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(file)
    labels = [None if holes and row % 3 == 0 else int(rng.integers(3)) for row in range(rows)]
    x = pa.array(rng.normal(size=rows).astype(np.float32), pa.float32())
    return {
        "a": x,
        "b": pa.array(rng.normal(size=rows)).cast(pa.float64() if wide else pa.float32(), safe=False),
        "keep": pa.array(rng.integers(0, 2, rows)),
        "label": pa.array(labels, pa.int64()),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 3 to 40 rows: some with labels missing, some with another type."""
    folder = tmp_path_factory.mktemp("small")
    linear_model(folder / "model.onnx", 2, 3)
    for file in range(FILES):
        table = rows_of(file, 3 + (7 * file) % 38, holes=file % 5 == 2, wide=file % 4 == 3)
        write_table(folder / "data" / f"{file:02}.parquet", table)
    return folder


def prepared_of(folder: Path, **data: Any) -> Prepared:
    return prepare(
        Job.from_mapping(
            {
                "name": "small",
                "model": {"path": str(folder / "model.onnx"), "inputs": {"x": ["a", "b"]}, "batch_size": 16},
                "data": {"path": str(folder / "data"), "label": "label", **data},
                # All files in one shard.
                "execution": {"shard_rows": 10_000},
            }
        )
    )


def tally_of(prepared: Prepared, model: OnnxModel | None = None) -> Tally:
    model = model or open_model(prepared.job)[1]
    return counts(Stream(prepared.evaluation, model).evaluate(prepared.plan.shards))


def counts(tally: Tally) -> Tally:
    """A tally without what the clock put into it."""
    return replace(tally, latency=Tally.empty(("a",), ()).latency, stages=StageTimes())


class Watched(OnnxModel):
    """Keeps the rows of every call."""

    calls: list[int]

    def run(self, outputs: Sequence[str], feed: Feed) -> list[np.ndarray]:
        self.calls.append(len(next(iter(feed.values()))))
        return super().run(outputs, feed)


def watched(prepared: Prepared) -> Watched:
    model = open_model(prepared.job)[1]
    model.__class__ = Watched
    assert isinstance(model, Watched)
    model.calls = []
    return model


@pytest.mark.parametrize("data", [{}, {"filter": [["keep", "==", 1]]}], ids=["all rows", "filtered"])
@pytest.mark.parametrize("small", [0, 5, 30, 4_096])
def test_together_or_alone_is_the_same_tally(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], small: int
) -> None:
    prepared = prepared_of(folder, **data)
    monkeypatch.setattr(evaluate, "_SMALL_ROWS", 0)
    alone = tally_of(prepared)
    monkeypatch.setattr(evaluate, "_SMALL_ROWS", small)
    assert tally_of(prepared) == alone
    assert alone.coverage.planned == prepared.plan.rows
    files = {file for file, _ in alone.coverage.rejected_rows}
    assert files <= {file for file in range(FILES) if file % 5 == 2}
    assert files


def test_small_blocks_share_batches(folder: Path, tmp_path: Path) -> None:
    linear_model(tmp_path / "model.onnx", 2, 3)
    for file in range(8):
        write_table(tmp_path / "data" / f"{file}.parquet", rows_of(file, 8))
    prepared = prepared_of(tmp_path)
    model = watched(prepared)
    tally_of(prepared, model)
    assert model.calls == [16, 16, 16, 16]


def test_the_shard_that_fails_is_named_and_the_others_of_its_lease_are_done(tmp_path: Path) -> None:
    linear_model(tmp_path / "model.onnx", 2, 3)
    for file in range(4):
        write_table(tmp_path / "data" / f"{file}.parquet", rows_of(file, 200), write_page_checksum=True)
    job = Job.from_mapping(
        {
            "name": "broken",
            "model": {"path": str(tmp_path / "model.onnx"), "inputs": {"x": ["a", "b"]}},
            "data": {"path": str(tmp_path / "data"), "label": "label"},
            "execution": {"shard_rows": 1},
        }
    )
    prepared = prepare(job)
    corrupt(tmp_path / "data" / "2.parquet", 0, 0)
    pool = StreamPool(prepared.evaluation, open_model(job)[1], 1)
    done = pool.evaluate(list(prepared.plan.shards))
    pool.close()
    (failed,) = done.failures
    assert (failed.shard, failed.fault) == (2, Fault.SHARD)
    assert "2.parquet: row group 0 cannot be decoded" in failed.reason
    assert done.state is not None
    assert list(done.state.shards) == [0, 1, 3]
    others = [shard for shard in prepared.plan.shards if shard.id != 2]
    assert counts(done.state.tally) == counts(Stream(prepared.evaluation, open_model(job)[1]).evaluate(others))


def test_a_pool_says_what_it_will_read_unless_a_shard_is_to_be_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[int]] = []
    expecting = Fetches.expecting

    def heard(self: Fetches, shards: Sequence[Shard]) -> AbstractContextManager[None]:
        said.append([shard.id for shard in shards])
        return expecting(self, shards)

    prepared = prepared_of(folder)
    pool = StreamPool(prepared.evaluation, open_model(prepared.job)[1], 1)
    monkeypatch.setattr(Fetches, "expecting", heard)
    looks = LookingPool(["a"], lambda shard, blocks: len(list(blocks)), 1)
    for each in (pool, looks):
        each.evaluate(list(prepared.plan.shards))
        each.evaluate(list(prepared.plan.shards), alone=True)
        each.close()
    assert said == [[0], [], [0], []]
