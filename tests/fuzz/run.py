"""Broken job files and broken Parquet files, by the thousand: only the product's own errors may come out.

    python -m tests.fuzz.run [--inputs 10000] [--seed 0]        make fuzz

Half of the inputs are job files whose text was changed; each becomes a Job or a JobError. Half are Parquet files whose
bytes were changed: a run over them ends with one of the product's errors, or with the counts of the file as it was
where its pages carry checksums. A few hundred inputs are tried in a process of their own, so that one that ends its
process is told as such, with the seed that made it. Exits with 1 if there is one, or another exception, or a wrong
count.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.errors import JobError, OrtbatchError
from ortbatch.job import Job, load_job
from tests.models import linear_model

JOBS = sorted((Path(__file__).resolve().parents[2] / "jobs").glob("*/job.yaml"))
AT_ONCE = 250
WORDS = [
    "null", "{", "}", "[", "]", ":", "- ", "&a", "*a", "!!python/object:os.system", "<<: *a", "auto", "-1", "1e999",
    ".nan", "2026-11-25", "0x10", "{date}", "{name}", "../../etc", "s3://k:s@b", "%", "\t", "\u202e", "\x07", "'", '"',
    "no", "~",
]  # fmt: skip
ROWS, FEATURES, CLASSES = 60, 3, 2


def main() -> int:
    """0 if nothing else came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(tried(options.seed, options.inputs)))
        return 0
    total: Counter[str] = Counter()
    bad: list[str] = []
    for first in range(0, options.inputs, AT_ONCE):
        seed, count = options.seed + first, min(AT_ONCE, options.inputs - first)
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", "--seed", str(seed), "--inputs", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            bad.append(f"seed {seed}: ended with {done.returncode}: {done.stderr[-400:]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        total.update(found["outcomes"])
        bad += found["bad"]
        print(f"{first + count:,} inputs, {len(bad)} bad", file=sys.stderr, flush=True)
    print(json.dumps({"inputs": options.inputs, "outcomes": dict(total), "bad": bad}, indent=1))
    return int(bool(bad))


def tried(seed: int, count: int) -> dict[str, Any]:
    """What came of some inputs."""
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ob-fuzz-") as folder:
        parquet = _Parquet(Path(folder))
        for number in range(seed, seed + count):
            chance = random.Random(number)
            kind, attempt = ("job", _job) if number % 2 else ("parquet", parquet)
            try:
                outcomes[f"{kind}: {attempt(chance, Path(folder))}"] += 1
            except Exception as error:
                bad.append(f"input {number} ({kind}): {type(error).__name__}: {error}"[:400])
    return {"outcomes": dict(outcomes), "bad": bad}


def _job(chance: random.Random, folder: Path) -> str:
    """A job file with changed text."""
    text = chance.choice(JOBS).read_text()
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        text = _changed_text(text, chance)
    path = folder / "job.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_job(path)
    except JobError as error:
        if error.problems:
            return "refused"
        raise
    return "taken"


def _changed_text(text: str, chance: random.Random) -> str:
    at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    lines = text.split("\n")
    line = chance.randrange(len(lines))
    kind = chance.randrange(6)
    if kind == 0:
        return text[:at] + chance.choice(WORDS) + text[at:]
    if kind == 1:
        return text[:at] + text[min(end, at + 20) :]
    if kind == 2:
        return "\n".join([*lines[:line], lines[line], *lines[line:]])
    if kind == 3:
        return "\n".join([*lines[:line], *lines[line + 1 :]])
    if kind == 4:
        return "\n".join([*lines[:line], " " * chance.randrange(5) + lines[line].lstrip(), *lines[line + 1 :]])
    return text[:at] + chr(chance.choice([0, 9, 13, 0x85, 0xFEFF, 0xD800, 0x1F600, chance.randrange(128)])) + text[at:]


class _Parquet:
    """Parquet files with changed bytes, each run from its plan to its counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        linear_model(folder / "model.onnx", FEATURES, CLASSES)
        self._files: list[tuple[bytes, bool]] = []
        for checksums in (True, False):
            for options in ({"compression": "none"}, {"compression": "zstd"}, {"use_dictionary": False},
                            {"data_page_version": "2.0"}, {"row_group_size": 25}):  # fmt: skip
                path = folder / "whole.parquet"
                pq.write_table(_table(), path, write_page_checksum=checksums, **options)
                self._files.append((path.read_bytes(), checksums))
        (folder / "data").mkdir()
        self._path = folder / "data" / "rows.parquet"
        self._path.write_bytes(self._files[0][0])
        self._whole = self._counts()

    def __call__(self, chance: random.Random, _: Path) -> str:
        content, checksums = chance.choice(self._files)
        self._path.write_bytes(_changed_bytes(content, chance))
        try:
            counts = self._counts()
        except OrtbatchError:
            return "refused"
        if counts == self._whole:
            return "right counts"
        # Without checksums a changed value is a value; the footer carries none in any file.
        assert not checksums or _footer_changed(self._path.read_bytes(), content), "wrong counts"
        return "other counts, no checksum there"

    def _counts(self) -> list[list[int]]:
        from ortbatch.engine.evaluate import Stream
        from ortbatch.engine.prepare import open_model, prepare

        job = Job.from_mapping(
            {
                "name": "fuzz",
                "model": {"path": str(self._folder / "model.onnx"), "inputs": {"x": ["a", "b", "c"]}},
                "data": {"path": str(self._path), "label": "label", "filter": [["kind", "!=", "skip"]]},
                "predictions": {"columns": ["kind", "when", "price"]},
            }
        )
        prepared = prepare(job)
        tally = Stream(prepared.evaluation, open_model(job)[1]).evaluate(prepared.plan.shards)
        counts: list[list[int]] = tally.confusion.counts.tolist()
        return counts


def _footer_changed(changed: bytes, whole: bytes) -> bool:
    length = int.from_bytes(whole[-8:-4], "little") + 8
    return changed[-length:] != whole[-length:]


def _changed_bytes(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    length = int.from_bytes(data[-8:-4], "little")
    # Half of the damage goes to the footer, which is small and rules all.
    low, high = (len(data) - length - 8, len(data)) if chance.random() < 0.5 else (0, len(data))
    for _ in range(chance.choice([1, 1, 1, 3, 10])):
        at = chance.randrange(low, high)
        kind = chance.randrange(5)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.randrange(256)
        elif kind == 2:
            data[at : at + chance.randrange(1, 9)] = b"\xff" * chance.randrange(9)
        elif kind == 3:
            del data[at : at + chance.randrange(1, 40)]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 20)))
        low, high = min(low, len(data) - 1), len(data)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.05 else data)


def _table() -> pa.Table:
    rng = np.random.default_rng(0)
    days = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=i) for i in range(ROWS)]
    return pa.table(
        {
            "a": rng.normal(size=ROWS).astype(np.float32),
            "b": rng.integers(0, 9, ROWS).astype(np.int16),
            "c": pa.array([Decimal(i) / 4 for i in range(ROWS)], pa.decimal128(10, 2)),
            "kind": pa.array(["skip" if i % 7 == 0 else f"k{i % 3}" for i in range(ROWS)]),
            "when": pa.array(days, pa.timestamp("us", tz="UTC")),
            "price": pa.array([[float(i)] * (i % 4) for i in range(ROWS)]),
            "label": rng.integers(0, CLASSES, ROWS),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
