from __future__ import annotations

import pytest

from ortbatch.model.tuning import batch_size_for

SIZES = [(4, 8_192), (32, 8_192), (36, 4_096), (128, 2_048), (256, 1_024), (784 * 4, 64), (784, 256), (602_112, 1)]


@pytest.mark.parametrize(("row_bytes", "rows"), [*SIZES, (0, 8_192)])
def test_a_batch_is_a_power_of_two_that_fills_at_most_256_kib(row_bytes: int, rows: int) -> None:
    assert batch_size_for(row_bytes) == rows
