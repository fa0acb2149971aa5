"""Ray's Jobs API: jobs by name on the head of a cluster, over HTTP. The only module here that imports ray.

Whoever may call this API runs what they like on the cluster: so a cluster that answers without a token is told of.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ortbatch.errors import ClusterError
from ortbatch.job.redaction import redact

T = TypeVar("T")

ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that name a head; the first is Ray's own for this API."""
_QUIET_SECONDS = 30.0
_PROBE_SECONDS = 10.0
# A head that has just come up takes no jobs for some seconds.
_NOT_YET = "No available agent"
_STARTING_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
# They tell of every package and every connection.
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Described:
    """A job as the cluster tells of it.

    Args:
        id: name of the submission.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        exit_code: of its command; None while there is none, or if the cluster lost it.
        message: what the cluster says.
        started_ms, ended_ms: Unix times in milliseconds.
    """

    id: str
    status: str
    exit_code: int | None = None
    message: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None

    @property
    def ended(self) -> bool:
        """Is there nothing more to come?"""
        return self.status in _ENDED


class JobsApi:
    """The head of a cluster; every method raises ClusterError if it cannot be asked."""

    def __init__(self, address: str, warn: Callable[[str], None]) -> None:
        self.address = address.rstrip("/")
        self._warn_if_open(warn)
        with _without_overrides():
            from ray.job_submission import JobSubmissionClient

            for module in _TALKATIVE:
                logging.getLogger(module).setLevel(logging.WARNING)
            self._client: Any = self._asked(lambda: JobSubmissionClient(self.address))

    def names(self) -> list[str | None]:
        """Names of all submissions that the cluster knows."""
        return [job.submission_id for job in self._asked(self._client.list_jobs)]

    def describe(self, name: str) -> Described:
        """One of them."""
        found = self._asked(lambda: self._client.get_job_info(name))
        return Described(
            name, str(getattr(found.status, "value", found.status)), found.driver_exit_code, found.message or "",
            found.start_time, found.end_time,
        )  # fmt: skip

    def log(self, name: str) -> str:
        """All that it wrote until now."""
        return str(self._asked(lambda: self._client.get_job_logs(name)))

    def stop(self, name: str) -> bool:
        """Ask it to end; False if it has ended already."""
        return bool(self._asked(lambda: self._client.stop_job(name)))

    def submit(self, name: str, command: str, working_dir: Path, module: Path) -> bool:
        """Start a job; False if one of this name is there already.

        Args:
            name: of the submission.
            command: a line of a shell.
            working_dir: folder that travels, and in which it runs.
            module: folder of a Python package that travels and comes before what the cluster has installed.
        """
        settings = {"working_dir": str(working_dir), "py_modules": [str(module)]}
        end = time.monotonic() + _STARTING_SECONDS
        while True:
            try:
                self._client.submit_job(entrypoint=command, submission_id=name, runtime_env=settings)
            except Exception as error:
                if _NOT_YET in str(error) and time.monotonic() < end:
                    time.sleep(_PAUSE_SECONDS)
                    continue
                if "already" in str(error) and name in self.names():
                    return False
                raise self._failure(error) from None
            return True

    def tail(self, name: str, show: Callable[[str], None]) -> None:
        """Show the log from its start, in pieces, as it grows; returns when it ends, or is silent for half a minute."""

        async def read() -> None:
            pieces: AsyncIterator[str] = self._client.tail_job_logs(name)
            own = asyncio.current_task()
            while True:
                try:
                    # `wait_for` of Python 3.11 takes no notice of Ctrl+C if a piece comes at the same moment.
                    async with asyncio.timeout(_QUIET_SECONDS):
                        piece = await anext(pieces)
                except (StopAsyncIteration, TimeoutError):
                    return
                if own is not None and own.cancelling():
                    raise asyncio.CancelledError
                show(piece)

        self._asked(lambda: asyncio.run(read()))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except Exception as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> ClusterError:
        text = " ".join(str(error).split())
        where = redact(self.address)
        if "Unauthorized" in text or type(error).__name__ == "AuthenticationError":
            return ClusterError(
                f"{where}: the cluster wants another token than this process sends. Set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN_PATH to the file with the cluster's token (~/.ray/auth_token if unset)."
            )
        if "ray[default]" in text:
            return ClusterError("submitting needs the packages of Ray's Jobs API: pip install 'ortbatch[cluster]'")
        return ClusterError(
            f"{where}: the cluster cannot be asked: {redact(text)[:300]}. Look at the address (Ray's dashboard, port "
            "8265), and whether the tunnel to it is open; what was submitted goes on."
        )

    def _warn_if_open(self, warn: Callable[[str], None]) -> None:
        host = urlsplit(self.address).hostname
        if answers_anybody(self.address):
            warn(
                f"WARNING: {redact(self.address)} ANSWERS WITHOUT A TOKEN: whoever reaches it runs what they like on "
                "this cluster, with its access to your data. Start the cluster with RAY_AUTH_MODE=token."
            )
        elif urlsplit(self.address).scheme == "http" and host not in _LOOPBACK:
            warn(
                f"warning: the token goes to {host} over plain HTTP, where others can read it. Use a tunnel (`ray "
                "dashboard cluster.yaml`) or https."
            )


def answers_anybody(address: str) -> bool:
    """Does a head list its jobs to who shows no token?"""
    try:
        with urllib.request.urlopen(f"{address}/api/jobs/", timeout=_PROBE_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


@contextmanager
def _without_overrides() -> Iterator[None]:
    """Ray's client would rather go where the environment says."""
    kept = {name: os.environ.pop(name) for name in ADDRESSES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
