"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

_VERSIONED = (
    "ortbatch", "onnxruntime", "onnx", "numpy", "pyarrow", "scikit-learn", "ray", "pyspark", "daft", "pandas", "polars",
)  # fmt: skip


def machine() -> dict[str, object]:
    """CPU, cores, load before the run (a machine that others use gives worse figures), Python."""
    load = [round(value, 2) for value in os.getloadavg()]
    return {"cpu": _cpu(), "cores": cores(), "load_average": load, "python": platform.python_version()}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Package → version of those that are installed."""
    found = {name: _version(name) for name in _VERSIONED}
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
