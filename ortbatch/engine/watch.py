"""How a fleet follows its cluster: looks at the nodes now and then, says what room there is, and asks for machines.

What is decided of it, `layout`, `size` and `patience` decide. Looks once a second, seldomer where looking takes long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from ortbatch.engine.events import Room
from ortbatch.engine.layout import Need, gpus_asked, places
from ortbatch.engine.machines import UNREACHABLE, Request, look, scales
from ortbatch.engine.patience import Patience
from ortbatch.errors import Interrupted
from ortbatch.job.execution_spec import ExecutionSpec

_WAIT_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_LOOK_SHARE = 0.02
_LOOK_SECONDS_AT_MOST = 5.0
_SCALES_SECONDS = 5.0


class Watch:
    """Looks at the nodes of the Ray that this process has joined.

    Args:
        asked: what the job says, its GPUs settled.
        model_bytes: bytes of all models that a worker loads.
        shards: shards of the run.
    """

    def __init__(self, asked: ExecutionSpec, model_bytes: int, shards: int) -> None:
        self._asked, self._shards = asked, shards
        cpus = 1 if asked.cpus_per_worker == "auto" else asked.cpus_per_worker
        self._need = Need(cpus, gpus_asked(asked), model_bytes)
        self._tell: Callable[[str], None] = lambda _: None
        self._request = Request()
        self._scales, self._scales_at = False, 0.0
        self._patience = Patience(asked.wait_for_workers_s, time.monotonic())
        self._look_at = 0.0
        self.seen = look()
        self._look()
        self._free_before = self.seen.free_cpus

    def await_node(self, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Wait for a node that a worker can be on.

        Args:
            tell: told what is waited for.
            stopped: asked often: is the run to stop?

        Raises:
            ClusterError: if none comes in time.
            Interrupted: if the run is stopped meanwhile.
        """
        self._tell = tell
        self.without_worker()
        # One that lacks memory does as well: the layout says what it lacks.
        need = Need(self._need.cpus, self._need.gpus, 0)
        while not places(self.seen.staying, need):
            if stopped():
                raise Interrupted("interrupted")
            self.check()
            self.want(1)
            time.sleep(_WAIT_SECONDS)
            self._look()
        self.without_worker()

    def lay_out(self, streams: int) -> None:
        """Workers have so many streams."""
        self._need = Need(streams, self._need.gpus, self._need.model_bytes)

    def due(self) -> bool:
        """Is it time to look again?"""
        return time.monotonic() >= self._look_at

    def room(self, workers: Mapping[int, str]) -> Room:
        """What room there is now.

        Args:
            workers: nodes of the workers that are ready, by their numbers.
        """
        self._look()
        leaving = frozenset(number for number, node in workers.items() if node in self.seen.going)
        if self._asked.workers != "auto":
            self.want(self._asked.workers)
            return Room(self._asked.workers, self._asked.workers, leaving)
        limit = self._asked.max_workers or self._shards
        there = max(1, min(limit, places(self.seen.staying, self._need)))
        return Room(there, max(there, limit) if self._scales else there, leaving)

    def want(self, workers: int) -> None:
        """Ask for room for so many workers in all, if there is somebody to ask."""
        if self._scales:
            self._request.ask(workers, self._need)

    def without_worker(self) -> None:
        """There is no worker from now on."""
        self._patience.begin(time.monotonic())

    def check(self) -> None:
        """Say what is waited for, as there is no worker.

        Raises:
            ClusterError: if that is so for too long.
        """
        supply = self.seen.supply(self._need, scales=self._scales, free_before=self._free_before)
        said = self._patience.check(time.monotonic(), self._need, supply)
        if said is not None:
            self._tell(said)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._request.take_back()

    def _look(self) -> None:
        """See what there is; where Ray's head does not answer, what was there."""
        began = time.monotonic()
        with suppress(*UNREACHABLE):
            self.seen = look()
        took = time.monotonic() - began
        with suppress(*UNREACHABLE):
            if not self._scales and began >= self._scales_at:
                self._scales, self._scales_at = scales(), began + _SCALES_SECONDS
        self._look_at = time.monotonic() + min(_LOOK_SECONDS_AT_MOST, max(_LOOK_SECONDS, took / _LOOK_SHARE))
