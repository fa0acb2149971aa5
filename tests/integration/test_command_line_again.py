"""Running again: a finished run is left alone, another is never overwritten, the same work gives the same report."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import ortbatch.engine.driver
from tests.command_line import Done, call, files_of, make_job
from tests.models import linear_model

GATES = ("--set", "gates=[accuracy >= 0.99, latency.single.p50_ms >= 0]")
VOLATILE = {"run", "latency", "throughput", "provenance", "status", "exit_code"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the small job; do not write beside it."""
    return make_job(tmp_path_factory.mktemp("small"))


def run(job: Path, folder: Path, *options: str) -> Done:
    return call("run", job, "--run-dir", folder, "--engine", "inline", *options)


@pytest.fixture
def finished(job: Path, tmp_path: Path) -> Path:
    """A finished run with a gate that fails."""
    assert run(job, tmp_path / "run", *GATES).code == 1
    return tmp_path / "run"


@pytest.fixture
def unfinished(finished: Path) -> Path:
    """What a run leaves that was interrupted."""
    for name in ("report.json", "metrics.csv"):
        (finished / name).unlink()
    return finished


def report_of(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return data


def test_a_finished_run_is_not_run_again_and_gives_its_exit_code(job: Path, finished: Path) -> None:
    before = files_of(finished)
    done = run(job, finished, *GATES)
    assert done.code == 1
    assert done.out.startswith(" FAILED   small: 1 failed, 1 passed of 2 gates\n")
    assert done.err == "this run is finished already: nothing was done (--force runs it again)\n"
    assert files_of(finished) == before


def test_a_finished_run_prints_its_json_again(job: Path, finished: Path) -> None:
    assert run(job, finished, *GATES, "--json").out == (finished / "report.json").read_text()


OTHER = {
    "another threshold of batches": ("model.batch_size=7", "batch_size is 8192 there, 7 here"),
    "other data": ("data.path=data/part-0.parquet", "data is "),
    "other inputs": (
        "model.inputs.x=[f1, f0, f2, f3]",
        "what is evaluated (inputs, labels, classes, positive class, threshold, slices) is ",
    ),
    "another model": ("model.path=other.onnx", "model is "),
}


@pytest.mark.parametrize("what", OTHER)
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_another_run_in_the_folder_is_refused_and_what_differs_is_named(
    job: Path, what: str, state: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(state)
    if not (job.parent / "other.onnx").exists():
        linear_model(job.parent / "other.onnx", 4, 3, seed=1)
    before = files_of(folder)
    done = run(job, folder, *GATES, "--set", OTHER[what][0])
    assert (done.code, done.out) == (2, "")
    assert f"{folder}: holds " in done.err
    assert f" run of something else: {OTHER[what][1]}" in done.err
    assert files_of(folder) == before


def test_other_gates_are_refused_with_the_way_to_judge_them(job: Path, finished: Path) -> None:
    done = run(job, finished)
    assert done.code == 2
    assert "judged by other gates" in done.err
    assert "`ortbatch gate RUN --gates JOB`" in done.err


def test_how_the_work_is_spread_does_not_make_another_run(job: Path, finished: Path) -> None:
    assert run(job, finished, *GATES, "--set", "execution.cpus_per_worker=1").err.startswith("this run is finished")


@pytest.mark.parametrize("options", [GATES, (*GATES, "--set", "data.path=data/part-0.parquet")], ids=["same", "other"])
def test_force_runs_again(job: Path, finished: Path, options: tuple[str, ...]) -> None:
    before = report_of(finished)["run"]["id"]
    assert run(job, finished, *options, "--force").code == 1
    assert report_of(finished)["run"]["id"] != before


def test_a_forced_run_that_fails_leaves_no_report_of_before(
    job: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drive(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ortbatch.engine.driver, "drive", drive)
    assert run(job, finished, *GATES, "--force").code == 130
    assert sorted(path.name for path in finished.iterdir()) == ["checkpoint", "plan.json"]


def test_an_unfinished_run_of_the_same_job_is_run(job: Path, unfinished: Path) -> None:
    assert run(job, unfinished, *GATES).code == 1
    assert report_of(unfinished)["status"] == "failed"


def test_an_unfinished_run_takes_other_gates(job: Path, unfinished: Path) -> None:
    assert run(job, unfinished).code == 0


def test_an_unfinished_run_of_something_else_can_be_forced(job: Path, unfinished: Path) -> None:
    assert run(job, unfinished, "--set", "model.batch_size=7", "--force").code == 0


@pytest.mark.parametrize("plan", ["", "[]", '{"identity": 1}', '{"identity": ["a"]}', "{}"])
def test_a_damaged_plan_is_no_plan_of_this_run(job: Path, tmp_path: Path, plan: str) -> None:
    (tmp_path / "plan.json").write_text(plan)
    done = run(job, tmp_path)
    assert done.code == 2
    assert "holds an unfinished run of something else: model is unknown there" in done.err


def test_a_damaged_report_is_not_overwritten(job: Path, finished: Path) -> None:
    (finished / "report.json").write_text("{")
    done = run(job, finished, *GATES)
    assert done.code == 2
    assert "report.json: not a report" in done.err


def without_volatile_findings(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"findings": [finding for finding in report["findings"] if "volatile" not in finding]}


def test_two_runs_of_the_same_differ_only_in_what_is_volatile(job: Path, finished: Path, tmp_path: Path) -> None:
    run(job, tmp_path / "again", *GATES)
    one, two = (without_volatile_findings(report_of(folder)) for folder in (finished, tmp_path / "again"))
    assert one.keys() == two.keys()
    assert {key for key in one if one[key] != two[key]} - {"gates"} <= VOLATILE
    for old, new in zip(one["gates"], two["gates"], strict=True):
        assert old == new or (old["volatile"] and new["volatile"])


def test_what_is_not_volatile_has_the_same_bytes(job: Path, finished: Path, tmp_path: Path) -> None:
    run(job, tmp_path / "again", *GATES)
    texts = []
    for folder in (finished, tmp_path / "again"):
        data = without_volatile_findings(report_of(folder))
        texts.append(json.dumps({key: data[key] for key in data if key not in VOLATILE | {"gates"}}))
    assert texts[0] == texts[1]


def test_a_run_that_moved_is_still_readable(finished: Path, tmp_path: Path) -> None:
    shutil.move(finished, tmp_path / "elsewhere")
    assert call("report", tmp_path / "elsewhere").code == 0


def test_verdicts_are_written_for_ci_systems_and_by_other_gates_too(job: Path, tmp_path: Path) -> None:
    files = ("--junit", tmp_path / "a.xml", "--markdown", tmp_path / "new" / "a.md")
    assert run(job, tmp_path / "run", *GATES, *map(str, files)).code == 1
    suite = ET.parse(tmp_path / "a.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert (tmp_path / "new" / "a.md").read_text().startswith("## ❌ small: failed\n")
    (tmp_path / "gates.yaml").write_text("gates: [accuracy >= 0.1]\n")
    again = call("gate", tmp_path / "run", "--gates", tmp_path / "gates.yaml", "--junit", tmp_path / "b.xml")
    assert again.code == 0
    assert ET.parse(tmp_path / "b.xml").getroot().get("failures") == "0"


def test_a_file_for_ci_that_cannot_be_written_is_told_and_the_report_stands(job: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(job, tmp_path / "run", "--junit", str(tmp_path / "file" / "a.xml"))
    assert done.code == 5
    assert f"{tmp_path / 'file' / 'a.xml'}: cannot be written" in done.err
    assert (tmp_path / "run" / "report.json").is_file()
