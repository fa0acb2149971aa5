"""Make what the images job needs: JPEGs cut from real pictures, and a trained model that tells the pictures apart.

    python jobs/images/prepare.py [--out DIR] [--force]

The pictures are those that scikit-image brings along in its wheel; nothing is downloaded. Each picture is parted into
tiles like a chessboard: crops from its black tiles train the model, crops from its white tiles are the test data, so
that no pixel is in both. A crop is turned, flipped, lit and compressed at random, from a seed. Nothing is made again
while the outputs are as they were left.

    model.onnx                       pixels float32[N, 3, 32, 32] -> probabilities float32[N, 10], weights inside
    data/test/part-00.parquet ...    id int64, jpeg binary (64 x 64 pixels), label string, quality int64; 8 files
    data/train/part-00.parquet ...   the same columns, for the crops that the model has seen
    data/prepared.json               what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import io
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.network import Course, accuracy, export_onnx, export_program, learn
from jobs.parts import write_parts
from jobs.stamp import Stamp, makers

if TYPE_CHECKING:
    import torch
    from PIL import Image

SEED = 0
# Class and file in scikit-image; the order is that of the model's output.
PICTURES = {
    "brick": "brick.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "galaxies": "hubble_deep_field.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "motorcycle": "motorcycle_left.png",
    "portrait": "astronaut.png",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
}
CROPS = 200
TILE = 72
SIDE = 64
PARTS = 8
ROW_GROUP_ROWS = 50
COURSE = Course(epochs=16, max_rate=2e-2)
SOURCES = ("images/prepare.py", "images/prep.py", "network.py", "parts.py", "stamp.py")
MADE_WITH = ("numpy", "onnx", "onnxscript", "pillow", "pyarrow", "scikit-image", "torch")
SCHEMA = pa.schema([("id", pa.int64()), ("jpeg", pa.binary()), ("label", pa.string()), ("quality", pa.int64())])


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model and the data of the images job.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    out: Path = arguments.out
    stamp = stamp_of(out)
    if not arguments.force and stamp.is_current():
        print(f"images: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    train, test = cut_crops(0), cut_crops(1)
    network = learn(new_network, [pixels_of(train)], labels_of(train), COURSE)
    written = [export_model(network, out / "model.onnx")]
    for table, half in ((train, "train"), (test, "test")):
        written += write_parts(table, out / "data" / half, PARTS, ROW_GROUP_ROWS, repeating=["label"])
    stamp.write(written)
    print(
        f"images: wrote model.onnx and {PARTS} Parquet files each of {train.num_rows:,} train and {test.num_rows:,}"
        f" test rows to {out}; accuracy on the test rows {accuracy(network, [pixels_of(test)], labels_of(test)):.4f}"
    )
    return 0


def stamp_of(out: Path) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    return Stamp(out, makers([jobs / source for source in SOURCES], MADE_WITH, extra="jobs"))


def cut_crops(color: int) -> pa.Table:
    """CROPS rows of each class in random order; color 0 is cut from the black tiles, 1 from the white ones."""
    random = np.random.default_rng([SEED, color])
    rows = []
    for label, name in PICTURES.items():
        picture = read_picture(name)
        tiles = tiles_of(picture, color)
        rows += [(*crop(picture, tiles[random.integers(len(tiles))], random), label) for _ in range(CROPS)]
    order = random.permutation(len(rows))
    jpegs, qualities, labels = zip(*(rows[at] for at in order), strict=True)
    ids = color * len(rows) + np.arange(len(rows))
    return pa.table([pa.array(ids), pa.array(jpegs), pa.array(labels), pa.array(qualities)], schema=SCHEMA)


def read_picture(name: str) -> Image.Image:
    from PIL import Image

    path = files("skimage") / "data" / name
    if not path.is_file():
        raise SystemExit(f"images: scikit-image has no data/{name}; install the version that constraints.txt names")
    with path.open("rb") as file, Image.open(file) as picture:
        picture.load()
        return picture


def tiles_of(picture: Image.Image, color: int) -> list[tuple[int, int]]:
    """Left and top of all whole tiles of one color."""
    columns, rows = picture.width // TILE, picture.height // TILE
    return [(x * TILE, y * TILE) for y in range(rows) for x in range(columns) if (x + y) % 2 == color]


def crop(picture: Image.Image, tile: tuple[int, int], random: np.random.Generator) -> tuple[bytes, int]:
    """A JPEG of SIDE x SIDE pixels from within a tile, and its quality."""
    from PIL import Image, ImageEnhance

    size = int(random.integers(SIDE * 3 // 4, TILE + 1))
    left, top = (corner + int(random.integers(TILE - size + 1)) for corner in tile)
    # Cut first: `resize` by itself would look at the pixels around the crop too, which may be in the other half.
    image = picture.crop((left, top, left + size, top + size)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    turn = Image.Transpose(int(random.integers(len(Image.Transpose))))
    image = image.transpose(turn) if random.random() < 0.8 else image
    # Some pictures have no colors, so a crop may have lost its own: they alone must not give the class away.
    image = image.convert("L") if random.random() < 0.15 else image
    image = ImageEnhance.Brightness(image).enhance(random.uniform(0.7, 1.3))
    image = ImageEnhance.Contrast(image).enhance(random.uniform(0.7, 1.3))
    quality = int(random.integers(20, 96))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue(), quality


def pixels_of(table: pa.Table) -> torch.Tensor:
    import torch

    from jobs.images.prep import decode

    return torch.from_numpy(np.concatenate([decode(batch)["pixels"] for batch in table.to_batches()]))


def labels_of(table: pa.Table) -> torch.Tensor:
    import torch

    classes = list(PICTURES)
    return torch.tensor([classes.index(label) for label in table["label"].to_pylist()])


def new_network() -> torch.nn.Module:
    """A CNN of twenty-five thousand weights: pixels float32[N, 3, 32, 32] to logits float32[N, 10]."""
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for before, after in ((3, 16), (16, 32), (32, 64)):
                layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
            self.layers = nn.Sequential(*layers, *pool, nn.Linear(64, len(PICTURES)))

        # The name of the argument becomes the name of the input.
        def forward(self, pixels: Tensor) -> Tensor:
            return self.layers(pixels)

    return Network()


def export_model(network: torch.nn.Module, path: Path) -> Path:
    """Writes the network with a softmax behind it; it takes any number of rows."""
    import torch

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.network(pixels), dim=1)

    rows = torch.export.Dim("rows", min=1)
    program = export_program(Probabilities().eval(), [torch.zeros(2, 3, 32, 32)], [{0: rows}])
    return export_onnx(program, path, "probabilities", [{0: "rows"}])


if __name__ == "__main__":
    sys.exit(main())
