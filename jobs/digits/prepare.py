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
import contextlib
import hashlib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import onnx
    import torch

SEED = 0
EPOCHS = 40
BATCH_SIZE = 64
OPSET = 18
PARTS = 8
ROW_GROUP_ROWS = 40
# Mean darkness of an image; the two edges part the 1,797 images into near thirds.
INK_EDGES = (0.288, 0.322)
INK_NAMES = ("light", "medium", "heavy")
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
    stamp = out / "data" / "prepared.json"
    if not arguments.force and is_current(stamp, out):
        print(f"digits: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.unlink(missing_ok=True)
    train, test = split_digits()
    files = [*write_parts(train, out / "data" / "train"), *write_parts(test, out / "data" / "test")]
    model = train_model(train)
    files += export_model(model, out)
    hashes = {path.relative_to(out).as_posix(): sha256(path) for path in files}
    with replacing(stamp) as temporary:
        temporary.write_text(json.dumps({"made_by": made_by(), "files": hashes}, indent=2) + "\n", encoding="utf-8")
    print(
        f"digits: wrote model.onnx, model.pt2 and {PARTS} Parquet files each of {len(train.ids)} train and"
        f" {len(test.ids)} test rows to {out}; accuracy on the test rows {accuracy(model, test):.4f}"
    )
    return 0


def made_by() -> dict[str, str]:
    """What decides the content of the outputs: this file and the packages that it calls."""
    try:
        return {"prepare.py": sha256(Path(__file__))} | {name: version(name) for name in MADE_WITH}
    except PackageNotFoundError as error:
        raise SystemExit(
            f'digits: the package {error.name} is missing; install it with pip install -e ".[torch]"'
        ) from None


def is_current(stamp: Path, out: Path) -> bool:
    """Whether the stamp is of this source and these versions, and every output is byte for byte as it was made."""
    try:
        made = json.loads(stamp.read_text(encoding="utf-8"))
        return made["made_by"] == made_by() and all(sha256(out / name) == is_ for name, is_ in made["files"].items())
    except (OSError, ValueError, TypeError, KeyError):
        return False


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last name is kept, only the folder is temporary: torch writes the name of the file into the file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".prepare-") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


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


def write_parts(digits: Digits, folder: Path) -> list[Path]:
    """Writes PARTS files of several row groups and removes other parts, so that the folder holds these rows only."""
    table = to_table(digits)
    bounds = np.linspace(0, table.num_rows, PARTS + 1).astype(int)
    paths = [folder / f"part-{number:02}.parquet" for number in range(PARTS)]
    for path, start, stop in zip(paths, bounds, bounds[1:], strict=False):
        with replacing(path) as temporary:
            pq.write_table(
                table.slice(start, stop - start),
                temporary,
                row_group_size=ROW_GROUP_ROWS,
                compression="lz4",
                # Random floats do not repeat: a dictionary of them only slows the reader down.
                use_dictionary=["ink"],
                write_page_checksum=True,
            )
    for stray in set(folder.glob("part-*.parquet")) - set(paths):
        stray.unlink()
    return paths


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


def to_tensor(digits: Digits) -> torch.Tensor:
    import torch

    return torch.from_numpy(digits.images.reshape(-1, 1, 8, 8))


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


def train_model(digits: Digits) -> torch.nn.Module:
    """A network that has learnt these rows, in evaluation mode."""
    import torch

    # One thread: the order of the sums, and so the last bits of the weights, do not depend on the cores of the machine.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    model = new_network()
    images, labels = to_tensor(digits), torch.from_numpy(digits.labels)
    steps = EPOCHS * -(-len(labels) // BATCH_SIZE)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(BATCH_SIZE):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model: torch.nn.Module, digits: Digits) -> float:
    """Share of rows whose largest logit is that of the label."""
    import torch

    with torch.no_grad():
        predicted = model(to_tensor(digits)).argmax(dim=1).numpy()
    return float((predicted == digits.labels).mean())


def export_model(model: torch.nn.Module, out: Path) -> list[Path]:
    """Writes model.pt2 and, from the same exported program, model.onnx; both take any number of rows."""
    import onnx
    import torch

    onnx_path, torch_path = out / "model.onnx", out / "model.pt2"
    rows = torch.export.Dim("rows", min=1)
    with quiet_exporter():
        program = torch.export.export(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: rows},))
        exported = torch.onnx.export(
            program,
            output_names=["logits"],
            dynamic_shapes=({0: "rows"},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        with replacing(torch_path) as temporary:
            torch.export.save(program, temporary)
    if exported is None:
        raise SystemExit("digits: torch.onnx.export gave no model; install the torch that pyproject.toml names")
    with replacing(onnx_path) as temporary:
        onnx.save(without_notes(exported.model_proto), temporary)
    return [onnx_path, torch_path]


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keeps torch's exporter from telling what it did not need: torchvision, and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(level)


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes: they hold paths of this machine, so equal models would differ."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    return model


if __name__ == "__main__":
    sys.exit(main())
