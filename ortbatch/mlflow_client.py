"""A client of an MLflow server: the only place that imports mlflow, and only when it is asked for.

MLflow's own patience (seven retries, each longer than the last: minutes) is cut to a few seconds and its usage
statistics are off, unless the environment says otherwise. Credentials come from the environment. Knows nothing of runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ortbatch.errors import StorageError
from ortbatch.job.redaction import redact

INSTALL = "needs mlflow, which is not installed: pip install 'ortbatch[mlflow]'"
_SETTINGS: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_SHOWN = 400
_REASON = re.compile(r"(?:\[Errno -?\d+\] |Connection to \S+ )([^\"'()\\]+)")
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


class Missing(Exception):  # noqa: N818  (an answer: what was asked for is not there)
    """The server knows no such thing."""


@dataclass(frozen=True)
class Server:
    """A server and its client.

    Args:
        uri: of the server, as MLflow takes it; it may hold a secret.
        client: an `MlflowClient`.
    """

    uri: str
    client: Any

    def download(self, artifact_uri: str, folder: str) -> str:
        """Fetch a file or a folder of artifacts; returns where it lies, in `folder`."""
        from mlflow.artifacts import download_artifacts

        where: str = download_artifacts(
            artifact_uri=artifact_uri, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri
        )
        return where


def has_mlflow() -> bool:
    """Is MLflow installed?"""
    return find_spec("mlflow") is not None


@contextmanager
def connected(uri: str | None) -> Iterator[Server]:
    """The server at a URI; None for the one that the environment names.

    Raises:
        Missing: if it says that there is no such thing.
        StorageError: if it cannot be reached, or refuses.
    """
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ |= {name: value for name, value in _SETTINGS.items() if before[name] is None}
    try:
        from mlflow import MlflowClient, get_tracking_uri
        from mlflow.exceptions import MlflowException

        try:
            uri = uri or os.environ.get("MLFLOW_REGISTRY_URI") or get_tracking_uri()
            yield Server(uri, MlflowClient(tracking_uri=uri, registry_uri=uri))
        except MlflowException as error:
            if error.error_code in _MISSING:
                raise Missing(_said(error)) from None
            raise StorageError(f"MLflow at {redact(uri or '')}: {_said(error)}") from None
        except (OSError, ImportError) as error:
            # requests' errors are OSErrors; a store may want a driver that is not installed.
            raise StorageError(f"MLflow at {redact(uri or '')}: {_said(error)}") from None
    finally:
        for name in (name for name, value in before.items() if value is None):
            os.environ.pop(name, None)


def _said(error: Exception) -> str:
    """What an error says, on one line and without secrets: of a connection the reason only, else the beginning."""
    text = redact(" ".join(str(error).split()))
    reason = _REASON.search(text)
    if reason is not None and "Max retries exceeded" in text:
        return f"cannot be reached ({reason[1]}). Is it running, and is this its address?"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
