"""From JPEG bytes to what the model takes. The model has learnt with this very function, and is judged with it."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

SIDE = 32


def decode(batch: pa.RecordBatch) -> dict[str, npt.NDArray[np.float32]]:
    """Turns the column `jpeg` (binary) into `pixels`: float32[N, 3, 32, 32], red, green, blue, each 0 to 1.

    Raises:
        OSError: a row is no JPEG, or a broken one.
    """
    pixels = np.empty((batch.num_rows, 3, SIDE, SIDE), np.float32)
    for row, jpeg in enumerate(batch.column("jpeg").to_pylist()):
        # Bytes from outside: of all the formats that Pillow reads, only the one that is meant to be there.
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        pixels[row] = np.asarray(small, np.float32).transpose(2, 0, 1) / 255
    return {"pixels": pixels}
