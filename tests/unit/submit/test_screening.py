"""A secret is found wherever it stands, named, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortbatch.errors import JobError
from ortbatch.submit.screening import refuse_secrets, secrets_of

SECRET = "wJalrXUtnFEMI/K7MDENG"


def test_secrets_of_an_environment_are_what_names_tell(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    environment = {
        "AWS_SECRET_ACCESS_KEY": SECRET, "MY_PASSWORD": "password!", "AWS_SESSION_TOKEN": "session-token",
        "PATH": "/bin",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "RAY_AUTH_MODE": "token", "SHORT_TOKEN": "abc",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "HOME": str(tmp_path / "none"),
    }  # fmt: skip
    assert secrets_of(environment) == {
        "AWS_SECRET_ACCESS_KEY": SECRET.encode(), "MY_PASSWORD": b"password!", "AWS_SESSION_TOKEN": b"session-token",
        "Ray's token": b"0123456789abcdef",
    }  # fmt: skip


def test_rays_token_is_also_found_where_it_lies_by_default(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef")
    assert secrets_of({"HOME": str(tmp_path)}) == {"Ray's token": b"0123456789abcdef"}


HELD = {
    "the value of AWS_SECRET_ACCESS_KEY": f"x = '{SECRET}'",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "a key id of AWS": "key: AKIAIOSFODNN7EXAMPLE",
    "a login in a URI": "path: s3://someone:something@bucket/x",
}


@pytest.mark.parametrize("what", HELD)
def test_a_file_that_holds_a_secret_is_refused_with_its_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "prep.py"
    path.write_text(f"import os\n\n{HELD[what]}\n")
    with pytest.raises(JobError) as caught:
        refuse_secrets([], {"prep.py": path}, {"AWS_SECRET_ACCESS_KEY": SECRET.encode()})
    said = str(caught.value)
    assert f"prep.py:3: holds {what}; clusters show to many what is submitted" in said
    assert "keep the file here: name it in .ortbatchignore" in said
    assert not any(secret in said for secret in (SECRET, "AKIAIOSFODNN7EXAMPLE", "something"))


def test_bytes_of_a_model_are_searched_too(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(range(256)) * 40 + SECRET.encode() + b"\xff")
    with pytest.raises(JobError, match="holds the value of A_SECRET"):
        refuse_secrets([], {"model.onnx": path}, {"A_SECRET": SECRET.encode()})


@pytest.mark.parametrize(
    "text", [f"s3://k:{SECRET}@b/x", "s3://b/x?token=abcdef", "https://user:pw@tracker", f"a={SECRET}"]
)
def test_a_setting_that_holds_a_secret_is_refused(text: str) -> None:
    with pytest.raises(JobError, match=r"--set model.path: holds .*give the nodes of the cluster a role") as caught:
        refuse_secrets([("--set model.path", text)], {}, {"A_SECRET": SECRET.encode()})
    assert SECRET not in str(caught.value)
    assert "abcdef" not in str(caught.value)


def test_every_place_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(SECRET)
    with pytest.raises(JobError) as caught:
        refuse_secrets(
            [("--set a", SECRET), ("--set a", SECRET), ("--var b", SECRET)],
            {"a": tmp_path / "a"},
            {"S": SECRET.encode()},
        )
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    "text",
    ["s3://bucket/path", "see s3://{key}:{secret}@bucket", "s3://$KEY:$SECRET@b", "s3://<key>:<secret>@b", "a: b@c",
     "AKIA", "http://127.0.0.1:8265/x@y", "f'{scheme}://{login}@{bucket}'"],
)  # fmt: skip
def test_what_only_looks_like_one_may_travel(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    refuse_secrets([], {"README.md": tmp_path / "README.md"}, {"S": SECRET.encode()})


def test_what_is_overridden_later_travels_too_and_is_searched() -> None:
    given = [("--set data.path", f"--set=data.path=s3://k:{SECRET}@b"), ("--set data.path", "--set=data.path=s3://b")]
    with pytest.raises(JobError, match=r"--set data.path: holds a login"):
        refuse_secrets(given, {}, {})
