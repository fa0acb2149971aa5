"""Make what the quantised job needs: the digits model in three forms, and labelled Parquet to hold them against.

    python jobs/quantized/prepare.py [--out DIR] [--force]

The network, its course and the two halves of the data are those of the digits job. The export in float32 is quantised
by ONNX Runtime to 8-bit integers, weights a channel and activations by ranges that it sees in the training rows.
Nothing is made again while the outputs are as they were left.

    int8.onnx                        image float32[N, 1, 8, 8] -> logits float32[N, 10], quantised: what would ship
    fp32.onnx                        the same as it was exported
    model.pt2                        the same for torch.export.load: the origin
    data/test/part-00.parquet ...    id int64, image fixed_size_list<float32>[64], label int64, ink string
    data/train/part-00.parquet ...   the same columns, for the half that the model has seen
    data/prepared.json               what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.digits import prepare as digits
from jobs.network import accuracy, learn
from jobs.parts import write_parts
from jobs.stamp import Stamp, makers, replacing

CALIBRATION_ROWS = 32
SOURCES = ("quantized/prepare.py", *digits.SOURCES)
MADE_WITH = (*digits.MADE_WITH, "onnxruntime")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the models and the data of the quantised job.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    out: Path = arguments.out
    stamp = stamp_of(out)
    if not arguments.force and stamp.is_current():
        print(f"quantized: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    train, test = digits.split_digits()
    network = learn(digits.new_network, [digits.images_of(train)], digits.labels_of(train), digits.COURSE)
    exported, program = digits.export_model(network, out)
    files = [exported.replace(out / "fp32.onnx"), program]
    files.append(quantise(files[0], train.images.reshape(-1, 1, 8, 8), out / "int8.onnx"))
    for rows, half in ((train, "train"), (test, "test")):
        table, folder = digits.to_table(rows), out / "data" / half
        files += write_parts(table, folder, digits.PARTS, digits.ROW_GROUP_ROWS, repeating=["ink"])
    stamp.write(files)
    sizes = " and ".join(f"{path.name} ({path.stat().st_size:,} bytes)" for path in (files[0], files[2]))
    print(
        f"quantized: wrote {sizes}, model.pt2 and {digits.PARTS} Parquet files each of {len(train.ids)} train and"
        f" {len(test.ids)} test rows to {out}; accuracy of the origin on the test rows"
        f" {accuracy(network, [digits.images_of(test)], digits.labels_of(test)):.4f}"
    )
    return 0


def stamp_of(out: Path) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    return Stamp(out, makers([jobs / source for source in SOURCES], MADE_WITH, extra="torch"))


def quantise(model: Path, images: npt.NDArray[np.float32], target: Path) -> Path:
    """Writes the model in 8-bit integers; float32[N, 1, 8, 8] images give the ranges of its activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Rows(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[dict[str, Any]] = (
                {"image": images[first : first + CALIBRATION_ROWS]} for first in range(0, len(images), CALIBRATION_ROWS)
            )

        def get_next(self) -> dict[str, Any] | None:  # type: ignore[override]
            return next(self._batches, None)

    with replacing(target) as temporary:
        shaped = temporary.with_name("shaped.onnx")
        # What it asks for, and warns of where it is missing.
        quant_pre_process(model, shaped, skip_symbolic_shape=True)
        quantize_static(
            shaped,
            temporary,
            Rows(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return target


if __name__ == "__main__":
    sys.exit(main())
