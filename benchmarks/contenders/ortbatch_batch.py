"""ortbatch in one process at a fixed batch size, `settings.run_rows`; 0 leaves it to ortbatch."""

from __future__ import annotations

from benchmarks.contenders import ortbatch_inline
from benchmarks.contract import Answer, Task


def run(task: Task) -> Answer:
    """Run one task."""
    return ortbatch_inline.run(task, batch_size=task.settings.run_rows or "auto")
