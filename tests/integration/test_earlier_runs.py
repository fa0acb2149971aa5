"""Earlier runs: listed by time, and picked as what the gates of the next are held against."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ortbatch
from ortbatch.api import Options, check, judge_again, run_job
from ortbatch.earlier import baselines_of
from ortbatch.engine.folder import RunFolder
from ortbatch.errors import DataError, JobError, RunFolderError
from ortbatch.job import Gate, Job, load_job
from ortbatch.report.encode import encode
from tests.command_line import call, make_job, write_rows
from tests.models import linear_model
from tests.s3 import S3
from tests.unit.report.made import label_tally, report

JOB = """\
name: small
model: {path: model.onnx, inputs: {x: [f0, f1, f2, f3]}}
data: {path: data, label: label}
latency: {max_seconds: 0.05}
baselines: {previous: {run: "runs/small/*", if_missing: pass}}
gates:
  - accuracy >= 0.5
  - {metric: accuracy, versus: previous, max_drop: 0.01}
  - {metric: "recall", class: 1, versus: previous, max_drop: 0.05, confidence: 0.95}
run_dir: runs/small/{night}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job folder of its own."""
    return make_job(tmp_path / "job", JOB.replace("{night}", "{started}"))


def night(job: Path, name: str, *options: str) -> Any:
    """Run the job in the folder of a night."""
    return call("run", job, "--run-dir", job.parent / "runs" / "small" / name, "--engine", "inline", *options)


def data_of(job: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((job.parent / "runs" / "small" / name / "report.json").read_text())
    return data


def date(job: Path, name: str, started_at: str, **changes: Any) -> None:
    """Give a stored run another time, so that nights need not be waited for."""
    path = job.parent / "runs" / "small" / name / "report.json"
    data = json.loads(path.read_text())
    data["run"]["started_at"] = started_at
    path.write_text(encode({**data, **changes}) + "\n")


def worse_model(job: Path) -> None:
    linear_model(job.parent / "model.onnx", 4, 3, seed=5)


def test_the_first_night_passes_without_an_earlier_one_and_the_next_is_held_against_it(job: Path) -> None:
    assert night(job, "1").code == 0
    first = data_of(job, "1")
    assert first["baselines"]["previous"] == {"missing": "no run that passed at runs/small/*", "if_missing": "pass"}
    assert [gate["outcome"] for gate in first["gates"]] == ["passed"] * 3
    assert night(job, "2").code in (0, 4)
    second = data_of(job, "2")
    kept = second["baselines"]["previous"]
    assert (kept["run_id"], kept["model_sha256"]) == (first["run"]["id"], first["provenance"]["model"]["sha256"])
    assert kept["metrics"]["accuracy"] == {"estimate": first["quality"]["accuracy"], "rows": 120}
    assert second["gates"][1]["versus"]["old"] == first["quality"]["accuracy"]["value"]
    assert second["gates"][1]["outcome"] == "passed"


def test_a_worse_model_fails_its_gate(job: Path) -> None:
    night(job, "1")
    worse_model(job)
    done = night(job, "2", "--set", "gates.0=accuracy >= 0")
    assert done.code == 1
    gate = data_of(job, "2")["gates"][1]
    assert (gate["outcome"], gate["op"], gate["limit"]) == ("failed", ">=", -0.01)
    assert gate["value"] == pytest.approx(gate["versus"]["new"] - gate["versus"]["old"])
    assert gate["value"] < -0.01
    assert "versus previous" in done.out


def test_a_stored_report_is_judged_again_without_the_earlier_run(job: Path, tmp_path: Path) -> None:
    night(job, "1")
    night(job, "2")
    wanted = data_of(job, "2")["gates"]
    shutil.rmtree(job.parent / "runs" / "small" / "1")
    shutil.move(job.parent / "runs" / "small" / "2", tmp_path / "alone")
    assert judge_again(ortbatch.read_report(str(tmp_path / "alone")), None).data["gates"] == wanted


def test_other_gates_may_use_the_baselines_that_the_report_keeps(job: Path, tmp_path: Path) -> None:
    night(job, "1")
    night(job, "2")
    run, gates = job.parent / "runs" / "small" / "2", tmp_path / "gates.yaml"
    gates.write_text("gates: [{metric: accuracy, versus: previous, max_drop: 0}]\n")
    assert call("gate", run, "--gates", gates).code == 0
    gates.write_text("gates: [{metric: f1_macro, versus: previous, max_drop: 0}]\n")
    done = call("gate", run, "--gates", gates)
    assert done.code == 1
    assert "keeps no `f1_macro` of `previous`" in " ".join(done.out.split())
    gates.write_text("gates: [{metric: accuracy, versus: previos, max_drop: 0}]\n")
    done = call("gate", run, "--gates", gates)
    assert done.code == 2
    assert "did you mean `previous`?" in done.err


def test_the_newest_run_that_passed_is_picked_or_the_newest(job: Path) -> None:
    for name, status in (("a", "passed"), ("b", "passed"), ("c", "failed")):
        night(job, name)
        date(job, name, f"2026-11-2{'abc'.index(name)}T00:00:00Z", status=status)
    ids = {name: data_of(job, name)["run"]["id"] for name in "abc"}
    loaded = load_job(job)
    assert baselines_of(loaded, None)["previous"]["run_id"] == ids["b"]
    latest = load_job(job, overrides=["baselines.previous.pick=latest"])
    assert baselines_of(latest, None)["previous"]["run_id"] == ids["c"]


def test_a_run_is_no_baseline_of_itself(job: Path, tmp_path: Path) -> None:
    night(job, "1")
    night(job, "2")
    folder = job.parent / "runs" / "small"
    date(job, "1", "2026-11-20T00:00:00Z")
    (tmp_path / "link").symlink_to(folder / "2")
    for own in (folder / "2", tmp_path / "link", folder / ".." / "small" / "2"):
        assert baselines_of(load_job(job), RunFolder(str(own)))["previous"]["run_id"] == data_of(job, "1")["run"]["id"]
    night(job, "2", "--force")
    assert data_of(job, "2")["baselines"]["previous"]["run_id"] == data_of(job, "1")["run"]["id"]
    shutil.rmtree(folder / "1")
    assert "but this one itself" in baselines_of(load_job(job), RunFolder(str(folder / "2")))["previous"]["missing"]


def test_a_pinned_run_is_taken_whatever_its_status(job: Path) -> None:
    night(job, "1")
    date(job, "1", "2026-11-20T00:00:00Z", status="failed")
    for name in ("runs/small/1", "runs/small/1/report.json", str(job.parent / "runs/small/1")):
        pinned = load_job(job, overrides=[f"baselines.previous.run={name}"])
        assert baselines_of(pinned, None)["previous"]["status"] == "failed"


def test_the_folder_of_the_job_is_no_pattern(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job [1]*", JOB.replace("{night}", "{started}"))
    night(job, "1")
    assert "run_id" in baselines_of(load_job(job), None)["previous"]


@pytest.mark.parametrize("what", ["gone", "no JSON", "another version", "no report"])
def test_a_pinned_run_that_cannot_be_read_ends_before_the_run_with_2(job: Path, what: str) -> None:
    pinned = ("--set", "baselines.previous={run: runs/small/gold}")
    if what != "gone":
        gold = job.parent / "runs" / "small" / "gold"
        gold.mkdir(parents=True)
        content = {"no JSON": "{", "another version": '{"schema_version": 9}', "no report": '{"schema_version": 1}'}
        (gold / "report.json").write_text(content[what])
    done = night(job, "1", *pinned)
    assert (done.code, done.out) == (2, "")
    assert "baselines.previous.run: no finished run at runs/small/gold" in done.err
    assert "if_missing: pass" in done.err
    assert not (job.parent / "runs" / "small" / "1").exists()
    with pytest.raises(JobError, match="no finished run at runs/small/gold"):
        check(load_job(job, overrides=[pinned[1]]))


def test_an_unreadable_newest_run_is_passed_over_and_named(job: Path) -> None:
    night(job, "1")
    broken = job.parent / "runs" / "small" / "broken"
    broken.mkdir()
    (broken / "report.json").write_text("{")
    entry = baselines_of(load_job(job), None)["previous"]
    assert entry["run_id"] == data_of(job, "1")["run"]["id"]
    assert "broken/report.json: not a report" in entry["skipped"][0]
    night(job, "2")
    assert data_of(job, "2")["baselines"]["previous"]["skipped"] == entry["skipped"]


def test_a_finished_run_under_other_baselines_is_refused(job: Path) -> None:
    night(job, "1")
    assert night(job, "1").code == 0
    done = night(job, "1", "--set", "baselines.previous.pick=latest")
    assert done.code == 2
    assert "judged by other baselines" in done.err


@pytest.mark.parametrize("uses", [("previous", "previuos"), ("gold", "previous")])
def test_a_gate_against_a_baseline_that_there_is_not_is_refused_at_load(job: Path, uses: tuple[str, str]) -> None:
    given, used = uses
    text = job.read_text().replace("baselines: {previous", f"baselines: {{{given}")
    job.write_text(text.replace("versus: previous", f"versus: {used}"))
    with pytest.raises(JobError) as caught:
        load_job(job)
    assert [problem.key for problem in caught.value.problems] == ["gates[1]", "gates[2]"]
    assert f"is none of the baselines {given}" in str(caught.value)


def test_gates_against_a_baseline_survive_their_way_through_a_report() -> None:
    gates = [{"metric": "recall[x]", "versus": "p", "max_drop": 0.1, "confidence": 0.9}]
    gates += [{"metric": "log_loss", "versus": "p", "max_drop": 0.1}]
    keys = {"name": "n", "model": "m", "data": {"path": "d", "label": "y"}, "baselines": {"p": {"run": "r"}}}
    job = Job.from_mapping({**keys, "gates": gates})
    assert [gate.as_key() for gate in job.gates] == gates
    assert [(gate.op, gate.limit) for gate in job.gates] == [(">=", -0.1), ("<=", 0.1)]
    assert Job.from_mapping(job.resolved()).gates == job.gates
    assert isinstance(job.gates[0], Gate)


def write_run(folder: Path, started_at: str, right: int = 40) -> None:
    folder.mkdir(parents=True)
    data = report(label_tally([[right, 50 - right], [5, 45]]), id=started_at, started_at=started_at)
    (folder / "report.json").write_text(encode(data) + "\n")


def test_history_finds_every_finished_run_below_a_folder_in_order_of_time(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "deep/er/a", "c", "deep/z")):
        write_run(tmp_path / name, f"2026-11-2{number}T00:00:00Z", 40 + number)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "plan.json").write_text("{}")
    history = ortbatch.history(str(tmp_path))
    assert [run["run"][:10] for run in history.runs] == [f"2026-11-2{number}" for number in range(4)]
    assert [run["metrics"]["accuracy"]["value"] for run in history.runs] == [0.85, 0.86, 0.87, 0.88]
    assert history.runs[2]["path"] == str(tmp_path / "c" / "report.json")
    assert history.data["unreadable"] == []


def test_what_cannot_be_read_is_counted_and_named(tmp_path: Path) -> None:
    write_run(tmp_path / "good", "2026-11-20T00:00:00Z")
    for name, content in (("json", b"{"), ("version", b'{"schema_version": 2}'), ("bytes", b"\xff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_bytes(content)
    done = call("history", tmp_path)
    assert done.code == 0
    assert done.out.count("unreadable: ") == 3
    found = json.loads(call("history", tmp_path, "--json").out)
    assert [Path(one["path"]).parent.name for one in found["unreadable"]] == ["bytes", "json", "version"]
    assert len(found["runs"]) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_the_newest_runs_are_the_last_of_all(tmp_path: Path, limit: int) -> None:
    for number in range(6):
        write_run(tmp_path / str(number), f"2026-11-2{number}T00:00:00Z", 40 + number)
    # Newest of all, and not to be read.
    lacking = {"schema_version": 1, "status": "passed", "run": {"id": "x", "started_at": "2026-12-01T00:00:00Z"}}
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "report.json").write_text(json.dumps(lacking))
    every, newest = ortbatch.history(str(tmp_path)), ortbatch.history(str(tmp_path), limit=limit)
    assert list(newest.runs) == list(every.runs[-limit:])
    assert (newest.data["left_out"], newest.data["unreadable"]) == (6 - limit, every.data["unreadable"])


def test_a_table_shows_the_newest_fifty_and_json_all(tmp_path: Path) -> None:
    for number in range(53):
        write_run(tmp_path / str(number), f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z")
    shown, found = call("history", tmp_path).out, json.loads(call("history", tmp_path, "--json").out)
    assert "3 older runs are not shown (--limit)." in shown
    assert (found["runs"][3]["run"] in shown, found["runs"][2]["run"] in shown) == (True, False)
    assert (len(found["runs"]), found["left_out"]) == (53, 0)


def test_history_of_real_runs_shows_their_metrics_and_no_drift_of_the_same_data(job: Path) -> None:
    night(job, "1")
    date(job, "1", "2026-11-20T00:00:00Z")
    night(job, "2")
    done = call("history", job.parent / "runs", "--metric", "recall[1]", "--metric", "accuracy", "--json")
    runs = json.loads(done.out)["runs"]
    assert [run["metrics"]["accuracy"]["value"] for run in runs] == [
        data_of(job, name)["quality"]["accuracy"]["value"] for name in "12"
    ]
    drift = runs[1]["drift"]
    assert (drift["class_balance"]["psi"], drift["scores"]["psi"]) == (0.0, 0.0)


def test_drift_of_real_runs_is_seen(job: Path) -> None:
    night(job, "1")
    date(job, "1", "2026-11-20T00:00:00Z")
    for number in range(3):
        write_rows(job.parent / "data" / f"part-{number}.parquet", rows=40, seed=number)
    worse_model(job)
    night(job, "2", "--set", "gates=[]")
    drift = ortbatch.history(str(job.parent)).runs[1]["drift"]
    assert drift["class_balance"]["psi"] == 0.0
    assert drift["scores"]["psi"] > 0.1
    assert ortbatch.history(str(job.parent), limit=1).runs[0]["drift"] == drift
    assert 0 < drift["scores"]["js"] < 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metric", "acuracy"), "unknown metric `acuracy`; did you mean `accuracy`?"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_bad_usage_of_history_ends_with_2(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = call("history", tmp_path, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_folder_that_is_not_there_ends_with_2_and_an_empty_one_with_0(tmp_path: Path) -> None:
    assert call("history", tmp_path / "none").code == 2
    done = call("history", tmp_path)
    assert (done.code, " ".join(done.out.split())) == (0, f"No finished run below {tmp_path}.")
    with pytest.raises(ValueError, match="a limit is at least 1"):
        ortbatch.history(str(tmp_path), limit=0)


def test_earlier_runs_may_lie_in_a_bucket(s3: S3, job: Path) -> None:
    for number in (1, 2):
        write_run(job.parent / "bucket" / str(number), f"2026-11-2{number}T00:00:00Z", 40 + number)
    s3.upload(job.parent / "bucket", "nights")
    found = ortbatch.history(s3.uri("nights"))
    assert [run["run"][:10] for run in found.runs] == ["2026-11-21", "2026-11-22"]
    assert "secret" not in found.encode().lower()
    assert "***@" in found.runs[0]["path"]
    for name, day in (("nights/*", 2), ("nights/1", 1), ("nights/1/report.json", 1)):
        uri = json.dumps(s3.uri(name))
        asked = load_job(job, overrides=[f"baselines.previous={{run: {uri}, pick: latest}}"])
        entry = baselines_of(asked, None)["previous"]
        assert entry["started_at"] == f"2026-11-2{day}T00:00:00Z"
        assert "***@" in entry["path"]
    assert ortbatch.compare(s3.uri("nights/1"), s3.uri("nights/2")).metrics["accuracy"]["difference"] == 0.01
    asked = load_job(job, overrides=[f"baselines.previous.run={json.dumps(s3.uri('none/*'))}"])
    assert "missing" in baselines_of(asked, None)["previous"]
    with pytest.raises((DataError, RunFolderError)):
        ortbatch.compare(s3.uri("nights/7"), s3.uri("nights/2"))


def test_a_run_through_python_keeps_its_baseline(job: Path) -> None:
    night(job, "1")
    report_ = run_job(load_job(job), Options(run_dir=str(job.parent / "runs/small/2"), engine="inline")).report
    assert report_.data["baselines"]["previous"]["run_id"] == data_of(job, "1")["run"]["id"]
    assert report_.data["gates"][1]["volatile"] is True
