"""A tally is the product of its parts, and small on the wire."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from ortbatch.errors import MergeError
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.fidelity import BaselineCounts, Baselines, Fidelity, SeenTwice
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.slices import Cut, SliceCounts
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import ANY_CLASS, Tally

CLASSES = ("no", "yes")
CUTS = (Cut(("country",), (("DE",), ("FR",))),)


def tally_of(rows: int, seed: int) -> Tally:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, 2, (2, rows))
    odds, half = rng.normal(0, 3, (rows, 1)), rng.integers(0, 2, rows).astype(np.uint8)
    return Tally(
        Coverage(rows + 1, rows, filtered=1),
        ConfusionMatrix.of(CLASSES, true, predicted),
        ScoreHistogram.of(["yes"], 65_536, odds, true[:, None] == 1, half),
        FixedSum.of(rng.exponential(1, rows)),
        FixedSum.of(rng.random(rows)),
        LatencyHistogram.of(rng.integers(1_000, 10**6, 3)),
        StageTimes(*rng.integers(1, 10**9, 5).tolist()),
        Agreement(rows, rows // 2),
        ScoreHistogram.of(["right"], 4_096, odds, (true == predicted)[:, None], half),
        Cells.of((11,), rng.integers(0, 11, rows)),
        FixedSum.of(rng.random(rows)),
        FixedSum.of(rng.exponential(1, rows)),
        Cells.of((ANY_CLASS,), rng.integers(0, 2, rows // 9)),
        SliceCounts.empty(CUTS, 2, 1).of_cells(rng.integers(0, 12, rows), rng.integers(0, 50, rows)),
        Baselines(("torch",), (beside(true, predicted, rng),)),
    )


def beside(true: NDArray[np.int64], predicted: NDArray[np.int64], rng: np.random.Generator) -> BaselineCounts:
    """Of a baseline that knows labels only, and flips about half of them."""
    rows = np.arange(true.size)
    seen = SeenTwice(true, predicted, rng.integers(0, 2, true.size), rows, rows)
    return BaselineCounts(Fidelity.of(2, 0, seen, {}), LatencyHistogram.of(rng.integers(1_000, 10**6, 3)))


@pytest.mark.parametrize(
    ("curves", "shape"),
    [((), (0, 2, 2, 4_100)), (("yes",), (1, 2, 2, 65_540)), (("a", "b", "c"), (3, 2, 2, 4_100))],
    ids=["labels only", "binary", "multiclass"],
)
def test_the_bins_of_an_empty_tally_follow_from_its_curves(curves: tuple[str, ...], shape: tuple[int, ...]) -> None:
    assert Tally.empty(CLASSES, curves).scores.counts.shape == shape


def test_a_merge_merges_each_field_with_its_own() -> None:
    a, b = tally_of(500, 1), tally_of(300, 2)
    merged = a.merge(b)
    for name in Tally.__dataclass_fields__:
        assert getattr(merged, name) == getattr(a, name).merge(getattr(b, name)), name


def test_many_tallies_at_once_are_one_after_another() -> None:
    none = Tally.empty(CLASSES, ["yes"], CUTS)
    none = replace(none, baselines=Baselines.empty(["torch"], 2))
    tallies = [none, *(tally_of(100 * seed, seed) for seed in range(12))]
    assert Tally.merged(tallies) == reduce(Tally.merge, tallies)
    assert Tally.merged(tallies[:2]) == tallies[1]


def test_many_tallies_of_other_classes_are_refused() -> None:
    with pytest.raises(MergeError, match="classes of confusion matrices differ"):
        Tally.merged([tally_of(5, 0), Tally.empty(CLASSES[::-1], ["yes"])])


def test_a_difference_in_any_field_is_a_difference() -> None:
    a, b = tally_of(500, 1), tally_of(300, 2)
    assert [name for name in Tally.__dataclass_fields__ if a == replace(a, **{name: getattr(b, name)})] == []


def test_tallies_of_other_classes_are_refused() -> None:
    with pytest.raises(MergeError, match=r"classes of confusion matrices differ: \('no', 'yes'\) and \('yes', 'no'\)"):
        Tally.empty(CLASSES, ()).merge(Tally.empty(CLASSES[::-1], ()))


def test_an_empty_tally_travels_in_three_kilobytes() -> None:
    assert len(pickle.dumps(Tally.empty(CLASSES, ["yes"]))) < 3_000


def test_a_tally_of_few_rows_travels_as_few_bytes() -> None:
    assert len(pickle.dumps(tally_of(1_000, 3))) < 40_000


def test_a_tally_survives_the_wire() -> None:
    tally = tally_of(1_000, 3)
    assert pickle.loads(pickle.dumps(tally)) == tally
