"""How far two models differ on the same rows: what both predicted, and how far their probabilities lie apart.

Labels are counted in a joint table, differences of scores as `Gaps`, and the rows that differ most are the few first of
a total order: everything is integers and merges exactly. Why the two differ is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.gaps import BANDS, Gaps, apart
from ortbatch.metrics.kept import COLUMNS, KEPT, UNKNOWN, Floats, Ints, KeptRows, bits_of
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.value import Counts, Value, merged, require_inside, require_same

OUTCOMES = 5
"""Both right; only the model; only the baseline; both wrong and agreed; both wrong, and not the same."""


@dataclass(frozen=True)
class SeenTwice:
    """N rows that both models could do.

    Args:
        labels: int64[N], true class.
        predicted: int64[N], of the model.
        baseline: int64[N], of the baseline.
        file: int64[N], index of the row's file in the plan.
        row: int64[N], number of the row in that file.
        scores: probabilities of model and baseline, float64[N, C] each, with two classes [N, 1]: of the positive one;
            None where one of the two has labels only.
        slices: int64[N, K], the slice of each row for each cut, numbered through as in `metrics.slices`.
    """

    labels: Ints
    predicted: Ints
    baseline: Ints
    file: Ints
    row: Ints
    scores: tuple[Floats, Floats] | None = None
    slices: Ints | None = None

    def __post_init__(self) -> None:
        rows = len(self.labels)
        columns = (self.predicted, self.baseline, self.file, self.row, *(self.scores or ()))
        sizes = [len(column) for column in columns] + ([] if self.slices is None else [len(self.slices)])
        if any(size != rows for size in sizes):
            raise ValueError(f"expected {rows} rows in every column, got {sizes}")
        if self.scores is not None and self.scores[0].shape != self.scores[1].shape:
            one, other = (scores.shape for scores in self.scores)
            raise ValueError(f"expected scores of one shape, got {one} of the model and {other} of the baseline")


@dataclass(frozen=True, eq=False)
class Fidelity(Value):
    """What two models made of the same rows.

    Args:
        joint: counts of shape [C, C, C]: true class, predicted class, class that the baseline predicted.
        gaps: differences of the scores; of no rows where one of the two has labels only.
        worst: the rows of the largest differences above 0.
        flips: the rows whose predictions differ, the largest differences first.
        slices: counts of shape [S, 5]: slice, outcome (`OUTCOMES`).
        slice_bands: counts of shape [S, 8]: slice, tolerances that the difference is above.
        unusable: reason → rows that the baseline could not do; they are nowhere else.
    """

    joint: Cells
    gaps: Gaps
    worst: KeptRows
    flips: KeptRows
    slices: Cells
    slice_bands: Cells
    unusable: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.unusable.values(), default=0) < 0:
            raise ValueError(f"counts are not negative, got {dict(self.unusable)}")
        # A copy, so that the caller cannot change this value; without zeros, so that equal rows are equal values.
        object.__setattr__(self, "unusable", {reason: rows for reason, rows in self.unusable.items() if rows})

    @classmethod
    def empty(cls, classes: int, slices: int = 0) -> Fidelity:
        """No rows yet, of C classes and S slices of all cuts together."""
        return cls(
            Cells.empty((classes,) * 3),
            Gaps.empty(classes),
            KeptRows.empty(),
            KeptRows.empty(),
            Cells.empty((slices, OUTCOMES)),
            Cells.empty((slices, BANDS)),
        )

    @classmethod
    def of(cls, classes: int, slices: int, seen: SeenTwice, unusable: Mapping[str, int]) -> Fidelity:
        """Count rows.

        Args:
            classes: C.
            slices: S, of all cuts together; 0 where rows are not cut.
            seen: the rows that both could do.
            unusable: reason → rows that the baseline could not do.

        Raises:
            ValueError: if a class or a slice lies outside, or scores are not finite or not of these classes.
        """
        for what in ("labels", "predicted", "baseline"):
            require_inside(what, getattr(seen, what), classes)
        flipped = np.flatnonzero(seen.predicted != seen.baseline)
        flat = (seen.labels * classes + seen.predicted) * classes + seen.baseline
        outcomes, bands = Cells.empty((slices, OUTCOMES)), Cells.empty((slices, BANDS))
        if seen.slices is not None:
            outcomes = Cells.of((slices, OUTCOMES), _in_slices(seen.slices, _outcomes(seen), OUTCOMES))
        gaps, gap, differing = Gaps.empty(classes), None, None
        if seen.scores is not None:
            _require_columns(seen.scores[0].shape[1], classes)
            gap, differing, band = apart(seen.scores)
            gaps = Gaps.of(classes, gap, differing, band)
            if seen.slices is not None:
                bands = Cells.of((slices, BANDS), _in_slices(seen.slices, band, BANDS))
        score = _Score(gap, differing)
        worst = np.empty(0, np.intp) if gap is None else _leading(np.flatnonzero(gap > 0), gap)
        return cls(
            Cells.of((classes,) * 3, flat, inside=True),
            gaps,
            KeptRows.of(_table(seen, score, worst)),
            KeptRows.of(_table(seen, score, _leading(flipped, gap))),
            outcomes,
            bands,
            unusable,
        )

    def merge(self, other: Fidelity) -> Fidelity:
        """Of the rows of both; raises MergeError for other classes or slices."""
        unusable = Counter(self.unusable)
        unusable.update(other.unusable)
        return Fidelity(
            self.joint.merge(other.joint),
            self.gaps.merge(other.gaps),
            self.worst.merge(other.worst),
            self.flips.merge(other.flips),
            self.slices.merge(other.slices),
            self.slice_bands.merge(other.slice_bands),
            dict(unusable),
        )

    @classmethod
    def merged(cls, values: Sequence[Fidelity]) -> Fidelity:
        """Of the rows of one or more values; raises MergeError for other classes or slices."""
        unusable: Counter[str] = Counter()
        for value in values:
            unusable.update(value.unusable)
        return cls(
            Cells.merged([value.joint for value in values]),
            Gaps.merged([value.gaps for value in values]),
            KeptRows.merged([value.worst for value in values]),
            KeptRows.merged([value.flips for value in values]),
            Cells.merged([value.slices for value in values]),
            Cells.merged([value.slice_bands for value in values]),
            dict(unusable),
        )

    @property
    def rows(self) -> int:
        """Rows that both could do."""
        return self.joint.sum()

    def cells(self) -> tuple[Counts, Counts, Counts, Counts]:
        """Filled cells as int64[K] columns, by rising class: true, predicted, predicted by the baseline, count."""
        flat, counts = self.joint.nonzero()
        size = self.joint.shape[0]
        pair, baseline = np.divmod(flat, size)
        return (*np.divmod(pair, size), baseline, counts)


@dataclass(frozen=True)
class BaselineCounts:
    """What is learnt of one baseline in the pass.

    Args:
        fidelity: its rows beside the model's.
        latency: time of each of its runs.
    """

    fidelity: Fidelity
    latency: LatencyHistogram

    def merge(self, other: BaselineCounts) -> BaselineCounts:
        """Of the rows and runs of both; raises MergeError if a layout differs."""
        return BaselineCounts(self.fidelity.merge(other.fidelity), self.latency.merge(other.latency))

    @classmethod
    def merged(cls, values: Sequence[BaselineCounts]) -> BaselineCounts:
        """Of the rows and runs of one or more values; raises MergeError if a layout differs."""
        return cls(Fidelity.merged([value.fidelity for value in values]), merged([value.latency for value in values]))


@dataclass(frozen=True)
class Baselines:
    """Every baseline that runs beside the model, by name.

    Args:
        names: of the baselines.
        values: of each, in the same order.

    Raises:
        ValueError: if there is not one value a name.
    """

    names: tuple[str, ...] = ()
    values: tuple[BaselineCounts, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.values):
            raise ValueError(f"expected one value a name, got {len(self.values)} for {', '.join(self.names)}")

    @classmethod
    def empty(cls, names: Sequence[str] = (), classes: int = 0, slices: int = 0) -> Baselines:
        """No rows yet: of some baselines, C classes and S slices."""
        none = tuple(BaselineCounts(Fidelity.empty(classes, slices), LatencyHistogram.empty()) for _ in names)
        return cls(tuple(names), none)

    def merge(self, other: Baselines) -> Baselines:
        """Of the rows of both, name by name; raises MergeError if the names differ."""
        require_same("baselines", self.names, other.names)
        pairs = zip(self.values, other.values, strict=True)
        return Baselines(self.names, tuple(one.merge(two) for one, two in pairs))

    @classmethod
    def merged(cls, values: Sequence[Baselines]) -> Baselines:
        """Of the rows of one or more values, name by name; raises MergeError if the names differ."""
        names = values[0].names
        for value in values:
            require_same("baselines", names, value.names)
        columns = zip(*(value.values for value in values), strict=True)
        return cls(names, tuple(BaselineCounts.merged(column) for column in columns))


@dataclass(frozen=True)
class _Score:
    """Largest difference float64[N] and its class int64[N]; None without scores."""

    gap: Floats | None
    differing: Ints | None


def _require_columns(columns: int, classes: int) -> None:
    """Refuse two columns for two classes: both differ by the same, and only rounding would tell them apart."""
    if columns != (expected := 1 if classes <= 2 else classes):
        raise ValueError(f"expected scores of {expected} columns for {classes} classes, got {columns}")


def _outcomes(seen: SeenTwice) -> Ints:
    """Which of the `OUTCOMES` each row is."""
    right, baseline_right = seen.predicted == seen.labels, seen.baseline == seen.labels
    outcome = np.where(right, np.where(baseline_right, 0, 1), np.where(baseline_right, 2, 3))
    outcome += ~right & ~baseline_right & (seen.predicted != seen.baseline)
    return outcome.astype(np.int64, copy=False)


def _in_slices(places: Ints, cell: Ints, width: int) -> Ints:
    """Flat cells int64[N · K] of rows in a table whose first axis is the slices int64[N, K]."""
    flat: Ints = (places * width + cell[:, None]).reshape(-1)
    return flat


def _leading(rows: NDArray[np.intp], gap: Floats | None) -> NDArray[np.intp]:
    """Those of some rows that may be among the first by difference: most rows are sorted out before they are copied."""
    if gap is None or rows.size <= KEPT:
        return rows
    own = gap[rows]
    leading: NDArray[np.intp] = rows[own >= np.partition(own, own.size - KEPT)[own.size - KEPT]]
    return leading


def _table(seen: SeenTwice, score: _Score, rows: NDArray[np.intp]) -> Ints:
    """Some rows as `KeptRows` hold them."""
    table = np.full((len(rows), len(COLUMNS)), UNKNOWN, np.int64)
    columns = (seen.file, seen.row, seen.labels, seen.predicted, seen.baseline)
    for place, column in enumerate(columns, 1):
        table[:, place] = column[rows]
    if seen.scores is not None and score.gap is not None and score.differing is not None:
        differing = score.differing[rows]
        table[:, 0], table[:, 6] = bits_of(score.gap[rows]), differing
        for place, scores in enumerate(seen.scores, 7):
            table[:, place] = bits_of(scores[rows, differing])
    return table
