"""The batch size that `auto` means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ortbatch.data.binding import InputBinding

_BATCH_BYTES = 256 << 10
_LARGEST = 8_192


def batch_size_for(bindings: Sequence[InputBinding]) -> int:
    """Rows whose inputs fill 256 KiB, rounded down to a power of two, from 1 to 8,192.

    A function of the model's inputs alone, so that it is the same on every machine. 256 KiB stay in a core's cache: an
    MLP of 32 floats runs best at 1,024 to 4,096 rows, a CNN of 784 floats at 64.
    """
    row_bytes = sum(binding.width * np.dtype(binding.cast.dtype).itemsize for binding in bindings)
    rows = max(1, min(_LARGEST, _BATCH_BYTES // max(1, row_bytes)))
    return 1 << (rows.bit_length() - 1)
