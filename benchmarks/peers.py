"""The contenders: which module runs each, what it needs, and the settings that it is tuned to (`tuned.json`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.contract import Settings
from benchmarks.limit import batch_ladder
from benchmarks.workloads import Workload

TUNED = Path(__file__).with_name("tuned.json")


@dataclass(frozen=True)
class Peer:
    """One contender.

    Args:
        module: below `benchmarks.contenders`. needs: modules that it imports. pip: what installs them.
        package: whose version says which it is.
        tuned: it has settings; ortbatch takes its defaults.
    """

    module: str
    needs: tuple[str, ...]
    pip: str
    package: str
    tuned: bool = True


PEERS: Mapping[str, Peer] = {
    "loop": Peer(
        "loop", ("pyarrow", "onnxruntime", "sklearn"), "pip install pyarrow onnxruntime scikit-learn", "pyarrow"
    ),
    "raydata": Peer("raydata", ("ray", "pandas", "aiohttp"), "pip install 'ray[data]' 'fsspec[http]'", "ray"),
    "pyspark": Peer("spark", ("pyspark", "pandas"), "pip install 'pyspark[sql]'  (needs Java 17)", "pyspark"),
    "daft": Peer(
        "daft_native", ("daft",), "pip install 'daft>=0.7' 'pyarrow<26' onnxruntime  (elsewhere: --python)", "daft"
    ),
    "ortbatch-inline": Peer("ortbatch_inline", ("ortbatch",), "pip install -e .", "ortbatch", tuned=False),
    "ortbatch-ray": Peer("ortbatch_ray", ("ortbatch", "ray"), "pip install -e .", "ortbatch", tuned=False),
}


def missing(names: Sequence[str], pythons: Mapping[str, str]) -> dict[str, str]:
    """Contenders that cannot be run, and the line that would change that."""
    found = {}
    for name in names:
        probe = f"from importlib.util import find_spec as f; exit(not all(map(f, {PEERS[name].needs!r})))"
        if subprocess.run([pythons.get(name, sys.executable), "-c", probe], check=False).returncode:
            found[name] = PEERS[name].pip
    return found


def version(name: str, pythons: Mapping[str, str]) -> str:
    """Version of a contender in the interpreter that runs it."""
    probe = f"from importlib.metadata import version; print(version({PEERS[name].package!r}))"
    return subprocess.check_output([pythons.get(name, sys.executable), "-c", probe], text=True).strip()


def settings_of(name: str, workload: Workload) -> Settings:
    """Tuned settings of a contender, for the workload or another of the same table; before `--tune` a guess."""
    tuned = json.loads(TUNED.read_text()) if TUNED.exists() else {}
    stored = tuned.get(workload.name, {}).get(name) or tuned.get(workload.data, {}).get(name)
    if stored is None:
        ladder = batch_ladder(workload)
        return Settings(ladder[-1], ladder[len(ladder) // 2], 1 if name == "loop" else 2)
    return Settings(stored["batch"], stored["run_rows"], stored["workers"])


def keep(name: str, workload: Workload, settings: Settings, rows_per_s: float) -> None:
    """Write tuned settings down, with the figure that they gave."""
    tuned = json.loads(TUNED.read_text()) if TUNED.exists() else {}
    tuned.setdefault(workload.name, {})[name] = {**asdict(settings), "rows_per_s": round(rows_per_s)}
    TUNED.write_text(json.dumps(tuned, indent=2) + "\n")
