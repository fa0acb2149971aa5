"""Being told to stop: Ctrl-C and SIGTERM end a run between two steps, a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Was the run told to stop?

    A signal raises KeyboardInterrupt, but inside `deferred` it is only noted: what is counted there must not be left
    half done.
    """

    def __init__(self) -> None:
        self._asked = False
        self._deferred = False

    def __call__(self) -> bool:
        return self._asked

    def listen(self) -> None:
        """Hear signals, also after somebody else took them: Ray takes SIGTERM when it starts."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._note)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A stretch that looks at the request by itself."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _note(self, _number: int, _: FrameType | None = None) -> None:
        """A signal came."""
        _defuse()
        if self._asked:
            os._exit(INTERRUPTED)
        self._asked = True
        if not self._deferred:
            raise KeyboardInterrupt


@contextmanager
def starting_ray() -> Iterator[None]:
    """Start Ray inside: it takes SIGTERM, and gives it back at the end; what it makes of one is a KeyboardInterrupt."""
    before: Any = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        _defuse()
        raise KeyboardInterrupt from None
    finally:
        # Set anew even if it is the same: Ray's native handler stands before it.
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _defuse() -> None:
    """Call off the end that Ray's native handler set: whoever does not stop within 3 s of a SIGTERM is aborted by it.

    It stands before all others from the moment in which Ray starts, and hands the signal on.
    """
    # An alarm that this process asked for has a handler, which only Python sets.
    if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
        signal.alarm(0)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Hear SIGINT and SIGTERM while the block runs; in another thread than the main one signals go their own ways."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        request.listen()
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
