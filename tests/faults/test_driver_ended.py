"""The driver ends in the middle, in every way it can; the run goes on, and its report is that of an undisturbed one."""

from __future__ import annotations

import random
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ortbatch.api import Options, run_job
from ortbatch.job import load_job
from ortbatch.report.report import Report
from tests.command_line import command
from tests.faults.fault_job import FILES, end, lasting, make_fault_job, report_in, segments, start, wait_for_segments

INLINE = ("--engine", "inline")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About two seconds of work in 40 shards."""
    return make_fault_job(tmp_path_factory.mktemp("ended") / "job", pace=0.1)


@pytest.fixture(scope="module")
def undisturbed(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_job(load_job(job), Options(run_dir=str(tmp_path_factory.mktemp("undisturbed")), engine="inline")).report


def go_on(job: Path, run: Path, *options: str) -> tuple[int, str]:
    return end(start("run", job, "--run-dir", run, *INLINE, *options))


def kept(run: Path) -> int:
    """Shards in the segments of an ended run."""
    from ortbatch.engine.segment import decode_segment

    return sum(len(decode_segment(path.read_bytes())[0].shards) for path in segments(run))


def test_killed_at_random_moments_it_goes_on_behind_its_last_segment(tmp_path: Path, undisturbed: Report) -> None:
    job = make_fault_job(tmp_path / "job", pace=0.4)
    run, chance, done = tmp_path / "run", random.Random(0), [0]
    for _ in range(5):
        running = start("run", job, "--run-dir", run, *INLINE)
        wait_for_segments(run, len(segments(run)) + 1, running)
        time.sleep(chance.random() * 0.3)
        running.kill()
        _, err = end(running)
        assert (f"going on: {done[-1]} of {FILES} shards were done before" in err) == (done[-1] > 0)
        done.append(kept(run))
    assert sorted(set(done)) == done
    assert done[-1] < FILES
    assert go_on(job, run)[0] == 0
    report = report_in(run)
    assert lasting(report) == lasting(undisturbed.data)
    assert report["provenance"]["restored_shards"] == done[-1]
    assert sorted(path.name for path in run.iterdir()) == ["metrics.csv", "plan.json", "report.html", "report.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_keeps_all_and_says_how_to_go_on(
    job: Path, tmp_path: Path, undisturbed: Report, number: signal.Signals
) -> None:
    run = tmp_path / "a run"
    running = start("run", job, "--run-dir", run, *INLINE, flush=60)
    time.sleep(0.1)
    wait_for(run / "plan.json")
    time.sleep(0.7)
    running.send_signal(number)
    code, err = end(running)
    assert code == 130
    assert kept(run) > 0
    program, *words = shlex.split(err.splitlines()[-1])
    assert program == "ortbatch"
    assert subprocess.run(command(*words), check=False, capture_output=True).returncode == 0
    assert lasting(report_in(run)) == lasting(undisturbed.data)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.01)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    # Its only batch never comes back: the first signal waits for the loop, the second for nothing.
    job = make_fault_job(tmp_path / "job", {FILES - 1: "hang"}, pace=0.05)
    running = start("run", job, "--run-dir", tmp_path / "run", *INLINE)
    wait_for_segments(tmp_path / "run", 1, running)
    running.send_signal(signal.SIGTERM)
    running.send_signal(signal.SIGTERM)
    assert end(running, timeout=5)[0] == 130


def test_the_newest_unfinished_run_is_found(tmp_path: Path, undisturbed: Report) -> None:
    job = make_fault_job(tmp_path / "job", pace=0.1)
    running = start("run", job, *INLINE)
    until = time.monotonic() + 30
    while not list(tmp_path.glob("job/runs/faults/*/checkpoint/*.segment")):
        assert time.monotonic() < until
        time.sleep(0.01)
    running.kill()
    end(running)
    code, err = end(start("run", job, *INLINE, "--resume"))
    assert (code, "going on: " in err) == (0, True)
    (run,) = (tmp_path / "job" / "runs" / "faults").iterdir()
    assert lasting(report_in(run))["quality"] == lasting(undisturbed.data)["quality"]
    code, err = end(start("run", job, *INLINE, "--resume"))
    assert (code, "no unfinished run here" in err) == (2, True)


def test_a_second_run_in_the_folder_is_refused_while_the_first_works(tmp_path: Path) -> None:
    job, run = make_fault_job(tmp_path / "job", pace=0.6), tmp_path / "run"
    first = start("run", job, "--run-dir", run, *INLINE)
    wait_for_segments(run, 1, first)
    for options in ((), ("--force",)):
        code, err = go_on(job, run, *options)
        assert (code, f"another run is at work here (process {first.pid} on " in err) == (2, True)
    assert end(first)[0] == 0


# A driver of a machine that cannot be asked for its processes.
_ELSEWHERE = """
import ortbatch.engine.owner as owner, ortbatch.engine.epochs as epochs
owner._machine = lambda: {machine!r}
epochs.SILENT_SECONDS = 1.0
checkpoint.BEAT_SECONDS = 0.2
"""


def test_a_driver_that_was_thought_dead_changes_no_count(job: Path, tmp_path: Path, undisturbed: Report) -> None:
    run = tmp_path / "run"
    old = start("run", job, "--run-dir", run, *INLINE, more=_ELSEWHERE.format(machine="a"))
    wait_for_segments(run, 2, old)
    old.send_signal(signal.SIGSTOP)
    new = start("run", job, "--run-dir", run, *INLINE, more=_ELSEWHERE.format(machine="b"))
    wait_for(run / "checkpoint" / "000002.epoch")
    old.send_signal(signal.SIGCONT)
    code, err = end(new)
    assert (code, "waiting 1 s to see" in err) == (0, True)
    assert lasting(report_in(run)) == lasting(undisturbed.data)
    code, err = end(old)
    assert code == 0 or "another run has taken this folder over" in err
    assert lasting(report_in(run)) == lasting(undisturbed.data)


@pytest.fixture(scope="module")
def unfinished(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed, with some segments."""
    run = tmp_path_factory.mktemp("unfinished") / "run"
    running = start("run", job, "--run-dir", run, *INLINE)
    wait_for_segments(run, 2, running)
    running.kill()
    end(running)
    return run


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("data.label_is=index", "what is evaluated"), ("data.path=data/00*.parquet", "data is"),
        ("model.batch_size=7", "batch_size is 100 there, 7 here"),
    ],
)  # fmt: skip
def test_another_run_does_not_go_on_with_it(job: Path, unfinished: Path, option: str, part: str) -> None:
    before = sorted(path.name for path in unfinished.rglob("*"))
    code, err = go_on(job, unfinished, "--set", option)
    assert (code, "holds an unfinished run of something else" in err, part in err) == (2, True, True)
    assert sorted(path.name for path in unfinished.rglob("*")) == before


def test_a_changed_model_does_not_go_on_with_it(job: Path, unfinished: Path, tmp_path: Path) -> None:
    other = tmp_path / "job"
    shutil.copytree(job.parent, other)
    (other / "model.onnx").write_bytes((other / "model.onnx").read_bytes() + b"\x32\x00")
    code, err = go_on(other / "job.yaml", unfinished)
    assert (code, "model is " in err) == (2, True)


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_segment_is_done_again(
    job: Path, unfinished: Path, tmp_path: Path, undisturbed: Report, damage: str
) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    torn = segments(run)[1]
    content = bytearray(torn.read_bytes())
    if damage == "gone":
        torn.unlink()
    else:
        content[len(content) // 2] ^= 1
        torn.write_bytes(content if damage == "changed" else content[: len(content) // 2])
    assert go_on(job, run)[0] == 0
    report = report_in(run)
    assert lasting(report) == lasting(undisturbed.data)
    # One that is gone is not known of.
    assert [torn.name in fault for fault in report["provenance"]["faults"]] == [True] * (damage != "gone")


def test_starting_over_counts_nothing_of_before(
    job: Path, unfinished: Path, tmp_path: Path, undisturbed: Report
) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    assert go_on(job, run, "--force")[0] == 0
    report = report_in(run)
    assert (lasting(report), report["provenance"]["restored_shards"]) == (lasting(undisturbed.data), 0)


# A disk without room: no file may grow beyond some bytes.
_SMALL_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"

_FILLS_UP = f"""
write = checkpoint.Checkpoint._write
def full(self, name, state):
    {_SMALL_FILES.format(size=100)}
    write(self, name, state)
checkpoint.Checkpoint._write = full
"""


def test_a_full_disk_leaves_the_old_report_and_says_so(job: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert go_on(job, run)[0] == 0
    before = (run / "report.json").read_bytes()
    small = start("run", job, "--run-dir", run, *INLINE, "--force", more=_SMALL_FILES.format(size=10_000))
    code, err = end(small)
    assert (code, "the run folder cannot be written" in err, "File too large" in err) == (2, True, True)
    assert (run / "report.json").read_bytes() == before


def test_a_disk_that_fills_up_ends_the_run_with_what_cannot_be_written(job: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, err = end(start("run", job, "--run-dir", run, *INLINE, more=_FILLS_UP))
    assert (code, "what was counted cannot be kept: " in err, "File too large" in err) == (5, True, True)
    assert not (run / "report.json").exists()
    assert not list(run.rglob(".*")), "a temp file is left"


def test_a_folder_that_cannot_be_written_is_refused(job: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, err = go_on(job, tmp_path / "file" / "run")
    assert (code, "the run folder cannot be written" in err) == (2, True)
