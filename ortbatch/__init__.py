"""Batch evaluation and scoring of ONNX models over labelled Parquet, on Ray.

    import ortbatch
    report = ortbatch.run("jobs/digits/job.yaml")
    report.status, report.quality["accuracy"].value, report.confusion_matrix

Names are loaded when they are first used: importing `ortbatch` loads neither ray, onnxruntime, scikit-learn nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ortbatch.version import VERSION

if TYPE_CHECKING:
    from ortbatch.api import Options, pick_threshold, read_report
    from ortbatch.curve import Sweep, latency_curve
    from ortbatch.earlier import compare, history
    from ortbatch.errors import OrtbatchError
    from ortbatch.interactive import run
    from ortbatch.job import Job, load_job
    from ortbatch.metrics.operating import Aim
    from ortbatch.report.report import Report

__version__ = VERSION
__all__ = [
    "Aim", "Job", "Options", "OrtbatchError", "Report", "Sweep", "__version__", "compare", "history", "latency_curve",
    "load_job", "pick_threshold", "read_report", "run",
]  # fmt: skip

_HOMES = {
    "Aim": "ortbatch.metrics.operating",
    "Job": "ortbatch.job",
    "Options": "ortbatch.api",
    "OrtbatchError": "ortbatch.errors",
    "Report": "ortbatch.report.report",
    "Sweep": "ortbatch.curve",
    "compare": "ortbatch.earlier",
    "history": "ortbatch.earlier",
    "latency_curve": "ortbatch.curve",
    "load_job": "ortbatch.job",
    "pick_threshold": "ortbatch.api",
    "read_report": "ortbatch.api",
    "run": "ortbatch.interactive",
}


if not TYPE_CHECKING:  # a type checker would take any name for granted

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'ortbatch' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
