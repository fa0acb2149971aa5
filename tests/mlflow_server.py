"""An MLflow server of one's own, with its SQLite store, on a free port of this machine.

with running_mlflow() as server:
    server.uri                          http://127.0.0.1:...
    server.rows("select ...")           what stands in its database, read without MLflow
    server.get("runs/search", {...})    its REST API
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVERS = Path(__file__).resolve().parents[1] / ".venv-servers"
"""An environment that sees the packages of `.venv`, and those that only servers need; `make test` makes it."""

_READY_SECONDS = 120.0
# The server ends with the pipe to whoever started it, however that one ends.
_LEASHED = """
import os, signal, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
def end():
    sys.stdin.read()
    os.killpg(server.pid, signal.SIGKILL)
threading.Thread(target=end, daemon=True).start()
sys.exit(server.wait())
"""


def python_of_servers() -> str:
    """The interpreter that has what servers need; raises RuntimeError where there is none."""
    path = SERVERS / "bin" / "python"
    if not path.exists():
        raise RuntimeError(f"{path} is missing: `make test` makes it, or `make .venv-servers/.with-servers`")
    return str(path)


@dataclass(frozen=True)
class Mlflow:
    """A server.

    Args:
        port: of it.
        folder: its database and its artifacts.
    """

    port: int
    folder: Path

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        with closing(sqlite3.connect(f"file:{self.folder / 'store.db'}?mode=ro", uri=True, timeout=30)) as store:
            return store.execute(query, values).fetchall()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """An answer of its REST API; a body is posted."""
        request = urllib.request.Request(f"{self.uri}/api/2.0/mlflow/{path}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.loads(answer.read()))

    def artifact(self, run: str, name: str) -> bytes:
        """A file that a run keeps there."""
        url = f"{self.uri}/get-artifact?path={name}&run_uuid={run}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def running_mlflow() -> Iterator[Mlflow]:
    """A server that is ready, in a folder that is gone afterwards; raises RuntimeError if it does not start."""
    with tempfile.TemporaryDirectory(prefix="ob-mlflow-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        server = Mlflow(free_port(), folder)
        process = stack.enter_context(_started(server))
        end = time.monotonic() + _READY_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"mlflow does not start: {(folder / 'log').read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield server


@contextmanager
def _started(server: Mlflow) -> Iterator[subprocess.Popen[bytes]]:
    folder = server.folder
    command = [python_of_servers(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(server.port),
               "--backend-store-uri", f"sqlite:///{folder / 'store.db'}", "--workers", "1",
               "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _LEASHED, *command], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
            env=environment,
        )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder / "artifacts", ignore_errors=True)


def free_port() -> int:
    """A port that nobody hears."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(server: Mlflow) -> bool:
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{server.uri}/health", timeout=2) as answer:
        return bool(answer.read() == b"OK")
    return False
