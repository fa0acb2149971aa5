"""MLflow is asked politely, and what it leaves in the environment is nothing."""

from __future__ import annotations

import os

import pytest
from mlflow.exceptions import MlflowException, RestException

from ortbatch.errors import StorageError
from ortbatch.mlflow_client import Missing, connected


def test_the_environment_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    before = dict(os.environ)
    with connected("http://127.0.0.1:9"):
        inside = dict(os.environ)
    assert dict(os.environ) == before
    assert (inside["MLFLOW_DISABLE_TELEMETRY"], inside["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == ("true", "7")


def test_the_server_is_the_one_that_the_environment_names_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with connected(None) as named, connected("http://127.0.0.1:10") as given:
        assert (named.uri, given.uri) == ("http://127.0.0.1:9", "http://127.0.0.1:10")


def test_a_refusal_is_a_storage_error_without_secrets() -> None:
    with pytest.raises(StorageError, match=r"^MLflow at http://\*\*\*@h: no, http://\*\*\*@h/x$"), connected(
        "http://me:hush@h"
    ):  # fmt: skip
        raise MlflowException("no,\n http://me:hush@h/x")


def test_what_is_not_there_is_told_apart() -> None:
    with pytest.raises(Missing, match="no such model"), connected("http://h"):
        raise RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"})


def test_a_server_that_is_down_is_named_with_the_reason() -> None:
    reason = r"127\.0\.0\.1:9: cannot be reached \(Connection refused\)\. Is it running"
    with pytest.raises(StorageError, match=reason), connected("http://127.0.0.1:9") as server:
        server.client.get_experiment_by_name("a")


def test_another_error_goes_through() -> None:
    with pytest.raises(KeyError), connected("http://h"):
        raise KeyError("x")
