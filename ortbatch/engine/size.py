"""How many workers there are to be while nodes come and go: what is seen goes in, numbers come out. No clock, no Ray.

Never more workers than there is room for, nor than shards keep busy, and never none. A worker is started if it finds
enough to do; none is ended because there is less to do. Machines are asked for by how long the rest would take: that
number grows at once, and shrinks when it halves, so that it does not flap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ortbatch.engine.events import Room

START_SECONDS = 5.0
"""What is left for each worker, in seconds, below which another one is not worth its start."""
MACHINE_SECONDS = 60.0
"""Work of a worker, in seconds, for which a machine is worth asking for: it takes a minute or more to come."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is not done yet.

    Args:
        shards: all of it.
        waiting: shards that no worker has.
        rows: rows that no worker has.
        rate: rows a second that a worker does; None while no lease came back.
        starting: workers that are on their way, and will take of what waits.
    """

    shards: int
    waiting: int
    rows: int
    rate: float | None
    starting: int = 0


class Size:
    """Says how many workers to start, and how many to ask machines for.

    Args:
        streams: shards that a worker evaluates at once.
        rate: rows a second that a worker is expected to do; None: nobody knows.
    """

    def __init__(self, streams: int, rate: float | None = None) -> None:
        self._streams, self._rate = streams, rate
        self._room: Room | None = None
        self._asked = 0

    def see(self, room: Room) -> None:
        """Take note of the nodes."""
        self._room = room

    def has_room(self, there: int) -> bool:
        """May one more worker be started beside those that there are? Nobody knows better before nodes were seen."""
        return self._room is None or there < self._room.places

    def more(self, there: int, left: Left) -> int:
        """Workers to start now, besides `there`, which are at work or starting."""
        if self._room is None or left.shards == 0:
            return 0
        if there == 0:
            return 1
        seconds = self._seconds(left)
        if seconds is not None and seconds < START_SECONDS * there:
            return 0
        useful = min(self._room.places, self._busy(left.shards)) - there
        return max(0, min(useful, left.waiting // self._streams - left.starting))

    def ask(self, left: Left) -> int | None:
        """Workers, those that there are among them, to ask machines for; None: leave it as it is."""
        seconds = self._seconds(left)
        if self._room is None or seconds is None or self._room.most <= self._room.places:
            return None
        wanted = min(self._room.most, self._busy(left.shards), max(1, math.ceil(seconds / MACHINE_SECONDS)))
        if max(self._asked, self._room.places) < wanted or 2 * wanted < self._asked:
            self._asked = wanted
            return wanted
        return None

    def _busy(self, shards: int) -> int:
        return -(-shards // self._streams)

    def _seconds(self, left: Left) -> float | None:
        """Of one worker, for all that no worker has."""
        rate = self._rate if left.rate is None else left.rate
        return None if rate is None else left.rows / rate
