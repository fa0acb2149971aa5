"""Real HTTP between a client and a store, and faults on the way, as rules say.

with faulty_proxy(s3.port, [Rule("slow_down", "PUT", share=0.2)]) as proxy:
    proxy.uri("folder/file")        as that of the store, by way of the proxy
    proxy.counts["slow_down"]       how often it was done

The Host header that was signed goes on as it came. What is random comes from a seed. Bytes without a fault are spliced
by the kernel. `python -m tests.faulty_proxy --to PORT --latency 0.03` is one in a process of its own; it prints its
port and ends with its standard input.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from tests.s3 import BUCKET, KEY, SECRET, uri_at

Fault = Literal["slow_down", "internal", "reset", "lost", "cut", "short", "slow"]
_ANSWERED = {"slow_down": (503, b"SlowDown"), "internal": (500, b"InternalError")}
_PIECE = 1 << 18
_PIPE = 1 << 20
_SET_PIPE_SIZE = 1031


@dataclass(frozen=True)
class Rule:
    """What becomes of requests.

    Args:
        fault: `slow_down`, `internal`: answered with 503, 500. `reset`: the connection is, before the store hears of
            it. `lost`: the store does it, its answer is lost. `cut`: a body that ends before its Content-Length.
            `short`: a body of fewer bytes whose headers say so. `slow`: comes in pieces.
        method: of the request; empty: any.
        path: pattern that its path and query hold.
        share: of such requests, drawn.
        after: so many such requests are let pass first.
        times: most such faults; None: any number.
        keep: share of the body that is sent, of `cut` and `short`.
        pause: seconds between pieces of 64 kB, of `slow`.
    """

    fault: Fault
    method: str = ""
    path: str = ""
    share: float = 1.0
    after: int = 0
    times: int | None = None
    keep: float = 0.5
    pause: float = 0.01


@dataclass
class Proxy:
    """One that runs.

    Args:
        port: where it listens.
        rules: the first that fits a request is applied; a list that may be changed meanwhile.
        latency: seconds that each request waits.
        counts: faults that were done, by kind.
        requests: that came, as method and path with its query.
        down: takes no request: each connection is reset.
        seed: of what is drawn.
        most_at_once: requests that were under way together.
    """

    port: int
    rules: list[Rule]
    latency: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    requests: list[str] = field(default_factory=list)
    down: bool = False
    seed: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._lock, self._random = threading.Lock(), random.Random(self.seed)
        self._passed: Counter[Rule] = Counter()
        self._now = 0
        self._done: Counter[Rule] = Counter()

    def uri(self, path: str = "", *, bucket: str = BUCKET, key: str = KEY, secret: str = SECRET) -> str:
        return uri_at(self.port, path, bucket, key, secret)

    @property
    def total(self) -> int:
        """Faults in all."""
        return sum(self.counts.values())

    def rule_for(self, method: str, path: str) -> Rule | None:
        """The rule that a request falls under."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            if self.down:
                return Rule("reset")
            fitting = (r for r in self.rules if r.method in ("", method) and re.search(r.path, path))
            return next((rule for rule in fitting if self._applies(rule)), None)

    def _applies(self, rule: Rule) -> bool:
        if rule.times is not None and self._done[rule] >= rule.times:
            return False
        self._passed[rule] += 1
        if self._passed[rule] <= rule.after or self._random.random() >= rule.share:
            return False
        self._done[rule] += 1
        return True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def count(self, fault: str) -> None:
        with self._lock:
            self.counts[fault] += 1


@contextmanager
def faulty_proxy(to: int, rules: Sequence[Rule] = (), *, latency: float = 0.0, seed: int = 0) -> Iterator[Proxy]:
    """A proxy to a port of this machine; its threads are gone afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        proxy = Proxy(listening.getsockname()[1], list(rules), latency, seed=seed)
        held: set[socket.socket] = set()
        thread = threading.Thread(target=_accept, args=(proxy, listening, to, held))
        thread.start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(proxy: Proxy, listening: socket.socket, to: int, held: set[socket.socket]) -> None:
    threads = []
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            held.add(client)
            thread = threading.Thread(target=_serve, args=(proxy, client, to, held), daemon=True)
            thread.start()
            threads.append(thread)
    for each in list(held):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def _serve(proxy: Proxy, client: socket.socket, to: int, held: set[socket.socket]) -> None:
    """All requests of a connection; ends when either side does."""
    store = socket.create_connection(("127.0.0.1", to))
    pipe = os.pipe()
    held.add(store)
    try:
        fcntl.fcntl(pipe[1], _SET_PIPE_SIZE, _PIPE)
        for each in (client, store):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, EOFError):
            exchange = _Exchange(proxy, _Side(client, pipe), _Side(store, pipe))
            while exchange.one():
                pass
    finally:
        for each in (client, store):
            held.discard(each)
            each.close()
        for end in pipe:
            os.close(end)


@dataclass
class _Side:
    """A connection, and what was read of it and not yet used."""

    socket: socket.socket
    pipe: tuple[int, int]
    left: bytes = b""

    def head(self) -> bytes:
        """All up to the empty line."""
        while b"\r\n\r\n" not in self.left:
            if not (more := self.socket.recv(_PIECE)):
                raise EOFError
            self.left += more
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def move(self, size: int, to: _Side | None) -> None:
        """So many bytes to the other side, or to nobody."""
        some, self.left = self.left[:size], self.left[size:]
        if to is not None and some:
            to.socket.sendall(some)
        size -= len(some)
        while size and to is None:
            if not (more := self.socket.recv(min(size, _PIECE))):
                raise EOFError
            size -= len(more)
        while size and to is not None:
            if not (came := os.splice(self.socket.fileno(), self.pipe[1], min(size, _PIPE))):
                raise EOFError
            size -= came
            while came:
                came -= os.splice(self.pipe[0], to.socket.fileno(), came)

    def move_chunks(self, to: _Side) -> None:
        """A body in chunks, to its end."""
        while True:
            while b"\r\n" not in self.left:
                if not (more := self.socket.recv(_PIECE)):
                    raise EOFError
                self.left += more
            line = self.left.partition(b"\r\n")[0]
            size = int(line.partition(b";")[0], 16)
            self.move(len(line) + 2 + size + 2, to)
            if not size:
                return


@dataclass
class _Exchange:
    """Requests of a client and answers of a store."""

    proxy: Proxy
    client: _Side
    store: _Side

    def one(self) -> bool:
        """One request and its answer; False if the connection is to end."""
        head = self.client.head()
        with self.proxy.at_work():
            return self._carried_out(head)

    def _carried_out(self, head: bytes) -> bool:
        method, path, _ = head.decode("latin-1").split(" ", 2)
        if self.proxy.latency:
            time.sleep(self.proxy.latency)
        rule = self.proxy.rule_for(method, path)
        size = int(_header(head, "content-length") or 0)
        if _header(head, "expect"):
            head = re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head)
            self.client.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if rule is not None and rule.fault == "reset":
            return self._reset(rule)
        if rule is not None and rule.fault in _ANSWERED:
            self.client.move(size, None)
            return self._answer(rule, method)
        self.store.socket.sendall(head)
        self.client.move(size, self.store)
        return self._pass_on(rule, method)

    def _pass_on(self, rule: Rule | None, method: str) -> bool:
        head = self.store.head()
        bodiless = method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304")
        size = 0 if bodiless else int(_header(head, "content-length") or 0)
        if rule is not None and rule.fault == "lost":
            self.store.move(size, None)
            return self._reset(rule)
        if rule is not None and rule.fault in ("cut", "short", "slow") and size:
            return self._mangle(rule, head, size)
        self.client.socket.sendall(head)
        if not bodiless and b"chunked" in (_header(head, "transfer-encoding") or "").encode():
            self.store.move_chunks(self.client)
        else:
            self.store.move(size, self.client)
        return (_header(head, "connection") or "").lower() != "close"

    def _mangle(self, rule: Rule, head: bytes, size: int) -> bool:
        self.proxy.count(rule.fault)
        kept = size if rule.fault == "slow" else min(size - 1, int(size * rule.keep))
        if rule.fault == "short":
            head = re.sub(rb"(?i)(\r\ncontent-length: *)\d+", rb"\g<1>%d" % kept, head)
            if found := re.search(rb"(?i)content-range: bytes (\d+)-", head):
                last = b"%d-%d" % (int(found[1]), int(found[1]) + kept - 1)
                head = re.sub(rb"(?i)(content-range: bytes )\d+-\d+", rb"\g<1>" + last, head)
        self.client.socket.sendall(head)
        step = 1 << 16 if rule.fault == "slow" else max(1, kept)
        for start in range(0, kept, step):
            self.store.move(min(step, kept - start), self.client)
            if rule.fault == "slow":
                time.sleep(rule.pause)
        self.store.move(size - kept, None)
        return rule.fault != "cut"

    def _answer(self, rule: Rule, method: str) -> bool:
        self.proxy.count(rule.fault)
        status, code = _ANSWERED[rule.fault]
        body = b"" if method == "HEAD" else b"<Error><Code>%s</Code><Message>Injected</Message></Error>" % code
        head = b"HTTP/1.1 %d Injected\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
        self.client.socket.sendall(head % (status, len(body)) + body)
        return True

    def _reset(self, rule: Rule) -> bool:
        self.proxy.count(rule.fault)
        self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


def _header(head: bytes, name: str) -> str | None:
    found = re.search(rb"(?im)^%s: *([^\r]*)" % name.encode(), head)
    return found[1].decode("latin-1") if found else None


def main() -> None:
    """A proxy without faults, until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with faulty_proxy(options.to, latency=options.latency) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
