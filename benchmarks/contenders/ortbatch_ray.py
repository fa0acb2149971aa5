"""ortbatch on a Ray that it starts itself; timed as `ortbatch_inline`."""

from __future__ import annotations

from benchmarks.contenders import ortbatch_inline
from benchmarks.contract import Answer, Task


def run(task: Task) -> Answer:
    """Run one task."""
    return ortbatch_inline.run(task, engine="ray")
