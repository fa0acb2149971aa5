"""Keys that are only in the environment, or in a profile, do for all of a run; no secret is written anywhere."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ortbatch.data.atomic import write_bytes
from tests.command_line import JOB, Done, make_job, process
from tests.s3 import BUCKET, KEY, S3, SECRET

TOKEN, OTHERS = "session+token/4tests=", "another/secret+of=tests"


@pytest.fixture(scope="module")
def job(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job whose model, data, predictions and runs are in the bucket, and whose file holds no login."""
    folder = tmp_path_factory.mktemp("keys")
    make_job(folder / "made")
    s3.upload(folder / "made" / "data", "keys/data")
    write_bytes(s3.uri("keys/model.onnx"), (folder / "made" / "model.onnx").read_bytes())
    text = JOB.replace("path: model.onnx", f"path: s3://{BUCKET}/keys/model.onnx")
    text = text.replace("path: data", f"path: s3://{BUCKET}/keys/data")
    (folder / "job.yaml").write_text(text + "predictions: {columns: [f0]}\nlatency: {max_seconds: 0.2}\n")
    return folder / "job.yaml"


@pytest.fixture(scope="module", autouse=True)
def _no_login() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def place(s3: S3) -> dict[str, str]:
    """Where the store is, as Amazon's tools are told."""
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3.port}", "AWS_DEFAULT_REGION": "us-east-1"}


LOGIN = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


def run(job: Path, name: str, *options: str, **environment: str) -> Done:
    return process("run", job, "--run-dir", f"s3://{BUCKET}/keys/{name}", *options, **environment)


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_keys_in_the_environment_do_for_all_of_a_run(s3: S3, job: Path, place: dict[str, str], engine: str) -> None:
    done = run(job, f"environment-{engine}", "--engine", engine, **place, **LOGIN)
    assert done.code == 0, done.err
    names = set(s3.objects(f"keys/environment-{engine}"))
    assert names >= {"report.json", "report.html", "metrics.csv", "plan.json", "predictions/_SUCCESS"}


def test_an_endpoint_of_s3_alone_does_too(s3: S3, job: Path) -> None:
    done = run(job, "of-s3", "--engine", "inline", AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{s3.port}", **LOGIN)
    assert done.code == 0, done.err


def test_keys_of_a_profile_do_for_all_of_a_run(s3: S3, job: Path, place: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"[night]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    profile = {"AWS_PROFILE": "night", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}
    done = run(job, "profile", "--engine", "inline", **place, **profile)
    assert done.code == 0, done.err


def test_reports_in_the_bucket_are_read_with_them(job: Path, place: dict[str, str]) -> None:
    run(job, "read", "--engine", "inline", **place, **LOGIN)
    for command in (["report"], ["gate"], ["history"]):
        done = process(*command, f"s3://{BUCKET}/keys/read", **place, **LOGIN)
        assert done.code == 0, done.err


def test_without_keys_the_store_refuses_and_the_message_says_where(job: Path, place: dict[str, str]) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "NOBODY", "AWS_SECRET_ACCESS_KEY": OTHERS, "AWS_SESSION_TOKEN": TOKEN}
    done = run(job, "nobody", "--engine", "inline", **place, **nobody)
    assert done.code == 2
    assert f"s3://{BUCKET}/keys/" in done.err
    assert not secrets_in(done.out + done.err)


def secrets_in(text: str) -> list[str]:
    """Secrets in any form in which they might be written."""
    forms = [form for secret in (SECRET, TOKEN, OTHERS) for form in (secret, quote(secret), quote(secret, safe=""))]
    return [form for form in {*forms, *(json.dumps(form)[1:-1] for form in forms), KEY} if form in text]


@pytest.fixture(scope="module")
def planted(s3: S3, job: Path) -> Iterator[tuple[Done, dict[str, bytes], dict[str, bytes]]]:
    """A run on Ray with secrets in its URIs and others in the environment: what it said, wrote, and what Ray wrote."""
    sets = [f"model.path={json.dumps(s3.uri('keys/model.onnx'))}", f"data.path={json.dumps(s3.uri('keys/data'))}"]
    others = {"AWS_ACCESS_KEY_ID": "NOBODY", "AWS_SECRET_ACCESS_KEY": OTHERS, "AWS_SESSION_TOKEN": TOKEN}
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        words = [word for each in sets for word in ("--set", each)]
        done = process(
            "run", job, "--run-dir", s3.uri("keys/planted"), "--engine", "ray", *words, **others, RAY_TMPDIR=folder
        )
        logs = {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        yield done, s3.objects("keys/planted"), logs


def test_a_run_with_secrets_in_its_uris_passes(planted: tuple[Done, dict[str, bytes], dict[str, bytes]]) -> None:
    assert planted[0].code == 0, planted[0].err


def test_no_secret_is_said(planted: tuple[Done, dict[str, bytes], dict[str, bytes]]) -> None:
    assert not secrets_in(planted[0].out + planted[0].err)


def test_no_file_of_the_run_holds_a_secret(planted: tuple[Done, dict[str, bytes], dict[str, bytes]]) -> None:
    assert {"report.json", "report.html", "plan.json", "metrics.csv", "predictions/_manifest.json"} <= set(planted[1])
    assert not {name for name, content in planted[1].items() if secrets_in(content.decode("latin-1"))}


def test_no_log_of_ray_holds_a_secret(planted: tuple[Done, dict[str, bytes], dict[str, bytes]]) -> None:
    logs = {name: content for name, content in planted[2].items() if name.endswith((".log", ".out", ".err"))}
    assert logs
    assert not {name for name, content in logs.items() if secrets_in(content.decode("latin-1"))}
