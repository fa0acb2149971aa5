"""Runs on a real Ray head that asks for a token, sent, followed, stopped and fetched through its Jobs API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Done, call, make_job, write_rows
from tests.mlflow_server import python_of_servers
from tests.ray_head import ROOT, running_head

TOKEN = "0123456789abcdef0123456789abcdef"
PLANTED = {"AWS_SECRET_ACCESS_KEY": "planted/in+the=environment", "MY_API_TOKEN": "planted-token-1234"}
# In a worker a shard takes three seconds until a test lets it go, so that something can happen meanwhile; not where the
# driver tries some rows.
SLOW = """\
import time
from pathlib import Path
import numpy as np
import ray
def slow(batch):
    if ray.is_initialized() and not Path({go!r}).exists():
        time.sleep(3)
    return {{"x": np.stack([batch.column(i).to_numpy() for i in range(4)], axis=1)}}
"""
SLOW_ROWS = 390
SLOW_JOB = """\
name: slow
model: {path: model.onnx, batch_size: 10, transform: {function: "prep:slow", columns: [f0, f1, f2, f3]}}
data: {path: data, label: label}
latency: {max_seconds: 0.1}
gates: [accuracy >= 0.5, coverage >= 1]
execution: {shard_rows: 10, workers: 1, cpus_per_worker: 1}
"""


@dataclass(frozen=True)
class Head:
    """A cluster: address, token file, home and the folder of its session."""

    url: str
    token: Path
    home: Path
    session: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), "RAY_USAGE_STATS_ENABLED": "0"}
        return {**kept, **own, "HOME": str(self.home), **more}

    def start(self, *words: object, **more: str) -> subprocess.Popen[bytes]:
        """`ortbatch WORDS` as a process of the environment that has Ray's client of the Jobs API."""
        named = words if "--address" in words else (*words, "--address", self.url)
        command = [python_of_servers(), "-m", "ortbatch", *map(str, named)]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def call(self, *words: object, **more: str) -> Done:
        """The same, to its end."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=240)
        return Done(process.returncode, out.decode(), err.decode())

    def jobs(self, name: str = "") -> list[str]:
        """Names of submissions that begin so, by the list that the dashboard has."""
        listed = [str(job["submission_id"]) for job in self.asked()]
        return sorted(job for job in listed if job.startswith(name))

    def asked(self) -> list[dict[str, Any]]:
        script = (
            "import json, sys, urllib.request as u; r = u.Request(sys.argv[1] + '/api/jobs/');"
            "r.add_header('Authorization', 'Bearer ' + sys.argv[2]); print(u.urlopen(r).read().decode())"
        )
        command = [python_of_servers(), "-c", script, self.url, TOKEN]
        return list(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))


@contextmanager
def running_jobs(folder: Path, auth: str) -> Iterator[Head]:
    """A head that takes jobs, in a process of its own."""
    token, home = folder / "token", folder / "home"
    token.write_text(TOKEN)
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with running_head(auth, environment={**clean, "RAY_AUTH_TOKEN_PATH": str(token), "HOME": str(home)}) as found:
        yield Head(found["url"], token, home, Path(found["session"]))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """One that asks for a token, shared by all tests here."""
    with running_jobs(tmp_path_factory.mktemp("head"), "token") as head:
        yield head


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """job.yaml of the small job, in a folder of this test alone."""
    return make_job(tmp_path / "job")


@pytest.fixture(scope="module")
def passed(head: Head, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A job that was submitted by a process with secrets and a misleading environment, and what that printed."""
    job = make_job(tmp_path_factory.mktemp("passed") / "job")
    elsewhere = {"RAY_ADDRESS": "http://127.0.0.1:9", "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}
    return job, head.call("submit", job, **PLANTED, **elsewhere)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Path]:
    """job.yaml of a job of 39 shards of three seconds each, or of none once `let_go` was called."""
    path = make_job(tmp_path / "job", SLOW_JOB)
    path.with_name("prep.py").write_text(SLOW.format(go=str(tmp_path / "go")))
    for number in range(3):
        write_rows(path.parent / "data" / f"part-{number}.parquet", rows=SLOW_ROWS // 3, seed=number, group=10)
    yield path
    let_go(path)


def let_go(slow: Path) -> None:
    (slow.parent.parent / "go").touch()


def named(done: Done) -> str:
    """The submission that a command told of."""
    match = re.search(r"^(\S+): is (?:submitted|there already)", done.err, re.MULTILINE)
    assert match, done.err
    return match[1]


def report_of(job: Path, name: str) -> dict[str, Any]:
    folder = job.parent / "runs" / job.read_text().split()[1] / re.sub(r"-[0-9]{1,2}$", "", name)
    return dict(json.loads((folder / "report.json").read_text()))


def wait_for(what: str, holds: Any) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"not seen in two minutes: {what}"
        time.sleep(0.2)


def at_work(head: Head, job: Path) -> list[str]:
    """Submissions of a job that run, and of which a part is counted and kept."""
    begun = [
        asked["submission_id"] for asked in head.asked() if asked["status"] == "RUNNING" and asked["submission_id"]
    ]
    folder = head.home / "ortbatch" / "runs" / job.read_text().split()[1]
    return [name for name in begun if [*(folder / name / "checkpoint").glob("*.segment")]]


def test_a_run_on_the_cluster_is_that_of_one_process(passed: tuple[Path, Done], tmp_path: Path) -> None:
    job, done = passed
    assert done.code == 0, done.err
    assert call("run", job, "--engine", "inline", "--run-dir", tmp_path / "here").code == 0
    there, here = report_of(job, named(done)), json.loads((tmp_path / "here" / "report.json").read_text())
    for part in ("quality", "confusion_matrix", "coverage", "thresholds"):
        assert there.get(part) == here.get(part)
    assert there["provenance"]["engine"]["engine"] == "ray"


def test_its_report_comes_home_with_table_and_page(passed: tuple[Path, Done]) -> None:
    job, done = passed
    assert done.out.lstrip().startswith("PASSED")
    folder = job.parent / "runs" / "small" / named(done)
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html", "metrics.csv"}


def test_the_same_submission_twice_is_one_run(head: Head, passed: tuple[Path, Done]) -> None:
    job, first = passed
    text = (job.parent / "runs" / "small" / named(first) / "report.json").read_bytes()
    second = head.call("submit", job, "--json")
    assert (second.code, second.out.encode()) == (0, text)
    assert f"{named(first)}: is there already" in second.err
    assert head.jobs(named(first)) == [named(first)]


def test_status_and_logs_tell_of_it(head: Head, passed: tuple[Path, Done]) -> None:
    name = named(passed[1])
    status, logs = head.call("status", name), head.call("logs", name)
    assert status.out.startswith(f"{name}: succeeded, begun 20")
    assert "exit code 0" in status.out
    assert "PASSED" in logs.out
    assert "ortbatch-report" not in logs.out
    assert json.loads(head.call("status", name, "--json").out)["status"] == "SUCCEEDED"


def test_no_secret_of_the_client_reaches_the_cluster(head: Head, passed: tuple[Path, Done]) -> None:
    job, done = passed
    shown = [done.out, done.err, json.dumps(head.asked()), *texts_below(job.parent / "runs")]
    shown += [text for folder in (head.session, head.home) for text in texts_below(folder)]
    assert len(shown) > 100
    for secret in (*PLANTED.values(), TOKEN):
        assert not [text[:80] for text in shown if secret in text]


def test_a_head_that_asks_for_a_token_is_not_warned_about(passed: tuple[Path, Done]) -> None:
    assert "WITHOUT A TOKEN" not in passed[1].err


CODES = {
    "a gate failed": (1, ("--set", "gates=[accuracy >= 0.99]")),
    "no such data": (2, ("--set", "data.path=/nowhere/*.parquet")),
    "bad rows": (3, ("--set", "data.max_bad_rows=1")),
}


@pytest.mark.parametrize("what", CODES)
def test_the_exit_code_comes_through(what: str, head: Head, job: Path) -> None:
    code, settings = CODES[what]
    if what == "bad rows":
        write_rows(job.parent / "data" / "more.parquet", rows=40, nulls=5)
    done = head.call("submit", job, *settings)
    assert done.code == code, done.err
    assert code == 2 or report_of(job, named(done))["exit_code"] == code


def test_two_at_once_are_one_run(head: Head, job: Path) -> None:
    both = [head.start("submit", job, "--set", "model.batch_size=17", "--json") for _ in range(2)]
    (one, _), (two, errors) = (process.communicate(timeout=240) for process in both)
    assert [process.returncode for process in both] == [0, 0], errors
    assert one == two
    name = re.search(r"^(\S+): is", errors.decode(), re.MULTILINE)
    assert name is not None
    assert head.jobs(name[1]) == [name[1]]


def test_clients_may_go_and_the_run_goes_on(head: Head, slow: Path) -> None:
    killed = head.start("submit", slow)
    wait_for("work", lambda: at_work(head, slow))
    killed.kill()
    killed.communicate()
    (name,) = at_work(head, slow)
    with_control_c = head.start("submit", slow)
    assert with_control_c.stderr is not None
    assert f"{name}: is there already" in with_control_c.stderr.readline().decode()
    with_control_c.send_signal(signal.SIGINT)
    _, errors = with_control_c.communicate(timeout=60)
    assert with_control_c.returncode == 130
    assert f"the run goes on. Look again: ortbatch logs --follow {name} --address {head.url}" in errors.decode()
    let_go(slow)
    followed, again = head.call("logs", "--follow", name), head.call("submit", slow)
    assert (followed.code, followed.out.lstrip().startswith("PASSED")) == (0, True)
    assert (again.code, named(again), head.jobs(name)) == (0, name, [name])
    assert report_of(slow, name)["coverage"]["rows"]["evaluated"] == SLOW_ROWS


def test_one_that_is_stopped_is_interrupted_and_goes_on_when_it_is_sent_again(head: Head, slow: Path) -> None:
    words = ("submit", slow, "--set", "model.batch_size=9")
    client = head.start(*words)
    wait_for("work", lambda: at_work(head, slow))
    (name,) = at_work(head, slow)
    assert f"{name}: is asked to stop\n" in head.call("stop", name).err
    _, errors = client.communicate(timeout=240)
    assert client.returncode == 130, errors
    assert f"{name}: was stopped; what was done is kept, submit it again to go on" in errors.decode()
    let_go(slow)
    again = head.call(*words)
    assert (again.code, named(again)) == (0, f"{name}-2"), again.err
    report = report_of(slow, name)
    assert report["provenance"]["restored_shards"] > 0
    assert report["coverage"]["rows"]["evaluated"] == SLOW_ROWS


def texts_below(folder: Path) -> list[str]:
    """Every file, and what zips hold."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        found.append(content.decode("latin-1"))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                found += [packed.read(name).decode("latin-1") for name in packed.namelist()]
    return found


@pytest.mark.parametrize("where", ["the job", "the job, as a token", "a setting", "a file", "the run folder"])
def test_a_planted_secret_is_refused_before_anything_is_sent(where: str, head: Head, job: Path) -> None:
    before, secret = head.jobs(), "planted%2Fin"
    uri, words = f"s3://someone:{secret}@bucket/x", ()
    if where == "the job, as a token":
        uri = f"abfs://store@account.dfs.core.windows.net/x?sig={secret}"
    if where.startswith("the job"):
        job.write_text(job.read_text().replace("path: data", f'path: "{uri}"'))
    elif where == "a file":
        job.with_name("prep.py").write_text(f"URI = '{uri}'\n")
    else:
        words = ("--set", f"data.path={uri}") if where == "a setting" else ("--run-dir", uri)
    done = head.call("submit", job, *words)
    assert done.code == 2
    assert "clusters show to many what is submitted" in done.err
    assert secret not in done.err
    assert head.jobs() == before


def test_without_the_token_nothing_is_told(head: Head, job: Path, tmp_path: Path) -> None:
    for mode in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN_PATH": "/dev/null"}, wrong_token(tmp_path)):
        done = head.call("submit", job, **mode)
        assert done.code == 5, done.err
        assert "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with the cluster's token" in done.err


def wrong_token(folder: Path) -> dict[str, str]:
    (folder / "wrong").write_text("f" * 32)
    return {"RAY_AUTH_TOKEN_PATH": str(folder / "wrong")}


def test_a_head_that_asks_for_none_is_warned_about_loudly(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    with running_jobs(tmp_path / "open", "disabled") as open_head:
        done = open_head.call("status", "nothing-0123456789ab", RAY_AUTH_MODE="disabled")
    assert f"WARNING: {open_head.url} ANSWERS WITHOUT A TOKEN" in done.err
    assert f"{open_head.url}: no submission nothing-0123456789ab there; it knows none." in done.err
    assert done.code == 5


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "auto", "127.0.0.1:8265", "ftp://x"])
def test_an_address_of_another_kind_is_refused(address: str, job: Path) -> None:
    done = call("submit", job, "--address", address)
    assert done.code == 2
    assert f"--address {address}: expected the head's dashboard, such as http://127.0.0.1:8265" in done.err


def test_where_nobody_listens_is_said(head: Head, job: Path) -> None:
    done = head.call("submit", job, "--address", "http://127.0.0.1:9")
    assert done.code == 5
    assert "http://127.0.0.1:9: the cluster cannot be asked" in done.err


def test_without_an_address_it_is_asked_for(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    done = call("submit", job)
    assert (done.code, "no cluster is named: give --address URL" in done.err) == (2, True)


def test_without_rays_client_it_says_what_to_install(job: Path) -> None:
    done = call("submit", job, "--address", "http://127.0.0.1:9")
    assert (
        done.code,
        "submitting needs the packages of Ray's Jobs API: pip install 'ortbatch[cluster]'" in done.err,
    ) == (5, True), done.err
