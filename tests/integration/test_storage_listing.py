"""A folder of 100,000 objects is listed whole, in order, by as many requests as it has pages."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from ortbatch.data.storage import list_files
from tests.s3 import BUCKET, KEY, SECRET, uri_at

OBJECTS, PAGE = 100_000, 1_000
NAMES = [f"many/part={number % 7}/{number:06}.parquet" for number in range(OBJECTS)]
HIDDEN = ["many/_SUCCESS", "many/.crc", "many/_temporary/0.parquet", "many/part=1/.0.parquet", "many/part=1/_meta"]


@dataclass
class Listed:
    """A store of which only the names are there."""

    port: int
    keys: list[str]
    requests: list[str] = field(default_factory=list)
    below: dict[str, list[str]] = field(default_factory=dict)

    def uri(self, path: str) -> str:
        return uri_at(self.port, path, BUCKET, KEY, SECRET)

    def page(self, query: dict[str, list[str]]) -> str:
        """One page of ListObjectsV2, by a token that is a place."""
        prefix, most = query.get("prefix", [""])[0], int(query.get("max-keys", [str(PAGE)])[0])
        if prefix not in self.below:
            self.below[prefix] = [key for key in self.keys if key.startswith(prefix)]
        found = self.below[prefix]
        start = int(query.get("continuation-token", ["0"])[0])
        rest = found[start : start + most]
        more = start + most < len(found)
        token = f"<NextContinuationToken>{start + most}</NextContinuationToken>" if more else ""
        when = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        entries = "".join(f"<Contents><Key>{key}</Key>{when}<Size>9</Size></Contents>" for key in rest)
        head = f"<Name>{BUCKET}</Name><KeyCount>{len(rest)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
        return f'<?xml version="1.0"?><ListBucketResult>{head}{token}{entries}</ListBucketResult>'


@pytest.fixture(scope="module")
def many() -> Iterator[Listed]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            listed.requests.append(f"{self.command} {self.path}")
            query = parse_qs(urlsplit(self.path).query)
            body = listed.page(query).encode() if "list-type" in query else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815  (the names that it is called by)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    listed = Listed(server.server_address[1], sorted(NAMES + HIDDEN))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield listed
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def found(many: Listed) -> list[str]:
    """Names in the order in which they are listed; what came before it was asked for is forgotten."""
    many.requests.clear()
    return [urlsplit(file.uri).path.lstrip("/") for file in list_files([many.uri("many")])]


def test_every_object_is_listed_in_the_order_of_its_name_and_none_that_is_hidden(found: list[str]) -> None:
    assert found == sorted(NAMES)


def test_it_takes_a_request_a_page_and_two_to_see_what_is_there(many: Listed, found: list[str]) -> None:
    pages = -(-len(many.keys) // PAGE)
    assert len(many.requests) == pages + 2


@pytest.mark.parametrize("pattern", ["many/**/*.parquet", "many/*/*.parquet", "many/part=*/*"])
def test_a_pattern_finds_the_same(many: Listed, found: list[str], pattern: str) -> None:
    assert [urlsplit(file.uri).path.lstrip("/") for file in list_files([many.uri(pattern)])] == found


def test_folders_are_told_for_each_object(many: Listed) -> None:
    folders = {file.folders for file in list_files([many.uri("many")])}
    assert folders == {(f"part={number}",) for number in range(7)}


GROWN = """
import resource, sys
from ortbatch.data.storage import list_files, locate
locate(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(list_files([sys.argv[1]])) == int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_name_takes_about_a_kilobyte(many: Listed) -> None:
    command = [sys.executable, "-c", GROWN, many.uri("many"), str(OBJECTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * OBJECTS  # ru_maxrss is in kilobytes
