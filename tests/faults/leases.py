"""Which node got which lease when, and which workers were let go: seen from the fleet on Ray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ortbatch.engine.cluster import RayFleet
from ortbatch.engine.events import Returned


@contextmanager
def seeing_leases() -> Iterator[dict[str, Any]]:
    """What the fleets of this process do inside.

    given: when, lease and node of each lease. shards: node → shards that came back from there. dismissed: nodes of
    workers that were let go.
    """
    seen: dict[str, Any] = {"given": [], "shards": Counter(), "dismissed": []}
    give, wait, dismiss = RayFleet.give, RayFleet.wait, RayFleet.dismiss
    held: dict[int, tuple[str, int]] = {}

    def seen_give(fleet: RayFleet, worker: int, lease: int, shards: Any, *, alone: bool) -> None:
        node = fleet._members[worker].facts.node  # type: ignore[union-attr]
        seen["given"].append((time.monotonic(), lease, node))
        held[lease] = node, len(shards)
        give(fleet, worker, lease, shards, alone=alone)

    def seen_wait(fleet: RayFleet) -> Any:
        message = wait(fleet)
        if message is not None and isinstance(message.event, Returned) and message.event.lease in held:
            node, shards = held[message.event.lease]
            seen["shards"][node] += shards
        return message

    def seen_dismiss(fleet: RayFleet, worker: int) -> None:
        seen["dismissed"].append(fleet._members[worker].facts.node)  # type: ignore[union-attr]
        dismiss(fleet, worker)

    RayFleet.give, RayFleet.wait, RayFleet.dismiss = seen_give, seen_wait, seen_dismiss  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        RayFleet.give, RayFleet.wait, RayFleet.dismiss = give, wait, dismiss  # type: ignore[method-assign]
