"""Every mergeable value of `ortbatch.metrics` as a case for the laws."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import CELLS, HIGHEST_NS, LatencyHistogram
from ortbatch.metrics.pairs import PairedRows
from ortbatch.metrics.scores import ONE_VS_REST_BINS, ScoreHistogram
from ortbatch.metrics.slices import Cut, SliceCounts, confusion_cells, score_cells
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import ANY_CLASS, CONFIDENCE, RANKS, Tally
from ortbatch.metrics.value import zeros
from tests.laws.kit import Case, Unlike

Rows = Sequence[Any]
CLASSES = ("cat", "dog", "emu")
FATES = ("evaluated", "unlabelled", "filtered", (0, "not_finite"), (0, "unknown_label"), (7, "not_finite"))
STAGES = ("read", "prepare", "infer", "tally", "wait")

class_index = st.integers(0, len(CLASSES) - 1)
log_odds = st.floats(-30, 30) | st.sampled_from([-math.inf, math.inf, -24.0, 0.0, 24.0])
score_row = st.tuples(st.tuples(log_odds, log_odds, log_odds), class_index, st.integers(0, 1))
latency_ns = st.integers(0, 5_000) | st.integers(0, 2 * HIGHEST_NS) | st.integers(HIGHEST_NS, HIGHEST_NS + 2)


def cells_of(*shape: int) -> Callable[[Rows], Cells]:
    return lambda rows: Cells.of(shape, np.array(rows, np.int64))


def confusion_of(rows: Rows, classes: Sequence[str] = CLASSES) -> ConfusionMatrix:
    true, predicted = np.array(rows, np.int64).reshape(-1, 2).T
    return ConfusionMatrix.of(classes, true, predicted)


def scores_of(rows: Rows, bins: int = 64) -> ScoreHistogram:
    size = len(CLASSES)
    odds = np.array([row[0] for row in rows], np.float64).reshape(-1, size)
    truth = np.array([row[1] for row in rows], np.int64)[:, None] == np.arange(size)
    return ScoreHistogram.of(CLASSES, bins, odds, truth, np.array([row[2] for row in rows], np.uint8))


def latency_of(rows: Rows) -> LatencyHistogram:
    return LatencyHistogram.of(np.array(rows, np.int64))


def sum_of(rows: Rows) -> FixedSum:
    return FixedSum.of(np.array(rows, np.float64))


def coverage_of(rows: Rows) -> Coverage:
    count = Counter(rows)
    rejected = {fate: count[fate] for fate in FATES if isinstance(fate, tuple)}
    return Coverage(len(rows), count["evaluated"], count["unlabelled"], count["filtered"], rejected)


def stages_of(rows: Rows) -> StageTimes:
    return StageTimes(**{stage: sum(ns for name, ns in rows if name == stage) for stage in STAGES})


def agreement_of(rows: Rows) -> Agreement:
    return Agreement(len(rows), sum(rows))


COVERAGE = Case("Coverage", st.sampled_from(FATES), coverage_of, Coverage.empty)
UNLIKE_CELLS = (Unlike(Cells.empty((2, 3)), Cells.empty((3, 2)), ("(2, 3)", "(3, 2)")),)
CELLS_CASES = (
    # Ten rows of a leaf fill more or less than half of twelve cells: trees mix both forms.
    Case("Cells", st.integers(0, 11), cells_of(3, 4), lambda: Cells.empty((3, 4)), UNLIKE_CELLS),
    Case(
        "Cells, many and few filled",
        st.integers(0, 2) | st.integers(0, 10**8 - 1) | st.just(10**8 - 1),
        cells_of(10**4, 10**4),
        lambda: Cells.empty((10**4, 10**4)),
    ),
)
MANY_CLASSES = tuple(f"class_{index}" for index in range(300))
CONFUSION_OF_MANY = Case(
    "ConfusionMatrix of 300 classes",
    st.tuples(st.integers(0, 299), st.integers(0, 299)),
    lambda rows: confusion_of(rows, MANY_CLASSES),
    lambda: ConfusionMatrix.empty(MANY_CLASSES),
)
CONFUSION = Case(
    "ConfusionMatrix",
    st.tuples(class_index, class_index),
    confusion_of,
    lambda: ConfusionMatrix.empty(CLASSES),
    (
        Unlike(ConfusionMatrix.empty(["a", "b"]), ConfusionMatrix.empty(["a", "c"]), ("('a', 'b')", "('a', 'c')")),
        Unlike(ConfusionMatrix.empty(["a", "b"]), ConfusionMatrix.empty(["b", "a"]), ("('a', 'b')", "('b', 'a')")),
        Unlike(ConfusionMatrix.empty(["a"]), ConfusionMatrix.empty(["a", "b"]), ("('a',)", "('a', 'b')")),
    ),
)
SCORES = Case(
    "ScoreHistogram",
    score_row,
    scores_of,
    lambda: ScoreHistogram.empty(CLASSES, 64),
    (
        Unlike(ScoreHistogram.empty(["a"], 64), ScoreHistogram.empty(["b"], 64), ("('a',)", "('b',)")),
        Unlike(ScoreHistogram.empty(["a"], 64), ScoreHistogram.empty([], 64), ("('a',)", "()")),
        Unlike(ScoreHistogram.empty(["a"], 64), ScoreHistogram.empty(["a"], 128), ("68)", "132)")),
    ),
)
LATENCY = Case(
    "LatencyHistogram",
    latency_ns,
    latency_of,
    LatencyHistogram.empty,
    (Unlike(LatencyHistogram.empty(), LatencyHistogram(zeros(1)), (f"({CELLS},)", "(1,)")),),
)
SUM = Case("FixedSum", st.floats(-(2**20), 2**20), sum_of, FixedSum.empty)
STAGE_TIMES = Case(
    "StageTimes", st.tuples(st.sampled_from(STAGES), st.integers(0, 10**12)), stages_of, StageTimes.empty
)
AGREEMENT = Case("Agreement", st.booleans(), agreement_of, Agreement.empty)

CONFIDENCE_SCORES = Case(
    "ScoreHistogram of the predicted class",
    st.tuples(log_odds, st.booleans(), st.integers(0, 1)),
    lambda rows: ScoreHistogram.of(
        CONFIDENCE,
        ONE_VS_REST_BINS,
        np.array([row[0] for row in rows], np.float64).reshape(-1, 1),
        np.array([row[1] for row in rows], np.bool_).reshape(-1, 1),
        np.array([row[2] for row in rows], np.uint8),
    ),
    lambda: ScoreHistogram.empty(CONFIDENCE, ONE_VS_REST_BINS),
)
RANK_CELLS = Case("Cells of ranks", st.integers(0, RANKS), cells_of(RANKS + 1), lambda: Cells.empty((RANKS + 1,)))
CUTS = (Cut(("country",), (("DE",), ("FR",))), Cut(("country", "vip"), (("DE", "true"), ("(null)", "false")), 7))


def slices_of(rows: Rows, curves: int = 1) -> SliceCounts:
    columns = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
    places, true = columns[:, :2] + [0, CUTS[0].slices], columns[:, 2]
    cells = confusion_cells(places, true * 3 + columns[:, 3], 3)
    scores = score_cells(places, np.array([row[4] for row in rows], np.float64), true == 1)
    return SliceCounts.empty(CUTS, 3, curves).of_cells(cells, scores if curves == 1 else scores[:0])


place = st.integers(0, 2)
slice_row = st.tuples(place, place, class_index, class_index, log_odds)
SLICES = Case(
    "SliceCounts",
    slice_row,
    slices_of,
    lambda: SliceCounts.empty(CUTS, 3, 1),
    (
        Unlike(SliceCounts(), SliceCounts.empty(CUTS, 3, 1), ("()", "Cut(by=('country',)")),
        Unlike(SliceCounts.empty(CUTS, 3, 1), SliceCounts.empty(CUTS, 2, 1), ("(6, 3, 3)", "(6, 2, 2)")),
        Unlike(SliceCounts.empty(CUTS, 3, 1), SliceCounts.empty(CUTS, 3, 0), ("(6, 2, 1028)", "(0, 2, 1028)")),
        Unlike(
            SliceCounts.empty([Cut(("a",), (("x",),))], 3, 1),
            SliceCounts.empty([Cut(("a",), (("y",),))], 3, 1),
            ("('x',)", "('y',)"),
        ),
    ),
)
NO_SLICES = Case("SliceCounts of no cuts", st.none(), lambda _: SliceCounts(), lambda: SliceCounts.empty((), 3, 1))
SLICES_WITHOUT_SCORES = Case(
    "SliceCounts without scores",
    slice_row,
    lambda rows: slices_of(rows, curves=3),
    lambda: SliceCounts.empty(CUTS, 3, 3),
)
LOST_LABELS = Case(
    "Cells of rejected labels", class_index, cells_of(ANY_CLASS), lambda: Cells.empty((ANY_CLASS,))
)  # fmt: skip

PARTS = (
    COVERAGE, CONFUSION, SCORES, SUM, SUM, LATENCY, STAGE_TIMES, AGREEMENT, CONFIDENCE_SCORES, RANK_CELLS, SUM, SUM,
    LOST_LABELS, SLICES_WITHOUT_SCORES,
)  # fmt: skip


def tally_of(rows: Rows) -> Tally:
    columns = [[row[part] for row in rows] for part in range(len(PARTS))]
    coverage, confusion, scores, loss, brier, latency, stages, own_label, *added, sliced = columns
    return Tally(
        coverage_of(coverage),
        confusion_of(confusion),
        scores_of(scores, ONE_VS_REST_BINS),
        sum_of(loss),
        sum_of(brier),
        latency_of(latency),
        stages_of(stages),
        agreement_of(own_label),
        *(part.of(rows) for part, rows in zip(PARTS[8:-1], added, strict=True)),
        slices=slices_of(sliced, curves=3),
    )


TALLY = Case(
    "Tally",
    st.tuples(*(part.row for part in PARTS)),
    tally_of,
    lambda: Tally.empty(CLASSES, CLASSES, CUTS),
    (
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "c"], []), ("('a', 'b')", "('a', 'c')")),
        Unlike(Tally.empty(["a", "b"], ["a"]), Tally.empty(["a", "b"], ["b"]), ("('a',)", "('b',)")),
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "b"], ["b"]), ("()", "('b',)")),
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "b"], [], CUTS), ("()", "Cut(by=('country',)")),
    ),
)


def pairs_of(rows: Rows) -> PairedRows:
    columns = np.array(rows, np.int64).reshape(-1, 4)
    return PairedRows.of(CLASSES, (columns[:, 0], columns[:, 1]), (columns[:, 2], columns[:, 3]))


class_or_none = st.integers(-1, len(CLASSES) - 1)
PAIRS = Case(
    "PairedRows",
    # A row has one label, which a run that did not evaluate it does not know.
    st.tuples(class_index, st.booleans(), st.booleans(), class_or_none, class_or_none).map(
        lambda row: (row[0] if row[1] else -1, row[0] if row[2] else -1, *row[3:])
    ),
    pairs_of,
    lambda: PairedRows.empty(CLASSES),
    (Unlike(PairedRows.empty(["a", "b"]), PairedRows.empty(["a", "c"]), ("('a', 'b')", "('a', 'c')")),),
)

CASES = (
    *CELLS_CASES, CONFUSION, CONFUSION_OF_MANY, SCORES, LATENCY, SUM, COVERAGE, STAGE_TIMES, AGREEMENT, SLICES,
    SLICES_WITHOUT_SCORES, NO_SLICES, PAIRS, TALLY,
)  # fmt: skip
