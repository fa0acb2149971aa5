"""Single predictions: what is run before any counts, and what of it is told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.engine.latency import SingleSetup, measure_single, pick_row_groups, until_steady
from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.job import Job, load_job
from ortbatch.metrics.timed import LEAST_RUNS
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load
from tests.command_line import FEATURES, make_job
from tests.models import linear_model

PREP = """\
import numpy as np

def parse(batch):
    rows = [[float(part) for part in text.split(",")] for text in batch.column("text").to_pylist()]
    return {"x": np.array(rows, np.float32).reshape(len(rows), 4)}
"""


class Machine:
    """Runs that take what they are told to, on a clock that nothing else moves."""

    def __init__(self, times_ns: Iterable[int]) -> None:
        self._times = iter(times_ns)
        self.now = 0.0

    def run(self) -> int:
        took = next(self._times)
        self.now += took / 1e9
        return took

    def clock(self) -> float:
        return self.now


def test_a_steady_machine_is_warm_after_fifty_runs() -> None:
    machine = Machine([1_000] * 100)
    warm_up, times = until_steady(machine.run, 60.0, machine.clock)
    assert (warm_up.runs, warm_up.stable, times) == (LEAST_RUNS, True, [1_000] * LEAST_RUNS)
    assert warm_up.seconds == pytest.approx(50e-6)


def test_a_slow_start_is_waited_for() -> None:
    machine = Machine([*range(200_000, 100_000, -1_000), *[100_000] * 10_000])
    warm_up, _ = until_steady(machine.run, 60.0, machine.clock)
    assert warm_up.stable
    assert 100 < warm_up.runs < 400


def test_a_machine_that_never_settles_is_left_when_time_is_up() -> None:
    machine = Machine(int(1_000_000 * 1.01**place) for place in range(10_000))
    warm_up, times = until_steady(machine.run, 2.0, machine.clock)
    assert not warm_up.stable
    assert warm_up.runs == len(times) > LEAST_RUNS
    assert 2.0 <= warm_up.seconds <= 2.0 + times[-1] / 1e9


def test_a_machine_that_never_settles_is_left_after_5000_runs() -> None:
    machine = Machine(1_000 * (1 + place) for place in range(10_000))
    warm_up, _ = until_steady(machine.run, 60.0, machine.clock)
    assert (warm_up.runs, warm_up.stable) == (5_000, False)


def test_too_few_runs_for_the_time_are_not_called_steady() -> None:
    machine = Machine([10**9] * 10)
    warm_up, _ = until_steady(machine.run, 3.0, machine.clock)
    assert (warm_up.runs, warm_up.stable) == (3, False)


def test_without_time_it_is_run_once() -> None:
    machine = Machine([5, 6])
    assert until_steady(machine.run, 0.0, machine.clock)[1] == [5]


class Recorded:
    """A session that keeps what it is fed."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self.session_s = model.session_s
        self.fixed_batch = model.fixed_batch
        self.fed: list[dict[str, np.ndarray]] = []

    def run(self, outputs: Sequence[str], feed: dict[str, Any]) -> list[np.ndarray]:
        self.fed.append({name: array.copy() for name, array in feed.items()})
        return self._model.run(outputs, feed)


def recorded(prepared: Prepared) -> Recorded:
    return Recorded(load(prepared.model.source, ("CPUExecutionProvider",), 1))


def setup(prepared: Prepared, samples: int) -> SingleSetup:
    return SingleSetup(pick_row_groups(prepared.plan), samples, threads=1, max_seconds=20.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """120 rows in three files."""
    return prepare(load_job(make_job(tmp_path_factory.mktemp("plain"))))


def test_what_comes_before_is_not_among_what_counts(plain: Prepared) -> None:
    model = recorded(plain)
    found = measure_single(model, plain.evaluation.by_rows(), setup(plain, 400))
    assert found.histogram.count == 400
    assert found.warm_up.runs >= LEAST_RUNS
    assert len(model.fed) == 1 + found.warm_up.runs + 400


def test_the_cold_start_is_told(plain: Prepared) -> None:
    model = recorded(plain)
    found = measure_single(model, plain.evaluation.by_rows(), setup(plain, 10))
    assert found.session_s == model.session_s > 0
    assert found.first_ns is not None
    assert found.first_ns > 0


def test_every_prediction_is_of_one_real_row_and_rows_repeat_where_they_are_few(plain: Prepared) -> None:
    model = recorded(plain)
    found = measure_single(model, plain.evaluation.by_rows(), setup(plain, 400))
    files = [pq.read_table(file.uri) for file in plain.plan.files]
    table = pa.concat_tables(files).select([f"f{place}" for place in range(FEATURES)])
    real = {tuple(row.values()) for row in table.to_pylist()}
    fed = [feed["x"] for feed in model.fed]
    assert {array.shape for array in fed} == {(1, FEATURES)}
    assert {tuple(array[0].tolist()) for array in fed} == real
    assert found.rows == len(real) == 120


def test_without_a_transform_there_is_no_time_of_one(plain: Prepared) -> None:
    assert measure_single(recorded(plain), plain.evaluation.by_rows(), setup(plain, 10)).transform is None


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """300 rows of text, every tenth of which cannot be read."""
    folder = tmp_path_factory.mktemp("transformed")
    linear_model(folder / "model.onnx", 4, 3)
    (folder / "prep.py").write_text(PREP)
    texts = ["broken" if place % 10 == 9 else f"{place},1,2,3" for place in range(300)]
    pq.write_table(pa.table({"text": texts, "label": [place % 3 for place in range(300)]}), folder / "data.parquet")
    transform = {"function": "prep:parse", "columns": ["text"]}
    keys = {"name": "text", "model": {"path": "model.onnx", "transform": transform}}
    return prepare(Job.from_mapping({**keys, "data": {"path": "data.parquet", "label": "label"}}, folder))


def test_the_transform_is_timed_apart_one_value_a_row_that_it_can_do(transformed: Prepared) -> None:
    found = measure_single(recorded(transformed), transformed.evaluation.by_rows(), setup(transformed, 300))
    assert found.transform is not None
    # Of 270 good rows 50 are its warm-up.
    assert found.transform.count == 220
    assert found.rows == 270


def test_few_rows_leave_most_of_them_for_the_transform(transformed: Prepared) -> None:
    found = measure_single(recorded(transformed), transformed.evaluation.by_rows(), setup(transformed, 20))
    assert found.transform is not None
    # Of 20 rows two are broken; of the other 18 a fifth is warm-up.
    assert found.transform.count == 15
