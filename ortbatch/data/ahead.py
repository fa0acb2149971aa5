"""Reading ahead: what comes next is fetched in a thread of its own while the last thing is worked on; bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


def ahead(items: Iterator[T], depth: int) -> Generator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    An exception comes where its item would have come. A consumer that stops early by closing this generator waits for
    the item that is being made, and for no other.
    """
    if depth < 1:
        yield from items
        return
    fetch = _Fetch(items, depth)
    thread = threading.Thread(target=fetch.run, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (made := fetch.next()) is not None:
            if made.error is not None:
                raise made.error
            yield made.value  # type: ignore[misc]
            del made
    finally:
        fetch.end()
        thread.join()


@dataclass(frozen=True)
class _Made(Generic[T]):
    """An item, or the exception in its place."""

    value: T | None
    error: BaseException | None = None


class _Fetch(Generic[T]):
    """Items made by one thread and taken by another."""

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._room = threading.Semaphore(depth)
        self._made: SimpleQueue[_Made[T] | None] = SimpleQueue()
        self._ended = False

    def run(self) -> None:
        """Make items as long as there is room for them."""
        try:
            while self._room.acquire() and not self._ended:
                self._made.put(_Made(next(self._items)))
        except StopIteration:
            self._made.put(None)
        except BaseException as error:
            self._made.put(_Made(None, error))

    def next(self) -> _Made[T] | None:
        """The next item; None after the last."""
        made = self._made.get()
        self._room.release()
        return made

    def end(self) -> None:
        """Make no more."""
        self._ended = True
        self._room.release()


class Next(Generic[K, T]):
    """One thing that is made in a thread of its own, because it is likely to be asked for next."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._begun: tuple[K, Future[T]] | None = None

    def begin(self, key: K, make: Callable[[], T]) -> None:
        """Make it, once what was begun before is taken or was given up."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="read-next")
        self._begun = key, self._threads.submit(make)

    def take(self, key: K) -> T | None:
        """What was begun under this key, once it is made, or the exception in its place; None if nothing was."""
        if self._begun is None or self._begun[0] != key:
            return None
        (_, making), self._begun = self._begun, None
        return making.result()

    def end(self) -> T | None:
        """Make no more; returns what was made and not taken."""
        begun, self._begun = self._begun, None
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        done = begun is not None and not begun[1].cancelled() and begun[1].exception() is None
        return begun[1].result() if begun is not None and done else None
