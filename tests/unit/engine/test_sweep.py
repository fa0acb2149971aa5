"""A sweep over batch sizes: every size is run, on rows of the data, at every number of threads, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ortbatch.engine.sweep
from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.real_rows import read_real_rows
from ortbatch.engine.sweep import LEAST_ROUNDS, SweepSetup, Swept, sweep
from ortbatch.errors import DataError, ModelError
from ortbatch.job import Job, load_job
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load
from tests.command_line import FEATURES, make_job, write_rows
from tests.models import linear_model

NEVER = float("inf")
PREP = """\
import numpy as np

def parse(batch):
    rows = [[float(part) for part in text.split(",")] for text in batch.column("text").to_pylist()]
    return {"x": np.array(rows, np.float32).reshape(len(rows), 4)}
"""


class Recorded:
    """A session that keeps which rows it is fed."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self.threads, self.session_s = model.threads, model.session_s
        self.runs: Counter[int] = Counter()
        self.order: list[int] = []
        self.rows: dict[int, set[tuple[float, ...]]] = {}

    def run(self, outputs: Sequence[str], feed: dict[str, Any]) -> list[np.ndarray]:
        rows = feed["x"]
        self.runs[len(rows)] += 1
        if self.runs[len(rows)] <= 2_000:
            self.order.append(len(rows))
            self.rows.setdefault(len(rows), set()).update(map(tuple, rows.tolist()))
        return self._model.run(outputs, feed)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Sessions of the sweep, as they are loaded."""
    made: list[Recorded] = []

    def recording(*arguments: Any) -> Recorded:
        made.append(Recorded(load(*arguments)))
        return made[-1]

    monkeypatch.setattr(ortbatch.engine.sweep, "load", recording)
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """120 rows in three files."""
    return prepare(load_job(make_job(tmp_path_factory.mktemp("small"))))


def rows_of(prepared: Prepared) -> set[tuple[float, ...]]:
    table = pa.concat_tables([pq.read_table(file.uri) for file in prepared.plan.files])
    return {tuple(row.values()) for row in table.select([f"f{place}" for place in range(FEATURES)]).to_pylist()}


def by_size(swept: Swept) -> list[tuple[int, int]]:
    return [(timed.threads, timed.batch_size) for timed in swept.timed]


def test_every_size_is_run_at_every_number_of_threads(small: Prepared, sessions: list[Recorded]) -> None:
    swept = sweep(small, SweepSetup((1, 7, 64), (1, 2), seconds=0.3))
    assert by_size(swept) == [(1, 1), (1, 7), (1, 64), (2, 1), (2, 7), (2, 64)]
    assert [session.threads for session in sessions] == [1, 2]
    assert all(set(session.runs) == {1, 7, 64} for session in sessions)
    assert all(timed.histogram.count >= LEAST_ROUNDS for timed in swept.timed)


def test_warm_up_is_not_among_what_counts(small: Prepared, sessions: list[Recorded]) -> None:
    swept = sweep(small, SweepSetup((4,), (1,), seconds=0.2))
    (timed,) = swept.timed
    assert timed.warm_up.runs >= 1
    assert sessions[0].runs[4] >= timed.warm_up.runs + timed.histogram.count


def test_the_rows_are_those_of_the_data(small: Prepared, sessions: list[Recorded]) -> None:
    swept = sweep(small, SweepSetup((1, 8), (1,), seconds=0.3))
    real = rows_of(small)
    assert swept.rows == len(real) == 120
    assert sessions[0].rows[8] == real
    assert sessions[0].rows[1] <= real
    assert [timed.rows for timed in swept.timed] == [120, 120]


def test_more_rows_than_there_are_repeat(small: Prepared, sessions: list[Recorded]) -> None:
    swept = sweep(small, SweepSetup((500,), (1,), seconds=0.2))
    assert set(sessions[0].runs) == {500}
    assert sessions[0].rows[500] == rows_of(small)
    assert (swept.rows, swept.timed[0].rows) == (120, 120)


def test_sizes_take_turns(small: Prepared, sessions: list[Recorded]) -> None:
    sweep(small, SweepSetup((1, 2, 4), (1,), seconds=0.3))
    order = sessions[0].order
    turns = [size for place, size in enumerate(order) if place == 0 or order[place - 1] != size]
    # A warm-up each, then turns: were they timed one after the other, there would be six.
    assert len(turns) > 6


def test_slow_sizes_are_run_thirty_times_and_it_is_told_how_long_that_takes(
    small: Prepared, sessions: list[Recorded]
) -> None:
    told: list[str] = []
    swept = sweep(small, SweepSetup((1, 2), (1,), seconds=1e-6), told.append)
    assert all(timed.histogram.count >= LEAST_ROUNDS for timed in swept.timed)
    assert not any(timed.warm_up.stable for timed in swept.timed)
    assert len(told) == 1
    assert told[0].startswith("30 runs of each take about")


def test_a_batch_that_does_not_fit_in_memory_is_refused(small: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ortbatch.engine.sweep, "free_memory", lambda: 1_000)
    with pytest.raises(ModelError, match="a batch of 512 rows takes 8,192 bytes of inputs, and 1,000 are free"):
        sweep(small, SweepSetup((1, 512), (1,), seconds=0.1))


def test_too_little_memory_names_the_size(small: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Recorded):
        def run(self, outputs: Sequence[str], feed: dict[str, Any]) -> list[np.ndarray]:
            if len(feed["x"]) > 8:
                raise MemoryError("bad_alloc")
            return super().run(outputs, feed)

    monkeypatch.setattr(ortbatch.engine.sweep, "load", lambda *given: Full(load(*given)))
    with pytest.raises(ModelError, match=r"too little memory for a batch of 64 rows: bad_alloc\. Leave that size out"):
        sweep(small, SweepSetup((1, 64), (1,), seconds=0.1))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """600 rows of text through a transform; every tenth cannot be read, every seventh is filtered out."""
    folder = tmp_path_factory.mktemp("texts")
    linear_model(folder / "model.onnx", 4, 3)
    (folder / "prep.py").write_text(PREP)
    lines = ["broken" if place % 10 == 9 else f"{place},1,2,3" for place in range(600)]
    table = pa.table({"text": lines, "label": np.arange(600) % 3, "day": np.arange(600) % 7})
    pq.write_table(table, folder / "data.parquet", row_group_size=100)
    model = {"path": "model.onnx", "transform": {"function": "prep:parse", "columns": ["text"]}}
    data = {"path": "data.parquet", "label": "label", "filter": [["day", "!=", 0]]}
    return prepare(Job.from_mapping({"name": "texts", "model": model, "data": data}, folder))


def test_rows_that_a_transform_cannot_do_or_a_filter_leaves_out_are_in_no_batch(
    texts: Prepared, sessions: list[Recorded]
) -> None:
    usable = {(float(n), 1.0, 2.0, 3.0) for n in range(600) if n % 10 != 9 and n % 7}
    swept = sweep(texts, SweepSetup((1, 16), (1,), seconds=0.5))
    assert set(sessions[0].runs) == {1, 16}
    assert sessions[0].rows[16] <= usable
    assert swept.rows == len(usable)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """20,000 rows in row groups of 500."""
    path = make_job(tmp_path_factory.mktemp("many"))
    for number in range(2):
        write_rows(path.parent / "data" / f"part-{number}.parquet", 10_000, seed=number, group=500)
    return prepare(load_job(path))


@pytest.mark.parametrize("wanted", [10, 1_000, 5_000])
def test_as_many_rows_as_are_wanted_are_read_from_all_over_some_row_groups(many: Prepared, wanted: int) -> None:
    rows = read_real_rows(many.evaluation.by_rows(), many.plan, wanted, NEVER)
    assert len(rows) == wanted
    (batch,) = rows.batches(wanted, wanted)
    assert {tuple(row) for row in batch["x"].tolist()} <= rows_of(many)


def test_where_time_is_up_some_rows_are_read_all_the_same(many: Prepared) -> None:
    assert len(read_real_rows(many.evaluation.by_rows(), many.plan, 5_000, until=0.0)) == 500


def test_batches_are_of_distinct_rows_in_memory_of_their_own(many: Prepared) -> None:
    rows = read_real_rows(many.evaluation.by_rows(), many.plan, 1_000, NEVER)
    batches = [batch["x"] for batch in rows.batches(100, 1_000)]
    assert len(batches) == 10
    assert len({tuple(row) for batch in batches for row in batch.tolist()}) == 1_000
    assert not any(np.shares_memory(batches[0], other) for other in batches[1:])


@pytest.mark.parametrize(("size", "most", "batches"), [(100, 350, 3), (100, 50, 1), (1_000, 1_000, 1), (1_500, 1, 1)])
def test_batches_hold_at_most_so_many_rows_but_there_is_one(many: Prepared, size: int, most: int, batches: int) -> None:
    rows = read_real_rows(many.evaluation.by_rows(), many.plan, 1_000, NEVER)
    made = list(rows.batches(size, most))
    assert [len(batch["x"]) for batch in made] == [size] * batches


def test_data_that_lost_their_good_rows_are_told(tmp_path: Path) -> None:
    prepared = prepare(load_job(make_job(tmp_path)))
    filtered = prepared.evaluation.by_rows()
    nothing = type(filtered)(**{**vars(filtered), "terms": (("f0", "==", 1e9),)})
    with pytest.raises(DataError, match="none of 120 rows can be given to the model"):
        read_real_rows(nothing, prepared.plan, 10, NEVER)
