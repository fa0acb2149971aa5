"""Trying again where a store failed in a way that can pass, and giving up at once where it cannot.

Waits are drawn between nothing and a bound that doubles, so that workers that failed together do not come back
together. Stores' errors are told apart by their text, as pyarrow and obstore give nothing else; what none of the rules
knows is taken for passing. Does not know what is tried.

References: Brooker (2015), "Exponential Backoff And Jitter", AWS Architecture Blog.
"""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# pyarrow names what it knows of S3's errors; where an answer has no body, as that to HEAD, it tells the status.
_AWS_NAME = re.compile(r"AWS Error (?!UNKNOWN\b)([A-Z_]+)")
_PASSING_NAMES = frozenset(
    {"INTERNAL_FAILURE", "NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "THROTTLING"}
)
# As S3 itself names them, in the answers that obstore and pyarrow only quote.
_PASSING_CODES = re.compile(r"\b(?:ConditionalRequestConflict|OperationAborted|RequestTimeout)\b")
_STATUS = re.compile(r"\b[Ss]tatus(?: code:)? (\d{3})\b")
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_HOPELESS = re.compile(r"Not a regular file|is a directory$|Bucket '.*' not found|incorrectly configured region")
_HOPELESS_ERRORS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_HOPELESS_NUMBERS = frozenset({errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_STORES = re.compile(r"AWS Error|google::cloud::Status|Azure Error")


def may_pass(error: BaseException) -> bool:
    """Is what failed worth another attempt?

    >>> may_pass(OSError("AWS Error SLOW_DOWN during GetObject operation"))
    True
    >>> may_pass(OSError("AWS Error ACCESS_DENIED during GetObject operation"))
    False
    """
    if not isinstance(error, OSError) or isinstance(error, _HOPELESS_ERRORS):
        return False
    if error.errno is not None:
        return error.errno not in _HOPELESS_NUMBERS
    text = str(error)
    if name := _AWS_NAME.search(text):
        return name[1] in _PASSING_NAMES
    if _PASSING_CODES.search(text):
        return True
    if status := _STATUS.search(text):
        return int(status[1]) in _PASSING_STATUS
    return not _HOPELESS.search(text)


def of_store(error: OSError) -> bool:
    """Was it a store or a disk that failed, and not the decoder of what they gave? Arrow raises OSError for both."""
    return error.errno is not None or _STORES.search(str(error)) is not None


@dataclass(frozen=True)
class Patience:
    """How long a store is waited for.

    Both libraries try again by themselves: pyarrow 30 times in 6 s, or in 100 s where the store takes connections and
    does not answer, obstore 10 times in about 5 s. Hence a limit of time, not of attempts: a store that is down is
    asked some five times.

    Args:
        seconds: after them no attempt begins; the last may end later.
        first_wait: bound of the first wait; each is twice the one before.
        longest_wait: bound of all waits.
        clock: seconds, rising.
        sleep: waits for seconds.
        share: draws which part of its bound is waited, 0 to 1.
    """

    seconds: float = 30.0
    first_wait: float = 0.1
    longest_wait: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    share: Callable[[], float] = random.random

    def retried(self, action: Callable[[], T]) -> T:
        """What an action gives; called again while its failure may pass and there is time. Raises what it raised last.

        Args:
            action: may have been carried out although it failed.
        """
        began, bound = self.clock(), self.first_wait
        while True:
            try:
                return action()
            except OSError as error:
                wait = self.share() * bound
                if not may_pass(error) or self.clock() + wait - began > self.seconds:
                    raise
            self.sleep(wait)
            bound = min(self.longest_wait, 2 * bound)


PATIENCE = Patience()
