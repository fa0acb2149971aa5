"""What mergeable values share: exact addition, equality by content, a small wire form, refusals that name both."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from ortbatch.errors import MergeError
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.value import Counts, Value, add, frozen, merged, require_inside, require_same, zeros

LARGEST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Held(Value):
    counts: Counts


@dataclass(frozen=True, eq=False)
class AlsoHeld(Value):
    counts: Counts


def counts(*values: int) -> Counts:
    return frozen(np.array(values, np.int64))


def test_addition_is_exact_up_to_the_largest_int64() -> None:
    assert add(counts(LARGEST - 1, 0), counts(1, LARGEST)).tolist() == [LARGEST, LARGEST]


@pytest.mark.parametrize(("a", "b"), [(LARGEST, 1), (1, LARGEST), (2**62, 2**62), (LARGEST, LARGEST)])
def test_a_count_beyond_int64_is_refused(a: int, b: int) -> None:
    with pytest.raises(OverflowError, match="limit of int64"):
        add(counts(0, a), counts(0, b))


@pytest.mark.parametrize(
    "value",
    [
        ConfusionMatrix(("a",), Cells.of_dense(counts(LARGEST).reshape(1, 1))),
        ScoreHistogram((), Cells.of_dense(counts(LARGEST).reshape(1, 1, 1, 1))),
        LatencyHistogram(counts(LARGEST)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_merge_beyond_int64_is_refused(value: ConfusionMatrix) -> None:
    with pytest.raises(OverflowError):
        value.merge(value)


def test_addition_of_no_cells_gives_no_cells() -> None:
    assert add(zeros(0, 2), zeros(0, 2)).shape == (0, 2)


def test_a_sum_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        add(counts(1), counts(2))[0] = 7


def test_equality_is_of_bytes_not_of_identity() -> None:
    assert Held(counts(1, 2)) == Held(counts(1, 2))


@pytest.mark.parametrize(
    "other",
    [
        Held(counts(1, 3)),
        Held(counts(1)),
        Held(counts(1, 2).reshape(2, 1)),
        Held(np.array([1.0, 2.0])),  # type: ignore[arg-type]
        Held(None),  # type: ignore[arg-type]
        AlsoHeld(counts(1, 2)),
        (1, 2),
    ],
    ids=["cell", "length", "shape", "dtype", "none", "type", "tuple"],
)
def test_values_differ_by(other: object) -> None:
    assert Held(counts(1, 2)) != other


def test_a_value_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Held(counts(1)))


def test_few_filled_cells_travel_as_few_bytes() -> None:
    few = np.zeros((2, 100_000), np.int64)
    few[1, 7] = 2**62
    assert len(pickle.dumps(Held(frozen(few)))) < 1_000


@pytest.mark.parametrize("filled", [0, 4, 5, 6, 10], ids=lambda filled: f"{filled} of 10")
def test_cells_survive_the_wire_at_any_density(filled: int) -> None:
    cells = np.zeros((2, 5), np.int64)
    cells.ravel()[:filled] = np.arange(1, filled + 1)
    back = pickle.loads(pickle.dumps(Held(frozen(cells))))
    assert back.counts.shape == (2, 5)
    assert back.counts.tolist() == cells.tolist()
    assert not back.counts.flags.writeable


def test_a_dense_value_is_not_made_larger_by_the_wire_form() -> None:
    assert len(pickle.dumps(Held(frozen(np.ones(10_000, np.int64))))) < 8 * 10_000 + 1_000


def test_an_array_without_cells_survives_the_wire() -> None:
    assert pickle.loads(pickle.dumps(Held(zeros(0, 2, 2, 8)))).counts.shape == (0, 2, 2, 8)


def test_unlike_layouts_are_refused_naming_both() -> None:
    with pytest.raises(MergeError, match=r"^cannot merge: bins differ: 64 and 128$"):
        require_same("bins", 64, 128)


def test_long_layouts_are_cut_where_they_begin_to_differ() -> None:
    names = tuple(f"class_{index}" for index in range(1_000))
    other = (*names[:812], "dog", *names[813:])
    with pytest.raises(MergeError, match=r"from index 812, \('class_812', .* and \('dog', ") as refusal:
        require_same("classes", names, other)
    assert len(str(refusal.value)) < 500


def test_a_long_layout_that_is_the_beginning_of_the_other_is_refused() -> None:
    names = tuple(f"class_{index}" for index in range(1_000))
    with pytest.raises(MergeError, match=r"from index 998, \(\) and \('class_998', 'class_999'\)"):
        require_same("classes", names[:998], names)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8, 100])
def test_values_that_cannot_merge_many_are_merged_two_by_two(number: int) -> None:
    total = number * (number - 1) // 2
    assert merged([StageTimes(read=index, wait=1) for index in range(number)]) == StageTimes(read=total, wait=number)


def test_a_value_that_grows_is_not_copied_at_every_merge() -> None:
    copied = []

    @dataclass(frozen=True)
    class Growing:
        rows: tuple[int, ...]

        def merge(self, other: Growing) -> Growing:
            copied.append(len(self.rows) + len(other.rows))
            return Growing(tuple(sorted(self.rows + other.rows)))

    assert merged([Growing((index,)) for index in range(1_000)]).rows == tuple(range(1_000))
    assert sum(copied) <= 1_000 * 10


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_indices_inside_are_accepted(dtype: type) -> None:
    require_inside("cell", np.array([0, 4, 2], dtype), 5)
    require_inside("cell", np.array([], dtype), 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, ">i8"])
@pytest.mark.parametrize("index", [-1, -128, 5])
def test_an_index_outside_is_refused_naming_the_extremes(index: int, dtype: type | str) -> None:
    with pytest.raises(ValueError, match=rf"cell index outside \[0, 5\): {min(index, 0)} to {max(index, 3)}"):
        require_inside("cell", np.array([0, index, 3], dtype), 5)
