"""The batch size that `auto` means."""

from __future__ import annotations

_BATCH_BYTES = 256 << 10
_LARGEST = 8_192


def batch_size_for(row_bytes: int) -> int:
    """Rows whose inputs fill 256 KiB, rounded down to a power of two, from 1 to 8,192.

    A function of one row's inputs, so that it is the same on every machine. 256 KiB stay in a core's cache: an MLP of
    32 floats runs best at 1,024 to 4,096 rows, a CNN of 784 floats at 64.

    >>> batch_size_for(32 * 4), batch_size_for(784 * 4)
    (2048, 64)
    """
    rows = max(1, min(_LARGEST, _BATCH_BYTES // max(1, row_bytes)))
    return 1 << (rows.bit_length() - 1)
