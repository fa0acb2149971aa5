"""Make what the nightly job needs: a trained model, some nights of transactions, and the labels that come later.

    python jobs/nightly/prepare.py [--rows N] [--first DATE] [--nights N] [--out DIR] [--force]

Model and transactions are those of the fraud job: the first 60,000 rows of its endless table train the model, the N
after them are the first night, and so on. A night comes in 24 small files, an hour each. One row in ten has its label
by then, the others are null; nine in ten have one later. Nothing is made again while the outputs are as they were left.

    model.onnx                           as in jobs/fraud
    data/dt=2026-11-23/hour-00.parquet   id int64, 32 columns float32, country string, is_fraud int64, mostly null
    labels/dt=2026-11-23/part-00.parquet id int64, country string, is_fraud int64
    data/prepared.json                   what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.fraud.prepare import MADE_WITH, TRAIN_ROWS, export_model, train_model
from jobs.fraud.prepare import SOURCES as OF_FRAUD
from jobs.fraud.transactions import SCHEMA, transactions
from jobs.parts import bounds, write_part, write_parts
from jobs.stamp import Stamp, makers

ROWS = 100_000
NIGHTS = 2
FIRST = "2026-11-23"
HOURS = 24
LABELLED_BY_NIGHT = 10  # one row in so many
NEVER_LABELLED = 10
SOURCES = ("nightly/prepare.py", *OF_FRAUD)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model, the nights and the labels of the nightly job.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of a night, at least {HOURS}")
    parser.add_argument("--first", type=date.fromisoformat, default=date.fromisoformat(FIRST), help="the first night")
    parser.add_argument("--nights", type=int, default=NIGHTS, help="how many nights")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    if arguments.rows < HOURS or arguments.nights < 1:
        parser.error(f"expected at least {HOURS} rows and a night, got {arguments.rows} and {arguments.nights}")
    out: Path = arguments.out
    days = [f"{arguments.first + timedelta(days=day)}" for day in range(arguments.nights)]
    stamp = stamp_of(out, arguments.rows, days)
    if not arguments.force and stamp.is_current():
        print(f"nightly: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    files = [export_model(train_model(transactions(0, TRAIN_ROWS)), out / "model.onnx")]
    for number, day in enumerate(days):
        files += write_night(TRAIN_ROWS + number * arguments.rows, arguments.rows, out, day)
    stamp.write(files)
    print(f"nightly: wrote model.onnx and {arguments.rows:,} rows of each of {len(days)} nights to {out}")
    return 0


def stamp_of(out: Path, rows: int, days: list[str]) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    made_by = makers([jobs / source for source in SOURCES], MADE_WITH, extra="jobs")
    return Stamp(out, made_by | {"rows": str(rows), "days": ",".join(days)})


def write_night(first: int, rows: int, out: Path, day: str) -> list[Path]:
    """Writes this many rows from the first as 24 files, and the labels that come later as one."""
    folder = out / "data" / f"dt={day}"
    hours = [folder / f"hour-{hour:02}.parquet" for hour in range(HOURS)]
    for path, (start, stop) in zip(hours, bounds(rows, HOURS), strict=True):
        table = as_at_night(transactions(first + start, first + stop))
        write_part(path, [table], SCHEMA, repeating=["country", "is_fraud"])
    labels = later(transactions(first, first + rows))
    repeating = ["country", "is_fraud"]
    return hours + write_parts(labels, out / "labels" / f"dt={day}", 1, labels.num_rows, repeating)


def as_at_night(table: pa.Table) -> pa.Table:
    """The same rows with the labels that are known by then."""
    known = pa.array(np.asarray(table["id"]) % LABELLED_BY_NIGHT == 0)
    label = pc.if_else(known, table["is_fraud"], pa.scalar(None, pa.int64()))
    return table.set_column(table.schema.get_field_index("is_fraud"), "is_fraud", label)


def later(table: pa.Table) -> pa.Table:
    """Labels of most rows, in an order of their own."""
    labels = table.select(["id", "country", "is_fraud"])
    labels = labels.filter(pa.array(np.asarray(table["id"]) % NEVER_LABELLED != NEVER_LABELLED - 1))
    return labels.take(pa.array(np.random.default_rng(0).permutation(labels.num_rows)))


if __name__ == "__main__":
    sys.exit(main())
