"""The night: one RayJob a day, its end is the Job's end, and only exit code 5 is tried again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from ortbatch import load_job
from tests.deployed import DEPLOY, ROOT, the

RAYJOBS = "/apis/ray.io/v1/namespaces/ortbatch/rayjobs"
DONE = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}


def failed(message: str) -> dict[str, str]:
    return {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": message}


@dataclass
class Kubernetes:
    """An API server that keeps RayJobs. Each question takes the next answer: a status, or an HTTP code of failure."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    rayjobs: dict[str, Any] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


@contextmanager
def kubernetes() -> Iterator[Kubernetes]:
    api = Kubernetes()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = body["metadata"]["name"]
            is_new = self.path == RAYJOBS and name not in api.rayjobs
            api.rayjobs.setdefault(name, body)
            self.answer(201 if is_new else 409, body)

        def do_GET(self) -> None:
            said = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
            there = self.path.removeprefix(f"{RAYJOBS}/") in api.rayjobs
            self.answer(said if isinstance(said, int) else 200 if there else 404, {"status": said})

        def answer(self, code: int, body: object) -> None:
            api.tokens.add(self.headers["Authorization"])
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        yield api
        server.shutdown()
        thread.join()


@pytest.fixture
def api() -> Iterator[Kubernetes]:
    with kubernetes() as server:
        yield server


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "namespace").write_text("ortbatch")
    return tmp_path


def night(api: Kubernetes, account: Path, *more: str, date: str = "2026-11-27") -> subprocess.CompletedProcess[str]:
    words = [DEPLOY / "create_rayjob.py", DEPLOY / "rayjob.yaml", "--date", date, "--seconds", "0.01"]
    command = [sys.executable, *words, "--server", api.url, "--account", account, *more]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def test_it_makes_the_rayjob_of_the_day(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    assert night(api, account).returncode == 0
    [(name, made)] = api.rayjobs.items()
    assert name == "ortbatch-fraud-2026-11-27"
    assert made["spec"]["entrypoint"] == "bash /job/evaluate.sh /job/job.yaml 2026-11-27"


def test_but_for_the_day_it_is_the_template(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    night(api, account)
    [made] = api.rayjobs.values()
    template = the("RayJob")
    made["metadata"]["name"], made["spec"]["entrypoint"] = template["metadata"]["name"], template["spec"]["entrypoint"]
    assert made == template


def test_without_a_date_it_is_yesterday(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    before = datetime.now(UTC).date()
    night(api, account, date="yesterday")
    after = datetime.now(UTC).date()
    assert set(api.rayjobs) <= {f"ortbatch-fraud-{day - timedelta(days=1)}" for day in (before, after)}


def test_the_same_day_again_waits_for_the_same_rayjob(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    night(api, account)
    again = night(api, account)
    assert (again.returncode, len(api.rayjobs)) == (0, 1)
    assert "is there already" in again.stdout


def test_it_waits_until_the_rayjob_has_ended(api: Kubernetes, account: Path) -> None:
    api.answers = [{}, {"jobDeploymentStatus": "Initializing"}, {"jobDeploymentStatus": "Running"}, DONE]
    assert night(api, account).returncode == 0
    assert api.answers == [DONE]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 130])
def test_it_ends_as_ortbatch_did(api: Kubernetes, account: Path, code: int) -> None:
    api.answers = [failed(f"Job entrypoint command failed with exit code {code}, last available logs: exit code 0")]
    assert night(api, account).returncode == code


def test_a_log_that_speaks_of_exit_codes_is_not_believed(api: Kubernetes, account: Path) -> None:
    api.answers = [failed("Job supervisor died. Job entrypoint command failed with exit code 0")]
    assert night(api, account).returncode == 5


def test_a_rayjob_that_ran_out_of_time_is_a_failure_of_the_cluster(api: Kubernetes, account: Path) -> None:
    api.answers = [{"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded", "message": None}]
    done = night(api, account)
    assert done.returncode == 5
    assert "DeadlineExceeded" in done.stdout


def test_an_api_that_fails_for_a_while_does_not_end_the_night(api: Kubernetes, account: Path) -> None:
    api.answers = [503, 500, {}, 429, DONE]
    assert night(api, account).returncode == 0


def test_an_api_that_fails_often_but_never_for_long_does_not_end_the_night(api: Kubernetes, account: Path) -> None:
    api.answers = [503, {}] * 21 + [DONE]
    assert night(api, account).returncode == 0


def test_an_api_that_fails_for_long_is_asked_by_the_next_pod(api: Kubernetes, account: Path) -> None:
    api.answers = [503]
    done = night(api, account)
    assert (done.returncode, "20 times" in done.stderr) == (75, True)


def test_a_rayjob_that_somebody_removed_is_not_waited_for(api: Kubernetes, account: Path) -> None:
    api.answers = [404]
    assert night(api, account).returncode == 5


def test_no_api_at_all_is_asked_again(account: Path) -> None:
    assert night(Kubernetes(url="http://127.0.0.1:9"), account).returncode == 75


def test_the_token_of_the_account_is_shown(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    night(api, account)
    assert api.tokens == {"Bearer t0ken"}


def test_the_rayjob_goes_when_the_job_goes_that_made_it(api: Kubernetes, account: Path) -> None:
    api.answers = [DONE]
    night(api, account, "--owner-name", "ortbatch-nightly-1", "--owner-uid", "u-1")
    [made] = api.rayjobs.values()
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "ortbatch-nightly-1", "uid": "u-1"}
    assert made["metadata"]["ownerReferences"] == [owner]


def test_the_cron_job_calls_it_with_arguments_that_it_has(api: Kubernetes, account: Path) -> None:
    [container] = the("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    api.answers = [DONE]
    assert container["command"][1:3] == ["/nightly/create_rayjob.py", "/nightly/rayjob.yaml"]
    assert night(api, account, *container["command"][3:], *container["args"]).returncode == 0


def test_the_documented_way_by_hand_gives_the_rayjob_of_that_day() -> None:
    [line] = re.findall(r"^(sed .*) \| kubectl", (ROOT / "docs/how-to/kubernetes.md").read_text(), re.MULTILINE)
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    made = yaml.safe_load(done.stdout)
    assert made["metadata"]["name"] == "ortbatch-fraud-2026-11-27"
    assert made["spec"]["entrypoint"].endswith("2026-11-27")


def evaluate(folder: Path, codes: str) -> tuple[int, list[str]]:
    """evaluate.sh with an ortbatch that ends with one code after another; how it ends, and what it called."""
    fake = folder / "ortbatch"
    fake.write_text(
        f'#!/bin/bash\necho "$@" >> {folder}/calls\nset -- {codes}\nshift $(($(wc -l < {folder}/calls) - 1))\nexit $1\n'
    )
    fake.chmod(0o755)
    command = ["bash", DEPLOY / "evaluate.sh", "/job/job.yaml", "2026-11-27", "0"]
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, (folder / "calls").read_text().splitlines()


TRIES = {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1, "130": 1, "5 0": 2, "5 1": 2, "5 5 4": 3, "5 5 5": 3, "5 5 5 0": 3}


@pytest.mark.parametrize("codes", TRIES)
def test_only_a_failure_of_the_cluster_is_tried_again(tmp_path: Path, codes: str) -> None:
    code, called = evaluate(tmp_path, codes)
    assert code == int(codes.split()[TRIES[codes] - 1])
    assert called == ["run /job/job.yaml --var date=2026-11-27"] * TRIES[codes]


def test_the_job_of_the_night_is_a_job_and_has_one_folder_a_day() -> None:
    job = load_job(DEPLOY / "job.yaml", {"date": "2026-11-27"})
    assert job.run_dir == "s3://BUCKET/runs/{name}/2026-11-27"
    assert job.data.path == ("s3://BUCKET/labelled/dt=2026-11-27/*.parquet",)
