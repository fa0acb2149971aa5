"""The batch size that is tuned: by a clock that the model itself moves, so that no timing of this machine matters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ortbatch.engine.prepare
from ortbatch.api import Options, choose_engine, run_job
from ortbatch.engine.prepare import open_model, prepare
from ortbatch.engine.prepared import Prepared, Settled
from ortbatch.engine.tune import MOST_SECONDS, MOST_SHARE, TUNED_FROM_ROWS, tune
from ortbatch.errors import ModelError, RunFolderError
from ortbatch.job import Job, load_job
from ortbatch.model.tuning import Rung, Tuning, batch_size_for, chosen, ladder
from tests.command_line import FEATURES, make_job, write_rows
from tests.models import linear_model

RULE = 8_192
GROUP = 40_000


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120,000 rows in row groups of 40,000."""
    path = make_job(tmp_path_factory.mktemp("many"))
    for number in range(3):
        write_rows(path.parent / "data" / f"part-{number}.parquet", GROUP, seed=number, group=GROUP)
    return path


def untuned(*_: Any) -> tuple[int, Tuning]:
    return RULE, Tuning("not here")


@pytest.fixture
def prepared(job: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", untuned)
    return prepare(load_job(job))


class Timed:
    """A session that moves its own clock: `cost` seconds for a batch of so many rows."""

    def __init__(self, prepared: Prepared, cost: Callable[[int], float], odd: Sequence[int] = ()) -> None:
        turned = prepared.evaluation.inputs.by_columns
        self._model = ortbatch.engine.prepare.load(prepared.model.source, ("CPUExecutionProvider",), 1, turned)
        self._cost, self._odd, self._turned = cost, odd, turned
        self.now = 0.0
        self.calls: list[int] = []

    def run(self, outputs: Sequence[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = self._model.run(outputs, feed)
        rows = len(found[0])
        self.calls.append(rows)
        self.now += self._cost(rows)
        return [np.nextafter(found[0], np.float32(9)), *found[1:]] if rows in self._odd else found

    def clock(self) -> float:
        return self.now


def tuned(prepared: Prepared, model: Timed, rows: int = 10**9) -> tuple[int, Tuning]:
    """With as many rows as are needed for a run that is long enough."""
    plan = prepared.plan
    plan.__dict__["rows"] = rows
    sizes = ladder(prepared.row_bytes, len(prepared.evaluation.decision.classes), prepared.evaluation.batch_size)
    return tune(model, prepared.evaluation, plan, sizes, prepared.decoded.feeder, 1, model.clock)  # type: ignore[arg-type]


def per_row(best: int, slower: float = 1.2) -> Callable[[int], float]:
    """1 µs a row at the best size, `slower` at the others."""
    return lambda rows: rows * 1e-6 * (1 if rows == best else slower)


@pytest.mark.parametrize("best", [2_048, 4_096, 16_384])
def test_the_fastest_size_is_taken(prepared: Prepared, best: int) -> None:
    found, tuning = tuned(prepared, Timed(prepared, per_row(best)))
    assert found == best
    assert tuning.why == "20% faster than the rule's 8,192"
    assert [rung.rows for rung in tuning.rungs] == [2_048, 4_096, 8_192, 16_384]
    assert all(rung.same_scores for rung in tuning.rungs)
    rates = {rung.rows: rung.rows_per_s for rung in tuning.rungs}
    assert rates[best] == pytest.approx(1e6)
    assert rates[RULE] == pytest.approx(1e6 / 1.2)


@pytest.mark.parametrize(("slower", "taken"), [(1.02, RULE), (1.04, 4_096)])
def test_the_rule_stands_unless_another_size_is_more_than_3_percent_faster(
    prepared: Prepared, slower: float, taken: int
) -> None:
    assert tuned(prepared, Timed(prepared, per_row(4_096, slower)))[0] == taken


def test_a_size_whose_scores_differ_in_a_bit_is_left_out(prepared: Prepared) -> None:
    found, tuning = tuned(prepared, Timed(prepared, per_row(4_096), odd=[4_096]))
    assert found == RULE
    assert [(rung.rows, rung.rows_per_s is None) for rung in tuning.rungs if not rung.same_scores] == [(4_096, True)]


def test_if_all_other_sizes_differ_the_rule_stands(prepared: Prepared) -> None:
    found, tuning = tuned(prepared, Timed(prepared, per_row(4_096), odd=[2_048, 4_096, 16_384]))
    assert found == RULE
    assert tuning.why == "no size with the same scores is more than 3% faster"


def test_a_size_that_the_model_refuses_is_left_out(prepared: Prepared) -> None:
    def cost(rows: int) -> float:
        if rows > RULE:
            raise ModelError("too large")
        return rows * 1e-6

    found, tuning = tuned(prepared, Timed(prepared, cost))
    assert found == RULE
    assert not tuning.rungs[-1].same_scores


@pytest.mark.parametrize("rows", [TUNED_FROM_ROWS, 2 * 10**6, 10**7, 3 * 10**7, 10**8, 10**10])
@pytest.mark.parametrize("microseconds", [0.1, 1, 100])
def test_tuning_takes_a_hundredth_of_the_run_and_at_most_two_seconds(
    prepared: Prepared, rows: int, microseconds: float
) -> None:
    model = Timed(prepared, lambda batch: batch * microseconds * 1e-6)
    _, tuning = tuned(prepared, model, rows)
    run = rows * microseconds * 1e-6 + rows * 100e-9
    # Two batches of at most 256 rows, by which the run is estimated, come before all else.
    first = 2 * 256 * microseconds * 1e-6
    assert tuning.seconds == pytest.approx(model.now)
    assert tuning.seconds <= max(first, min(MOST_SECONDS, MOST_SHARE * run))


def test_fewer_than_100_000_rows_are_not_tuned(prepared: Prepared) -> None:
    model = Timed(prepared, per_row(4_096))
    assert tuned(prepared, model, TUNED_FROM_ROWS - 1) == (RULE, Tuning("fewer than 100,000 rows"))
    assert model.calls == []


def test_a_run_that_is_too_short_keeps_the_rule(prepared: Prepared) -> None:
    found, tuning = tuned(prepared, Timed(prepared, per_row(4_096)), TUNED_FROM_ROWS)
    assert (found, tuning.rungs) == (RULE, ())
    assert "is too short to tune" in tuning.why


def test_no_size_has_more_rows_than_a_row_group(prepared: Prepared) -> None:
    model = Timed(prepared, per_row(4_096))
    tuned(prepared, model)
    assert max(model.calls) <= GROUP


def test_a_size_beyond_the_row_groups_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", untuned)
    path = make_job(tmp_path)
    for file in (tmp_path / "data").iterdir():
        write_rows(file, GROUP, group=10_000)
    prepared = prepare(load_job(path))
    model = Timed(prepared, per_row(4_096))
    assert [rung.rows for rung in tuned(prepared, model)[1].rungs] == [2_048, 4_096, 8_192]
    assert max(model.calls) <= RULE


def test_a_batch_that_would_take_long_is_not_tried(prepared: Prepared) -> None:
    model = Timed(prepared, lambda rows: rows * 1e-5)
    assert [rung.rows for rung in tuned(prepared, model)[1].rungs] == [2_048, 4_096, 8_192]
    assert max(model.calls) <= RULE


def test_several_streams_are_timed_at_once(prepared: Prepared) -> None:
    model = Timed(prepared, lambda rows: rows * 1e-5)
    prepared.plan.__dict__["rows"] = 10**9
    sizes = ladder(prepared.row_bytes, 3, prepared.evaluation.batch_size)
    _, tuning = tune(model, prepared.evaluation, prepared.plan, sizes, prepared.decoded.feeder, 3)  # type: ignore[arg-type]
    assert tuning.streams == 3
    assert all(rung.rows_per_s for rung in tuning.rungs)


@pytest.mark.parametrize(
    ("row_bytes", "classes", "sizes"),
    [
        (784 * 4, 10, (8, 16, 32, 64, 128, 256, 512)),
        (128, 2, (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384)),
        (4, 2, (8_192, 16_384, 32_768)),
        (256, 1_000, (128, 256, 512, 1_024)),
        (602_112, 10, (1, 2)),
        (1 << 30, 10, (1,)),
    ],
)
def test_the_ladder_is_powers_of_two_around_the_rule(row_bytes: int, classes: int, sizes: tuple[int, ...]) -> None:
    assert ladder(row_bytes, classes, batch_size_for(row_bytes)) == sizes
    assert batch_size_for(row_bytes) in sizes


def test_a_size_that_was_not_timed_or_differs_is_not_chosen() -> None:
    rungs = [Rung(1, None, True), Rung(2, 100.0, True), Rung(4, 900.0, False), Rung(8, 104.0, True)]
    assert chosen(2, rungs) == 8
    assert chosen(1, rungs) == 1


def sized(size: int) -> Callable[..., tuple[int, Tuning]]:
    rungs = (Rung(RULE, 1e6, True), Rung(size, 2e6, True))
    return lambda *_: (size, Tuning("100% faster than the rule's 8,192", rungs, 0.5, 2))


@pytest.fixture
def settled(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was tuned to 4,096; any tuning from now on gives 2,048."""
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", sized(4_096))
    run_job(load_job(job), Options(run_dir=str(tmp_path), engine="inline"))
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", sized(2_048))
    return tmp_path


def size_in(folder: Path) -> tuple[str, str]:
    provenance = json.loads((folder / "report.json").read_text())["provenance"]
    assert str(provenance["batch_size"]["rows"]) == provenance["identity"]["batch_size"]
    return provenance["identity"]["batch_size"], provenance["batch_size"]["how"]


def test_the_report_says_what_was_tried(settled: Path) -> None:
    report = json.loads((settled / "report.json").read_text())
    assert report["latency"]["batch"]["batch_size"] == 4_096
    assert report["provenance"]["batch_size"] == {
        "rows": 4_096,
        "how": "tuned",
        "why": "100% faster than the rule's 8,192",
        "seconds": 0.5,
        "streams": 2,
        "ladder": [
            {"rows": RULE, "rows_per_s": 1e6, "same_scores": True},
            {"rows": 4_096, "rows_per_s": 2e6, "same_scores": True},
        ],
    }


def test_a_finished_run_is_the_same_run_whatever_tuning_would_give_now(job: Path, settled: Path) -> None:
    assert run_job(load_job(job), Options(run_dir=str(settled), engine="inline")).repeated


def test_an_unfinished_run_keeps_its_size(job: Path, settled: Path) -> None:
    (settled / "report.json").unlink()
    assert not run_job(load_job(job), Options(run_dir=str(settled), engine="inline")).repeated
    assert size_in(settled) == ("4096", "folder")


def test_force_tunes_again(job: Path, settled: Path) -> None:
    run_job(load_job(job), Options(run_dir=str(settled), engine="inline", force=True))
    assert size_in(settled) == ("2048", "tuned")


def test_a_size_of_the_job_is_not_that_of_the_folder(job: Path, settled: Path) -> None:
    other = load_job(job, overrides=["model.batch_size=16384"])
    with pytest.raises(RunFolderError, match="batch_size is 4096 there, 16384 here"):
        run_job(other, Options(run_dir=str(settled), engine="inline"))


@pytest.mark.parametrize("there", [7, 8, 65_536, 0, None])
def test_a_size_that_tuning_cannot_give_is_not_taken_over(
    job: Path, monkeypatch: pytest.MonkeyPatch, there: int | None
) -> None:
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", sized(2_048))
    found = prepare(load_job(job), Settled(there))
    assert (found.evaluation.batch_size, found.batch_size_by) == (2_048, "tuned")


def test_counts_are_those_of_the_rule_whatever_size_is_taken(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qualities = []
    for size in (2_048, RULE, 16_384):
        monkeypatch.setattr(ortbatch.engine.prepare, "tune", sized(size))
        outcome = run_job(load_job(job), Options(run_dir=str(tmp_path / str(size)), engine="inline"))
        qualities.append(json.dumps(outcome.report.data["quality"]))
    assert len(set(qualities)) == 1


def forbidden(*_: Any) -> tuple[int, Tuning]:
    raise AssertionError("tuned")


@pytest.mark.parametrize("size", [64, RULE])
def test_a_size_of_the_job_is_not_tuned(job: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", forbidden)
    found = prepare(load_job(job, overrides=[f"model.batch_size={size}"]), Settled(4_096))
    assert (found.evaluation.batch_size, found.batch_size_by, found.tuning.why) == (size, "job", "`model.batch_size`")


def test_few_rows_are_not_tuned_and_take_no_size_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ortbatch.engine.prepare, "tune", forbidden)
    found = prepare(load_job(make_job(tmp_path)), Settled(4_096))
    assert (found.evaluation.batch_size, found.batch_size_by) == (RULE, "rule")


def test_a_real_tuning_gives_a_size_of_the_ladder(job: Path) -> None:
    found = prepare(load_job(job))
    assert found.evaluation.batch_size in ladder(found.row_bytes, 3, batch_size_for(found.row_bytes))
    assert found.tuning.seconds < MOST_SECONDS


def test_wide_models_are_still_fed_as_they_are(tmp_path: Path) -> None:
    linear_model(tmp_path / "model.onnx", FEATURES, 3)
    write_rows(tmp_path / "rows.parquet", 1_000)
    keys = {"name": "one", "model": "model.onnx", "data": {"path": "rows.parquet", "label": "label"}}
    found = prepare(Job.from_mapping(keys, tmp_path))
    assert open_model(found.job)[0].sha256 == found.model.sha256
    assert found.row_bytes == FEATURES * 4


@pytest.mark.parametrize(
    ("options", "environment", "workers", "expected"),
    [
        (Options(engine="inline"), "", "auto", ("inline", "asked for")),
        (Options(engine="ray"), "", "auto", ("ray", "asked for")),
        (Options(address="ray://there"), "", "auto", ("ray", "an address is given")),
        (Options(), "auto", "auto", ("ray", "RAY_ADDRESS is set")),
        (Options(), "", 2, ("ray", "`execution.workers` asks for 2")),
    ],
)
def test_the_engine_says_why(
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    options: Options,
    environment: str,
    workers: int | str,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", environment)
    asked = load_job(prepared.job.folder / "job.yaml", overrides=[f"execution.workers={workers}"])
    assert choose_engine(replace(prepared, job=asked), options) == expected


def test_on_one_machine_the_engine_that_ends_first_is_taken(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, why = choose_engine(prepared, Options())
    assert engine == "inline"
    assert why.endswith("on an embedded Ray")
    monkeypatch.setattr("ortbatch.engine.host.available_cpus", lambda: 64)
    files = tuple(replace(file, group_bytes=(10**12,)) for file in prepared.plan.files)
    monkeypatch.setitem(prepared.plan.__dict__, "files", files)
    assert choose_engine(prepared, Options())[0] == "ray"


def test_the_rate_that_was_measured_is_that_of_one_stream(prepared: Prepared) -> None:
    tuning = Tuning("", (Rung(RULE, 3e6, True),), 0.1, 3)
    assert replace(prepared, tuning=tuning).work.rate == 1e6
    assert prepared.work.rate is None
    assert prepared.work.size == sum(sum(file.group_bytes) for file in prepared.plan.files)
