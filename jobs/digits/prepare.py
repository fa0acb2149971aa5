"""Make what the digits job needs: a small trained model, and labelled Parquet to judge it on.

    python jobs/digits/prepare.py [--out DIR] [--force]

The 1,797 images of `sklearn.datasets.load_digits` are split in two halves, stratified by label. A small CNN learns
the one half; the other half is the test data. Everything is seeded and runs on one thread, so that two runs on one
kind of machine make equal data and equal predictions. Nothing is made again while the outputs are as they were left.

    model.onnx                       image float32[N, 1, 8, 8] -> logits float32[N, 10], weights inside
    model.pt2                        the same model for torch.export.load
    data/test/part-00.parquet ...    id int64, image fixed_size_list<float32>[64], label int64, ink string
    data/train/part-00.parquet ...   the same columns, for the half that the model has seen
    data/prepared.json               what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.network import Course, accuracy, export_onnx, export_program, learn, quiet_exporter
from jobs.parts import write_parts
from jobs.stamp import Stamp, makers, replacing

if TYPE_CHECKING:
    import torch

SEED = 0
COURSE = Course(epochs=40, max_rate=6e-3)
PARTS = 8
ROW_GROUP_ROWS = 40
# Mean darkness of an image; the two edges part the 1,797 images into near thirds.
INK_EDGES = (0.288, 0.322)
INK_NAMES = ("light", "medium", "heavy")
SOURCES = ("digits/prepare.py", "network.py", "parts.py", "stamp.py")
MADE_WITH = ("numpy", "onnx", "onnxscript", "pyarrow", "scikit-learn", "torch")


@dataclass(frozen=True)
class Digits:
    """Labelled images.

    ids: int64[N], index in load_digits. images: float32[N, 64], row by row, 0 (paper) to 1 (ink). labels: int64[N].
    """

    ids: npt.NDArray[np.int64]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model and the data of the digits job.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    out: Path = arguments.out
    stamp = stamp_of(out)
    if not arguments.force and stamp.is_current():
        print(f"digits: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    train, test = split_digits()
    network = learn(new_network, [images_of(train)], labels_of(train), COURSE)
    files = export_model(network, out)
    for digits, half in ((train, "train"), (test, "test")):
        files += write_parts(to_table(digits), out / "data" / half, PARTS, ROW_GROUP_ROWS, repeating=["ink"])
    stamp.write(files)
    print(
        f"digits: wrote model.onnx, model.pt2 and {PARTS} Parquet files each of {len(train.ids)} train and"
        f" {len(test.ids)} test rows to {out}; accuracy on the test rows"
        f" {accuracy(network, [images_of(test)], labels_of(test)):.4f}"
    )
    return 0


def stamp_of(out: Path) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    return Stamp(out, makers([jobs / source for source in SOURCES], MADE_WITH, extra="torch"))


def split_digits() -> tuple[Digits, Digits]:
    """The train and the test half: disjoint, together all of load_digits, each in order of id."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32)
    ids = np.arange(len(labels), dtype=np.int64)
    halves = train_test_split(ids, test_size=0.5, stratify=labels, random_state=SEED)
    train, test = (Digits(half, images[half], labels[half].astype(np.int64)) for half in map(np.sort, halves))
    return train, test


def to_table(digits: Digits) -> pa.Table:
    darkness = digits.images.mean(axis=1, dtype=np.float64)
    return pa.table(
        {
            "id": digits.ids,
            "image": pa.FixedSizeListArray.from_arrays(pa.array(digits.images.ravel()), 64),
            "label": digits.labels,
            "ink": pa.array([INK_NAMES[step] for step in np.digitize(darkness, INK_EDGES)], pa.string()),
        }
    )


def images_of(digits: Digits) -> torch.Tensor:
    import torch

    return torch.from_numpy(digits.images.reshape(-1, 1, 8, 8))


def labels_of(digits: Digits) -> torch.Tensor:
    import torch

    return torch.from_numpy(digits.labels)


def new_network() -> torch.nn.Module:
    """A CNN of ten thousand weights: image float32[N, 1, 8, 8] to logits float32[N, 10]."""
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Linear(512, 10),
            )

        # The name of the argument becomes the name of the input in model.pt2.
        def forward(self, image: Tensor) -> Tensor:
            return self.layers(image)

    return Network()


def export_model(network: torch.nn.Module, out: Path) -> list[Path]:
    """Writes model.pt2 and, from the same exported program, model.onnx; both take any number of rows."""
    import torch

    rows = torch.export.Dim("rows", min=1)
    program = export_program(network, [torch.zeros(2, 1, 8, 8)], [{0: rows}])
    torch_path = out / "model.pt2"
    with quiet_exporter(), replacing(torch_path) as temporary:
        torch.export.save(program, temporary)
    return [export_onnx(program, out / "model.onnx", "logits", [{0: "rows"}]), torch_path]


if __name__ == "__main__":
    sys.exit(main())
