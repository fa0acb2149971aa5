from __future__ import annotations

import pytest

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import Cast
from ortbatch.model.tuning import batch_size_for


def binding(width: int, dtype: str = "float32") -> InputBinding:
    return InputBinding("x", ("x",), (width,), Cast(dtype), True, "name")


SIZES = [
    (1, "float32", 8_192), (8, "float32", 8_192), (9, "float32", 4_096), (32, "float32", 2_048), (64, "float32", 1_024),
    (784, "float32", 64), (784, "uint8", 256), (3 * 224 * 224, "float32", 1), (0, "float32", 8_192),
]  # fmt: skip


@pytest.mark.parametrize(("width", "dtype", "rows"), SIZES)
def test_a_batch_is_a_power_of_two_that_fills_at_most_256_kib(width: int, dtype: str, rows: int) -> None:
    assert batch_size_for([binding(width, dtype)]) == rows


def test_all_inputs_count() -> None:
    assert batch_size_for([binding(32), binding(32)]) == batch_size_for([binding(64)])
