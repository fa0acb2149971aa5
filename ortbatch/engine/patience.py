"""The time without any worker: what to say of it, and when it is enough. No clock, no Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ortbatch.engine.layout import Need
from ortbatch.errors import ClusterError

STARTING_SECONDS = 300.0
"""While there is room for a worker, it is starting: a busy machine takes its time."""
_NODES_SECONDS = 30.0
_MACHINES_SECONDS = 600.0
_TOLD_AFTER = 5.0
_TOLD_EVERY = 60.0
_STARTS_SLOWLY = 30.0


@dataclass(frozen=True)
class Supply:
    """What a cluster has for workers.

    Args:
        cpus: of all nodes.
        free: of these.
        gpus: of all nodes.
        starting: is a worker on its way, as far as there is room for it?
        scales: can the cluster get machines by itself?
    """

    cpus: float
    free: float
    gpus: float = 0
    starting: bool = False
    scales: bool = False


def longest_wait(asked: float | Literal["auto"], supply: Supply) -> float:
    """Seconds to wait for a worker: long where machines may be on their way, as to a head without CPUs."""
    if asked != "auto":
        return asked
    return _MACHINES_SECONDS if supply.scales or supply.cpus == 0 else _NODES_SECONDS


class Patience:
    """Begins anew whenever the last worker is gone.

    Args:
        asked: `execution.wait_for_workers_s`.
        now: seconds of any clock.
    """

    def __init__(self, asked: float | Literal["auto"], now: float) -> None:
        self._asked = asked
        self.begin(now)

    def begin(self, now: float) -> None:
        """There is no worker from now on."""
        self._since, self._tell_at = now, now + _TOLD_AFTER

    def check(self, now: float, need: Need, supply: Supply) -> str | None:
        """What to say to those who wait, if it is time for it.

        Raises:
            ClusterError: if it was too long.
        """
        waited, longest = now - self._since, longest_wait(self._asked, supply)
        lacking = f"each asks for {asks(need)}; the cluster has {_has(need, supply)}"
        if waited >= longest and (waited >= STARTING_SECONDS or not supply.starting):
            raise ClusterError(
                f"no worker could start in {waited:.0f} s: {lacking}. Lower `execution.cpus_per_worker`, or wait for a "
                "free node."
            )
        if now < self._tell_at or (supply.starting and waited < _STARTS_SLOWLY):
            return None
        self._tell_at = now + _TOLD_EVERY
        if supply.starting:
            return f"waiting for a worker: one is starting since {waited:.0f} s"
        return f"waiting for a worker, up to {longest:.0f} s (`execution.wait_for_workers_s`): {lacking}"


def asks(need: Need) -> str:
    """What a worker asks for, in words."""
    cpus = f"{need.cpus} CPU{'s' if need.cpus != 1 else ''}"
    return f"{cpus} and {need.gpus:g} GPU{'s' if need.gpus > 1 else ''}" if need.gpus else cpus


def _has(need: Need, supply: Supply) -> str:
    gpus = f", and {supply.gpus:g} GPU{'s' if supply.gpus != 1 else ''}" if need.gpus else ""
    return f"{supply.cpus:g}, {supply.free:g} of them free{gpus}"
