"""What the environment says of S3 is what both libraries are told; a URI says more than it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ortbatch.data.amazon import completed, profile_login, reading_ranges
from ortbatch.data.conditional import _s3_config
from ortbatch.data.storage import locate, read_bytes
from tests.s3 import BUCKET, scripted_store

ENDPOINT, OTHER = "http://host:9000", "https://other"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENDPOINT_URL", "ENDPOINT_URL_S3", "REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def options_of(root: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(completed(root)).query).items()}


@pytest.mark.parametrize("root", ["s3://bucket/", "s3://k:s%2F@bucket/?region=eu", "gs://bucket/"])
def test_without_an_endpoint_in_the_environment_a_uri_stays(root: str) -> None:
    assert completed(root) == root


@pytest.mark.parametrize("root", ["gs://bucket/", "abfs://c@a/", "s3://bucket/?endpoint_override=mine"])
def test_an_endpoint_is_for_s3_and_where_none_is_named(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT)
    assert completed(root) == root


def test_an_endpoint_brings_its_scheme_and_some_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT + "/")
    assert options_of("s3://bucket/") == {"endpoint_override": "host:9000", "scheme": "http", "region": "us-east-1"}


def test_the_endpoint_of_s3_goes_before_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", OTHER)
    assert options_of("s3://bucket/")["endpoint_override"] == "other"


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_of_the_uri_goes_before_that_of_the_environment(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT)
    monkeypatch.setenv(variable, "ap-south-1")
    assert options_of("s3://bucket/")["region"] == "ap-south-1"
    assert options_of("s3://bucket/?region=eu")["region"] == "eu"


def test_a_login_in_the_uri_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT)
    assert completed("s3://k:s%2F%2B@bucket/").startswith("s3://k:s%2F%2B@bucket/?")


def test_the_path_behind_an_endpoint_of_the_environment_is_that_of_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ENDPOINT)
    filesystem, path = locate("s3://bucket/a/b")
    assert (path, filesystem.region) == ("bucket/a/b", "us-east-1")


KEYS = "aws_access_key_id = id\naws_secret_access_key = se%cret\n"


def write(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / ".aws").mkdir(exist_ok=True)
    (tmp_path / ".aws" / file).write_text(text)


@pytest.mark.parametrize(
    ("file", "section", "profile"),
    [("credentials", "night", "night"), ("config", "profile night", "night"), ("credentials", "default", None)],
)
def test_a_profile_with_keys_is_found_where_amazon_s_tools_look(
    file: str, section: str, profile: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, file, f"[other]\naws_access_key_id = no\n[{section}]\n{KEYS}aws_session_token = token\n")
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert profile_login() == {"access_key_id": "id", "secret_access_key": "se%cret", "token": "token"}


def test_keys_in_the_environment_go_before_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "credentials", f"[default]\n{KEYS}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    assert profile_login() is None


@pytest.mark.parametrize("text", ["", "[other]\n", "[default]\naws_access_key_id = id\n", "no section = 1\n", "\0"])
def test_a_profile_without_keys_is_none(text: str, tmp_path: Path) -> None:
    write(tmp_path, "credentials", text)
    assert profile_login() is None


def test_a_login_in_the_uri_goes_before_a_profile(tmp_path: Path) -> None:
    write(tmp_path, "credentials", f"[default]\n{KEYS}")
    in_uri, in_profile = (_s3_config(f"s3://{login}bucket/?region=eu") for login in ("k:s@", ""))
    assert in_uri["credential_provider"]()["access_key_id"] == "k"
    assert in_profile["credential_provider"]() == {
        "access_key_id": "id", "secret_access_key": "se%cret", "expires_at": None,
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "hashes"), [(None, False), ("when_required", False), ("when_supported", True)])
def test_what_is_read_is_hashed_only_if_the_environment_says_so(
    asked: str | None, hashes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "AWS_RESPONSE_CHECKSUM_VALIDATION"
    monkeypatch.delenv(name, raising=False)
    if asked:
        monkeypatch.setenv(name, asked)
    with scripted_store() as store:
        store.objects[f"/{BUCKET}/f"] = b"text"
        assert read_bytes(store.uri("f")) == b"text"
    assert (store.headers["x-amz-checksum-mode"] == "enabled") is hashes
    assert os.environ.get(name) == asked


def test_the_environment_is_as_before_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_RESPONSE_CHECKSUM_VALIDATION", raising=False)
    with pytest.raises(ValueError, match="x"), reading_ranges():
        raise ValueError("x")
    assert "AWS_RESPONSE_CHECKSUM_VALIDATION" not in os.environ
