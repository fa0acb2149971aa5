"""What is tried before a run costs little, whatever the size of a row, and is the same on every machine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import Cast
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.engine.probe import Dependence, affordable

INPUTS = Inputs((InputBinding("x", ("x",), (1,), Cast("float32"), False, "name"),))


@pytest.mark.parametrize(
    ("rows", "row_bytes", "left"),
    [(256, 128, 256), (256, 1 << 20, 8), (256, 128 << 10, 16), (9, 1 << 30, 8), (5, 1 << 30, 5)],
)
def test_fewer_rows_are_tried_the_larger_they_are(rows: int, row_bytes: int, left: int) -> None:
    features = affordable(Feeder(INPUTS, pa.table({"x": list(range(rows))})), row_bytes)
    assert features.batch(0, features.rows, {"x": np.empty((left, 1), np.float32)})[0]["x"][:, 0].tolist() == [
        *range(left)
    ]


@pytest.mark.parametrize(
    ("labels", "scores", "dynamic", "matters"),
    [(1, True, False, True), (0, True, False, False), (0, True, True, True), (0, False, True, False)],
)
def test_company_matters_if_labels_change_or_are_known_to(
    labels: int, scores: bool, dynamic: bool, matters: bool
) -> None:
    assert Dependence(256, labels, scores, dynamic).matters is matters
