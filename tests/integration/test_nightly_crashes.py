"""A night whose process is killed at the worst moments, run again: no prediction is there twice, none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ortbatch.api import Options, Outcome, run_job
from ortbatch.errors import DataError
from ortbatch.job import Job, load_job
from tests.faults.fault_job import STARTED, end, segments, start
from tests.models import linear_model
from tests.nightly_job import FILES, NIGHTS, files_of, make_nightly, rows_by_night, whole

_KILL = "import os, signal\ndef die(*_):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
# So that there are several leases, and commits between them.
_SLOW = """
import time, ortbatch.engine.predictions as predictions
wrote = predictions.ShardPredictions.write
def write(self, shard):
    part = wrote(self, shard)
    time.sleep(0.2)
    return part
predictions.ShardPredictions.write = write
"""
POINTS = {
    # Parts are written, the segment that counts their shards is not: the first of all, and one after some.
    "before the first commit": f"{_SLOW}checkpoint.Checkpoint._write = die",
    "between two commits": f"""{_SLOW}
kept = checkpoint.Checkpoint._write
seen = []
def second(self, name, state):
    seen.append(name)
    die() if len(seen) > 1 else kept(self, name, state)
checkpoint.Checkpoint._write = second
""",
    "after parts, before the manifest": """
import ortbatch.engine.predictions as predictions
put = predictions.write_bytes
predictions.write_bytes = lambda uri, content: die() if "_manifest" in uri else put(uri, content)
""",
    "after the manifest, before _SUCCESS": """
import ortbatch.engine.predictions as predictions
put = predictions.write_bytes
predictions.write_bytes = lambda uri, content: die() if "_SUCCESS" in uri else put(uri, content)
""",
    "between _SUCCESS and report": """
import ortbatch.engine.folder as folder
folder.RunFolder.finish = die
""",
    "between a part's temp file and its name": """
import os as system
named = system.replace
system.replace = lambda source, target: die() if "part-000003" in str(target) else named(source, target)
""",
}


@pytest.fixture(autouse=True)
def _nothing_runs_on() -> Iterator[None]:
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


def killed(job: Path, day: str, point: str, *options: str) -> None:
    """A run as a process that ends at the point."""
    words = ("run", job, "--var", f"date={day}", "--engine", "inline", "--quiet", *options)
    code, said = end(start(*words, flush=0.0, more=_KILL + POINTS[point]))
    assert code == -9, said


def run(job: Path, day: str, *, force: bool = False) -> Outcome:
    """A run that is left alone, in this process."""
    return run_job(load_job(job, variables={"date": day}), Options(engine="inline", page=False, force=force))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job whose second night is done."""
    job = make_nightly(tmp_path_factory.mktemp("undisturbed") / "job")
    run(job, NIGHTS[1])
    return job.parent


@pytest.mark.parametrize("point", POINTS)
def test_a_night_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, undisturbed: Path, point: str) -> None:
    job = make_nightly(tmp_path / "job")
    run(job, NIGHTS[0])
    killed(job, NIGHTS[1], point)
    assert not (job.parent / "runs" / "nightly" / f"dt={NIGHTS[1]}" / "report.json").exists()
    assert [run(job, NIGHTS[1]).repeated, run(job, NIGHTS[0]).repeated] == [False, True]
    assert rows_by_night(job.parent) == whole()
    assert files_of(job.parent, NIGHTS[1]) == files_of(undisturbed, NIGHTS[1])


@pytest.mark.parametrize(
    "point", ["between two commits", "after parts, before the manifest", "between _SUCCESS and report"]
)
def test_a_forced_night_that_was_killed_shows_no_row_twice(tmp_path: Path, point: str) -> None:
    job = make_nightly(tmp_path / "job")
    run(job, NIGHTS[0])
    linear_model(job.parent / "model.onnx", 4, 3, seed=1)
    killed(job, NIGHTS[0], point, "--force")
    ((_, rows, distinct, _, _),) = rows_by_night(job.parent)
    assert rows == distinct
    run(job, NIGHTS[0])
    assert rows_by_night(job.parent) == whole(1)


def test_the_kill_between_commits_is_behind_parts_that_no_segment_counts(tmp_path: Path) -> None:
    from ortbatch.engine.segment import decode_segment

    job = make_nightly(tmp_path / "job")
    killed(job, NIGHTS[0], "between two commits")
    kept = segments(job.parent / "runs" / "nightly" / f"dt={NIGHTS[0]}")
    counted = sum(len(decode_segment(path.read_bytes())[0].shards) for path in kept)
    written = [name for name in files_of(job.parent, NIGHTS[0]) if name.startswith("part-")]
    assert 0 < counted < len(written) <= FILES


def test_the_mark_is_gone_before_a_night_is_done_again(tmp_path: Path) -> None:
    job = make_nightly(tmp_path / "job")
    run(job, NIGHTS[0])
    killed(job, NIGHTS[0], "between two commits", "--force")
    assert not {"_SUCCESS", "_manifest.json"} & set(files_of(job.parent, NIGHTS[0]))


def test_a_night_without_its_mark_is_not_joined(tmp_path: Path) -> None:
    job = make_nightly(tmp_path / "job")
    killed(job, NIGHTS[0], "after the manifest, before _SUCCESS")
    model = {"scores": f"predictions/dt={NIGHTS[0]}", "join": "id"}
    late = {"name": "late", "model": model, "data": {"path": f"data/dt={NIGHTS[0]}", "label": "y"}}
    with pytest.raises(DataError, match=r"no complete predictions \(_SUCCESS is not there\)"):
        run_job(Job.from_mapping(late, job.parent), Options(engine="inline"))
