"""ortbatch in one process; `run` also serves `ortbatch_ray`.

Timed: `throughput.pass_s` of the report, from the first lease given to the last returned; workers are warm by then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import ortbatch
from benchmarks.contract import Answer, Task

# A peer does not time single predictions; a second is enough to have the report complete.
_LATENCY_SECONDS = 1


def job_of(task: Task, *, batch_size: int | str = "auto", **sections: Any) -> ortbatch.Job:
    """The job that a user would write: everything else is left to its default."""
    columns: Any = task.columns[0] if task.listed else list(task.columns)
    return ortbatch.Job.from_mapping(
        {
            "name": task.workload,
            "model": {
                "path": task.model,
                "inputs": {"x": columns},
                "output": {"kind": "logits"},
                "batch_size": batch_size,
            },
            "data": {"path": str(Path(task.files[0]).parent), "label": "label"},
            "latency": {"max_seconds": _LATENCY_SECONDS},
            **sections,
        }
    )


def run(task: Task, engine: str = "inline", batch_size: int | str = "auto") -> Answer:
    """Run one task."""
    options = ortbatch.Options(run_dir=str(Path(task.scratch) / "run"), engine=engine)
    report = ortbatch.run(job_of(task, batch_size=batch_size), options=options)
    return Answer.of(np.asarray(report.confusion_matrix), report.data["throughput"]["pass_s"])
