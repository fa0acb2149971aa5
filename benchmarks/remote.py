"""Reading from an object store against reading from a disk: python -m benchmarks.remote [--rounds 3] [--out FILE]

    disk       the image workload where it lies
    s3         the same files in a SeaweedFS of this machine
    30 ms      the same, by way of a proxy that lets each request wait so long

Ratios are of runs of one round, which follow each other; the order changes from round to round. A store has cores of
its own: half of this machine's are the run's, the others the server's and the proxy's, unless `--together` is given.
Exits with 1 if the median ratio at 30 ms is below 0.8 of the disk's rate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import make
from benchmarks.machine import machine
from benchmarks.workloads import WORKLOADS, scaled
from tests.s3 import BUCKET, KEY, SECRET, running_s3, uri_at

LEAST_RATIO = 0.8
_ROOT = Path(__file__).resolve().parents[1]
_LATENCY_SECONDS = 0.2


def main() -> int:
    """Print and save the figures; 1 if the ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=int, default=30)
    parser.add_argument("--together", action="store_true", help="all on the same cores")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "DATA", "CORES"), help="one run, in this process")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_run(*options.one)))
        return 0
    made = make(scaled(WORKLOADS["image"], options.scale), options.data.absolute())
    slow = f"{options.latency_ms} ms"
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores, cores) if options.together else (cores[: -(-len(cores) // 2)], cores[-(-len(cores) // 2) :])
    os.sched_setaffinity(0, theirs or cores)
    with running_s3() as s3, proxied(s3.port, options.latency_ms / 1_000) as port:
        s3.upload(made.files[0].parent, "image")
        places = {"disk": str(made.files[0].parent), "s3": s3.uri("image")}
        places[slow] = uri_at(port, "image", BUCKET, KEY, SECRET)
        rounds = [_round(str(made.model), places, number, ours) for number in range(options.rounds)]
    ratios = {name: [each["disk"] / each[name] for each in rounds] for name in places}
    for name in places:
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios[name])
        print(f"{name}: {statistics.median(ratios[name]):.2f} of the disk's rate ({shown})")
    if options.out:
        figures = {"pass_s": rounds, "ratios": ratios, "cores": {"run": ours, "store": theirs}, "machine": machine()}
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return int(statistics.median(ratios[slow]) < LEAST_RATIO)


def _round(model: str, places: Mapping[str, str], number: int, cores: Sequence[int]) -> dict[str, float]:
    """Seconds of a pass at each place; all must count the same."""
    names = list(places)
    names = names[number % len(names) :] + names[: number % len(names)]
    found: dict[str, Any] = {}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.remote", "--one", model, places[name], ",".join(map(str, cores))]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stderr[-2_000:]}")
        found[name] = json.loads(done.stdout.splitlines()[-1])
    assert len({each["correct"] for each in found.values()}) == 1, found
    seconds = {name: found[name]["pass_s"] for name in places}
    print(", ".join(f"{name} {each:.2f} s" for name, each in seconds.items()), flush=True)
    return seconds


def _run(model: str, data: str, cores: str) -> dict[str, float]:
    os.sched_setaffinity(0, map(int, cores.split(",")))
    import ortbatch

    job = ortbatch.Job.from_mapping(
        {
            "name": "image",
            "model": {"path": model, "inputs": {"x": "image"}, "output": {"kind": "logits"}},
            "data": {"path": data, "label": "label"},
            "latency": {"max_seconds": _LATENCY_SECONDS},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        report = ortbatch.run(job, options=ortbatch.Options(run_dir=f"{folder}/run", engine="inline"))
    return {
        "pass_s": report.data["throughput"]["pass_s"],
        "correct": int(np.trace(np.asarray(report.confusion_matrix))),
    }


@contextmanager
def proxied(port: int, latency: float) -> Iterator[int]:
    """A process of its own; its port."""
    command = [sys.executable, "-m", "tests.faulty_proxy", "--to", str(port), "--latency", str(latency)]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
