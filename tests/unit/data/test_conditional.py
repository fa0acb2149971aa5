"""What the address of a store means to obstore: the same as to pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ortbatch.data import conditional
from ortbatch.data.conditional import create_remote, is_known, replace_remote
from ortbatch.data.storage import locate, read_bytes
from ortbatch.errors import DataError
from tests.s3 import KEY, ScriptedStore, scripted_store


def store_of(uri: str) -> Any:
    return conditional._store(uri, retries=0)


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with scripted_store() as found:
        yield found


ENDPOINTS = {
    "endpoint_override=host:9000": ("https://host:9000", "false"),
    "endpoint_override=host:9000&scheme=https": ("https://host:9000", "false"),
    "endpoint_override=host:9000&scheme=http": ("http://host:9000", "true"),
    "endpoint_override=http://host:9000": ("http://host:9000", "true"),
    "endpoint_override=http%3A%2F%2Fhost:9000": ("http://host:9000", "true"),
    "endpoint_override=https://host:9000&scheme=http": ("https://host:9000", "false"),
}


@pytest.mark.parametrize(("options", "expected"), ENDPOINTS.items())
def test_an_endpoint_has_its_own_scheme_or_that_of_the_options_or_https(
    options: str, expected: tuple[str, str]
) -> None:
    found = store_of(f"s3://bucket/?{options}")
    assert (found.config["endpoint"], found.client_options["allow_http"]) == expected


def test_without_an_endpoint_it_is_amazon_s() -> None:
    found = store_of("s3://bucket/?region=eu-west-1")
    assert (found.config, found.client_options) == ({"bucket": "bucket", "region": "eu-west-1"}, None)


@pytest.mark.parametrize("scheme", ["s3", "S3"])
def test_the_bucket_is_the_host_without_the_login(scheme: str) -> None:
    root = conditional._root(f"{scheme}://key:secret@bucket/a/b?region=eu-west-1")
    assert store_of(root).config["bucket"] == "bucket"


@pytest.mark.parametrize(("options", "region"), [("region=eu-west-1&", "eu-west-1"), ("", "us-east-1")])
def test_a_store_of_one_s_own_is_in_any_region(options: str, region: str) -> None:
    assert store_of(f"s3://bucket/?{options}endpoint_override=host:9000").config["region"] == region


def test_a_bucket_of_amazon_is_where_pyarrow_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = locate("s3://bucket/?region=ap-south-1")
    monkeypatch.setattr(conditional, "locate", lambda uri: there)
    assert store_of("s3://bucket-somewhere/").config["region"] == "ap-south-1"


def test_a_bucket_in_the_name_of_the_host_is_asked_for_there() -> None:
    options = "region=eu&endpoint_override=host:9000&scheme=http&force_virtual_addressing=true"
    found = store_of(f"s3://key:secret@bucket/?{options}").config
    assert (found["endpoint"], found["virtual_hosted_style_request"]) == ("http://bucket.host:9000", "true")


@pytest.mark.parametrize("options", ["", "&force_virtual_addressing=false", "&force_virtual_addressing="])
def test_a_bucket_is_in_the_path_by_default(options: str) -> None:
    found = store_of(f"s3://bucket/?region=eu&endpoint_override=host:9000{options}").config
    assert found["endpoint"] == "https://host:9000"
    assert "virtual_hosted_style_request" not in found


@pytest.mark.parametrize("login", ["k/e:y", "se/c+ret=%:@?#"])
def test_key_and_secret_are_unquoted(login: str) -> None:
    quoted = "".join(f"%{ord(letter):02X}" for letter in login)
    root = f"s3://{quoted}:{quoted}@bucket/?region=eu"
    made = conditional._s3_config(root)["credential_provider"]()
    assert made == {"access_key_id": login, "secret_access_key": login, "expires_at": None}


@pytest.mark.parametrize("login", ["", "anybody@", "anybody:@"])
def test_without_a_whole_login_it_is_looked_for_elsewhere(login: str) -> None:
    assert "credential_provider" not in conditional._s3_config(f"s3://{login}bucket/?region=eu")


def test_a_login_goes_without_the_session_of_another(store: ScriptedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another")
    create_remote(store.uri("f"), b"x")
    assert re.search(r"Credential=(\w+)/\d+/([\w-]+)/s3/", store.headers["Authorization"])[1] == KEY  # type: ignore[index]
    assert store.headers["X-Amz-Security-Token"] is None


@pytest.mark.parametrize(("path", "name"), [("a/b", "a/b"), ("/a", "a"), ("a%20b%25%3F", "a b%?"), ("d=1/f", "d=1/f")])
def test_the_path_of_a_uri_is_the_name_of_the_object(store: ScriptedStore, path: str, name: str) -> None:
    create_remote(store.uri(path), b"x")
    assert list(store.objects) == [f"/bucket/{name}"]


def test_one_object_is_created_and_no_other_is_replaced(store: ScriptedStore) -> None:
    create_remote(store.uri("f"), b"one")
    with pytest.raises(FileExistsError):
        create_remote(store.uri("f"), b"two")
    assert store.objects == {"/bucket/f": b"one"}


def test_an_object_is_replaced(store: ScriptedStore) -> None:
    replace_remote(store.uri("f"), b"one")
    replace_remote(store.uri("f"), b"two")
    assert store.objects == {"/bucket/f": b"two"}


@pytest.mark.parametrize("fate", [503, "cut", "lost"])
def test_a_creation_is_not_tried_again_unasked(store: ScriptedStore, fate: Any) -> None:
    store.script = [fate]
    with pytest.raises(OSError, match=r"^Generic S3 error"):
        create_remote(store.uri("f"), b"x")
    assert store.requests == ["PUT /bucket/f"]


def test_a_replacement_is_tried_again(store: ScriptedStore) -> None:
    store.script = [503, 503]
    replace_remote(store.uri("f"), b"x")
    assert len(store.requests) == 3


KINDS = {403: PermissionError, 401: PermissionError, 404: FileNotFoundError, 409: FileExistsError, 412: FileExistsError}


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_what_a_store_says_is_one_of_python_s_errors(store: ScriptedStore, status: int, kind: type[OSError]) -> None:
    store.script = [status]
    with pytest.raises(kind):
        create_remote(store.uri("f"), b"x")


def test_a_message_is_one_line_without_the_remarks_for_developers(store: ScriptedStore) -> None:
    store.script = [501]
    with pytest.raises(OSError, match="501 Not Implemented") as caught:
        create_remote(store.uri("f"), b"x")
    assert re.fullmatch(r"(?!.*Debug source)[^\n]+", str(caught.value))


OTHERS = {
    "gs://bucket/": ("GCSStore", {"bucket": "bucket", "skip_signature": "false"}),
    "gcs://anonymous@bucket/": ("GCSStore", {"bucket": "bucket", "skip_signature": "true"}),
    "abfs://container@account.dfs.core.windows.net/": (
        "AzureStore",
        {"container_name": "container", "account_name": "account"},
    ),
    "abfss://container@account.dfs.core.windows.net/": (
        "AzureStore",
        {"container_name": "container", "account_name": "account"},
    ),
}


@pytest.mark.parametrize(("uri", "expected"), OTHERS.items())
def test_stores_of_google_and_microsoft_are_known(uri: str, expected: tuple[str, dict[str, str]]) -> None:
    found = store_of(uri)
    assert is_known(uri)
    assert (type(found).__name__, found.config) == expected


@pytest.mark.parametrize("uri", ["mock://bucket/f", "hdfs://host:8020/f"])
def test_a_store_that_is_not_known_is_refused_with_those_that_are(uri: str) -> None:
    assert not is_known(uri)
    with pytest.raises(DataError, match=r"a local folder, s3://, gs:// or abfs://$"):
        create_remote(uri, b"x")


def test_a_refusal_has_no_secret() -> None:
    with pytest.raises(DataError, match=r"^mock://bucket: a run folder needs"):
        create_remote("mock://key:secret@bucket/f?token=secret", b"x")


def test_a_store_that_speaks_as_google_s_does_is_asked_where_it_is() -> None:
    found = store_of("gs://bucket/?endpoint_override=127.0.0.1:9&scheme=http")
    assert (found.config["base_url"], found.client_options["allow_http"]) == ("http://127.0.0.1:9", "true")


def test_nobody_s_login_asks_nobody_for_a_token() -> None:
    found = store_of("gs://anonymous@bucket/?endpoint_override=host:9").config
    assert '"disable_oauth": true' in found["service_account_key"]
    assert '"gcs_base_url": "https://host:9"' in found["service_account_key"]


@pytest.mark.parametrize("act", [lambda uri: create_remote(uri, b"x"), read_bytes], ids=["write", "read"])
def test_a_session_token_of_the_environment_goes_with_its_key(
    act: Any, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ACCESS_KEY_ID": "ours", "SECRET_ACCESS_KEY": "s", "SESSION_TOKEN": "of ours"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.port}")
    store.objects["/bucket/there"] = b"x"
    act("s3://bucket/there" if act is read_bytes else "s3://bucket/new")
    assert "Credential=ours/" in store.headers["Authorization"]
    assert store.headers["X-Amz-Security-Token"] == "of ours"
