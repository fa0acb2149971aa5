"""How often, how long and how soon: the numbers of the schedule's policy."""

from __future__ import annotations

from dataclasses import dataclass

DEATHS_OF_A_SHARD = 3
ERRORS_OF_A_SHARD = 2
STORAGE_ERRORS_OF_A_SHARD = 5
LONGEST_DELAY = 30.0
_UNTIMED_SECONDS = 3_600.0  # for a lease, while nothing is known of the speed
_TIMED_AT_LEAST = 600.0
_TIMED_FACTOR = 20.0
_TWIN_SECONDS = 5.0
_TWIN_FACTOR = 2.0


@dataclass(frozen=True)
class Rules:
    """What the job lets the schedule do.

    Args:
        quarantine: leave a shard out that cannot be done; else it ends the run.
        speculate: give what takes long at the end to a second worker as well.
        shard_seconds: longest time of a shard; None: 20 times what shards of its size take, at least ten minutes.
    """

    quarantine: bool = False
    speculate: bool = False
    shard_seconds: float | None = None

    def allowed(self, shards: int, rows: int, rate: float | None, streams: int) -> float:
        """Seconds that a lease may take once it is begun: those of its slowest shard, and 20 times what the rest takes.

        Args:
            shards: how many it holds.
            rows: of all of them.
            rate: rows a second that a worker does; None while it is not known.
            streams: shards that it does at once.
        """
        expected = None if rate is None else _TIMED_FACTOR * (streams if shards == 1 else 1) * rows / rate
        if self.shard_seconds is not None:
            all_slow = self.shard_seconds * -(-shards // streams)
            return all_slow if expected is None or shards == 1 else min(all_slow, self.shard_seconds + expected)
        return _UNTIMED_SECONDS if expected is None else max(_TIMED_AT_LEAST, expected)


def delay(losses: int) -> float:
    """Seconds until a worker is replaced, when so many were lost since a lease came back."""
    return 0.0 if losses < 2 else min(LONGEST_DELAY, 0.5 * 2.0 ** min(10, losses - 2))


def late_after(expected: float) -> float:
    """Seconds after which a lease, expected to be back in some, is raced."""
    return max(_TWIN_SECONDS, _TWIN_FACTOR * expected)
