"""Tallies and reports with slices made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.slices import Cut, SliceCounts
from tests.unit.report.made import label_tally, names, report, timed

Matrices = dict[tuple[str, ...], list[list[int]]]


def tally(cuts: list[Cut], *matrices: Matrices, classes: tuple[str, ...] | None = None) -> Any:
    """A tally whose slices have these confusion matrices, labels only; the key ("(other)",) is that of all others."""
    whole = np.sum([np.array(matrix) for matrix in matrices[0].values()], axis=0)
    chosen = classes or names(len(whole))
    cells = []
    for cut, of_cut in zip(cuts, matrices, strict=True):
        for place in range(cut.slices):
            texts = tuple(cut.of(place).values())
            cells.append(np.array(of_cut.get(texts, np.zeros_like(whole)), np.int64))
    counts = SliceCounts(
        tuple(cuts), Cells.of_dense(np.array(cells)), SliceCounts.empty(cuts, len(chosen), 0).scores
    )  # fmt: skip
    return timed(replace(label_tally(whole, chosen), slices=counts))


def by(column: str, *values: str, pooled: int = 0) -> Cut:
    return Cut((column,), tuple((value,) for value in values), pooled)


# 90 of 100 right in every country but PL, where it is 60.
WORLD = [by("country", "DE", "FR", "PL")]
OF_WORLD: Matrices = {("DE",): [[45, 5], [5, 45]], ("FR",): [[45, 5], [5, 45]], ("PL",): [[30, 20], [20, 30]]}


def made(*gates: str) -> dict[str, Any]:
    cuts = [*WORLD, Cut(("country", "vip"), (("DE", "true"), ("(null)", "a, b")))]
    crossed: Matrices = {("DE", "true"): [[60, 15], [15, 60]], ("(null)", "a, b"): [[60, 15], [15, 60]]}
    keys: dict[str, Any] = {"slices": ["country", ["country", "vip"]]}
    return report(tally(cuts, OF_WORLD, crossed, classes=("cat", "dog")), *gates, positive=1, keys=keys)
