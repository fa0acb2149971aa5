"""Make what the fraud job needs: a trained model, and labelled transactions to judge it on.

    python jobs/fraud/prepare.py [--rows N] [--out DIR] [--force]

The first 60,000 transactions of an endless seeded table (transactions.py) train a scikit-learn model, which goes
through skl2onnx as it comes, with default options; the N after them are the test data. The rows are the same whatever
N is. Nothing is made again while the outputs are as they were left.

    model.onnx                       features float32[N, 32] -> output_label int64[N], output_probability (a ZipMap)
    data/test/part-00.parquet ...    id int64, 32 columns float32, country string, is_fraud int64; 16 files
    data/train/part-00.parquet ...   the same columns, for the rows that the model has seen
    data/prepared.json               what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.fraud.transactions import FEATURES, SCHEMA, SEED, transactions
from jobs.parts import bounds, part_paths, remove_other_parts, write_part
from jobs.stamp import Stamp, makers, replacing

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingClassifier

TRAIN_ROWS = 60_000
TEST_ROWS = 1_000_000
PARTS = 16
ROW_GROUP_ROWS = 25_000
SOURCES = ("fraud/prepare.py", "fraud/transactions.py", "parts.py", "stamp.py")
MADE_WITH = ("numpy", "onnx", "pyarrow", "scikit-learn", "scipy", "skl2onnx")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model and the data of the fraud job.")
    parser.add_argument("--rows", type=int, default=TEST_ROWS, help=f"test rows, at least {PARTS}")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    if arguments.rows < PARTS:
        parser.error(f"--rows {arguments.rows}: expected at least {PARTS}, one for each file")
    out: Path = arguments.out
    stamp = stamp_of(out, arguments.rows)
    if not arguments.force and stamp.is_current():
        print(f"fraud: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    files = [
        *write_rows(0, TRAIN_ROWS, out / "data" / "train"),
        *write_rows(TRAIN_ROWS, arguments.rows, out / "data" / "test"),
        export_model(train_model(transactions(0, TRAIN_ROWS)), out / "model.onnx"),
    ]
    stamp.write(files)
    print(
        f"fraud: wrote model.onnx and {PARTS} Parquet files each of {TRAIN_ROWS:,} train and {arguments.rows:,} test"
        f" rows to {out}"
    )
    return 0


def stamp_of(out: Path, rows: int) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    made_by = makers([jobs / source for source in SOURCES], MADE_WITH, extra="jobs")
    return Stamp(out, made_by | {"rows": str(rows)})


def write_rows(first: int, rows: int, folder: Path) -> list[Path]:
    """Writes this many rows from the first as PARTS files; holds one row group at a time."""
    paths = part_paths(folder, PARTS)
    for path, (start, stop) in zip(paths, bounds(rows, PARTS), strict=True):
        starts = range(first + start, first + stop, ROW_GROUP_ROWS)
        row_groups = (transactions(at, min(at + ROW_GROUP_ROWS, first + stop)) for at in starts)
        write_part(path, row_groups, SCHEMA, repeating=["country", "is_fraud"])
    remove_other_parts(folder, paths)
    return paths


def features_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32[N, 32], in the order of FEATURES: what the model takes."""
    return np.column_stack([table[name].to_numpy() for name in FEATURES])


def train_model(table: pa.Table) -> GradientBoostingClassifier:
    """Boosted trees. They see a fiftieth of fraud, so at a threshold of 0.5 they are right about almost every row."""
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=70, max_depth=3, max_features=8, min_samples_leaf=50, subsample=0.5, random_state=SEED
    )
    return model.fit(features_of(table), table["is_fraud"].to_numpy())


def export_model(model: GradientBoostingClassifier, path: Path) -> Path:
    """Writes the model as skl2onnx makes it when nobody asks for anything: with a ZipMap."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    # A name is given because the default is a new one each time.
    exported = convert_sklearn(model, "fraud", [("features", FloatTensorType([None, len(FEATURES)]))])
    # skl2onnx keeps these in a set, whose order differs from process to process.
    exported.opset_import.sort(key=lambda opset: opset.domain)
    with replacing(path) as temporary:
        temporary.write_bytes(exported.SerializeToString(deterministic=True))
    return path


if __name__ == "__main__":
    sys.exit(main())
