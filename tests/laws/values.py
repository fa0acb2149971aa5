"""Every mergeable value of `ortbatch.metrics` as a case for the laws."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.fidelity import BaselineCounts, Baselines, Fidelity, SeenTwice
from ortbatch.metrics.kept import KeptRows
from ortbatch.metrics.latency import CELLS, HIGHEST_NS, LatencyHistogram
from ortbatch.metrics.matches import Matches
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

PLACES = sum(cut.slices for cut in CUTS)


def fidelity_of(rows: Rows) -> Fidelity:
    """Of rows that are a reason, or a row seen twice with probabilities."""
    unusable = Counter(row for row in rows if isinstance(row, str))
    seen = [row for row in rows if not isinstance(row, str)]
    columns = np.array([row[:7] for row in seen], np.int64).reshape(-1, 7).T
    scores = np.array([row[7] for row in seen], np.float64).reshape(-1, 2, 3)
    slices = columns[5:].T + np.array([0, CUTS[0].slices])
    both = SeenTwice(*columns[:5], (scores[:, 0], scores[:, 1]), slices)
    return Fidelity.of(3, PLACES, both, unusable)


def labels_only_of(rows: Rows) -> Fidelity:
    """Of rows of two models that put out labels only."""
    return Fidelity.of(3, 0, SeenTwice(*np.array(rows, np.int64).reshape(-1, 5).T), {})


probability = st.floats(0, 1) | st.sampled_from([0.0, 2.0**-41, 1e-7, 0.5, 0.5 + 2.0**-53, 1.0])
# Few files, rows and scores: differences that are equal to the bit are common.
place_in_file = st.tuples(st.integers(0, 1), st.integers(0, 3) | st.integers(0, 10**12))
three_scores = st.tuples(probability, probability, probability)
seen_row = st.tuples(
    class_index, class_index, class_index, place_in_file, place, place, st.tuples(three_scores, three_scores)
).map(lambda row: (*row[:3], *row[3], *row[4:]))
FIDELITY = Case(
    "Fidelity",
    seen_row | st.sampled_from(["timeout", "nan_score"]),
    fidelity_of,
    lambda: Fidelity.empty(3, PLACES),
    (
        Unlike(Fidelity.empty(2), Fidelity.empty(3), ("(2, 2, 2)", "(3, 3, 3)")),
        Unlike(Fidelity.empty(3, 4), Fidelity.empty(3, 6), ("(4, 5)", "(6, 5)")),
    ),
)
FIDELITY_OF_LABELS = Case(
    "Fidelity of labels only",
    st.tuples(class_index, class_index, class_index, st.integers(0, 1), st.integers(0, 30)),
    labels_only_of,
    lambda: Fidelity.empty(3),
)
KEPT_ROWS = Case(
    "KeptRows",
    st.tuples(*[st.integers(0, 2)] * 9) | st.tuples(st.just(-1), *[st.integers(0, 1)] * 8),
    lambda rows: KeptRows.of(np.array(rows, np.int64).reshape(-1, 9)),
    KeptRows.empty,
)
BASELINE_NAMES = ("torch", "int8")


def baselines_of(rows: Rows) -> Baselines:
    """Of rows that two baselines saw, each with a time."""
    columns = [[row[at] for row in rows] for at in range(4)]
    values = [BaselineCounts(fidelity_of(columns[at]), latency_of(columns[at + 1])) for at in (0, 2)]
    return Baselines(BASELINE_NAMES, tuple(values))


BASELINES = Case(
    "Baselines",
    st.tuples(FIDELITY.row, latency_ns, FIDELITY.row, latency_ns),
    baselines_of,
    lambda: Baselines.empty(BASELINE_NAMES, 3, PLACES),
    (
        Unlike(Baselines(), Baselines.empty(["torch"], 3), ("()", "('torch',)")),
        Unlike(Baselines.empty(["a", "b"], 3), Baselines.empty(["b", "a"], 3), ("('a', 'b')", "('b', 'a')")),
        Unlike(Baselines.empty(["a"], 2), Baselines.empty(["a"], 3), ("(2, 2, 2)", "(3, 3, 3)")),
    ),
)
# A tally has so many parts that rows of baselines are chosen rather than drawn.
few_rows = st.sampled_from(
    [
        "timeout",
        (0, 0, 0, 0, 1, 0, 0, ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))),
        (0, 0, 1, 1, 0, 1, 2, ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25))),
        (2, 1, 1, 0, 7, 2, 1, ((0.1, 0.7, 0.2), (0.1, 0.7, 0.2 + 2.0**-41))),
        (1, 2, 0, 1, 9, 0, 0, ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0))),
    ]
)
BASELINES_OF_FEW_ROWS = replace(BASELINES, row=st.tuples(few_rows, latency_ns, few_rows, latency_ns))
NO_BASELINES = Case("Baselines of no models", st.none(), lambda _: Baselines(), Baselines.empty)

PARTS = (
    COVERAGE, CONFUSION, SCORES, SUM, SUM, LATENCY, STAGE_TIMES, AGREEMENT, CONFIDENCE_SCORES, RANK_CELLS, SUM, SUM,
    LOST_LABELS, SLICES_WITHOUT_SCORES, BASELINES_OF_FEW_ROWS,
)  # fmt: skip


def tally_of(rows: Rows) -> Tally:
    columns = [[row[part] for row in rows] for part in range(len(PARTS))]
    coverage, confusion, scores, loss, brier, latency, stages, own_label, *added, sliced, beside = columns
    return Tally(
        coverage_of(coverage),
        confusion_of(confusion),
        scores_of(scores, ONE_VS_REST_BINS),
        sum_of(loss),
        sum_of(brier),
        latency_of(latency),
        stages_of(stages),
        agreement_of(own_label),
        *(part.of(rows) for part, rows in zip(PARTS[8:-2], added, strict=True)),
        slices=slices_of(sliced, curves=3),
        baselines=baselines_of(beside),
    )


TALLY = Case(
    "Tally",
    st.tuples(*(part.row for part in PARTS)),
    tally_of,
    lambda: Tally.empty(CLASSES, CLASSES, CUTS, BASELINE_NAMES),
    (
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "c"], []), ("('a', 'b')", "('a', 'c')")),
        Unlike(Tally.empty(["a", "b"], ["a"]), Tally.empty(["a", "b"], ["b"]), ("('a',)", "('b',)")),
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "b"], ["b"]), ("()", "('b',)")),
        Unlike(Tally.empty(["a", "b"], []), Tally.empty(["a", "b"], [], CUTS), ("()", "Cut(by=('country',)")),
        Unlike(Tally.empty(["a"], []), Tally.empty(["a"], [], (), ["torch"]), ("()", "('torch',)")),
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


def matches_of(rows: Rows) -> Matches:
    columns = np.array([row for row in rows if row[0] >= 0], np.int64).reshape(-1, 3)
    unusable = sum(row[0] == -2 for row in rows)
    return Matches.of(len(rows), unusable, columns[:, 0], columns[:, 1], columns[:, 2])


MATCHES = Case(
    "Matches",
    # -2: without inputs. -1: of inputs that are not known.
    st.tuples(st.integers(-2, 3), st.integers(-1, 2), st.integers(0, 1_000)),
    matches_of,
    Matches.empty,
)

CASES = (
    *CELLS_CASES, CONFUSION, CONFUSION_OF_MANY, SCORES, LATENCY, SUM, COVERAGE, STAGE_TIMES, AGREEMENT, SLICES,
    SLICES_WITHOUT_SCORES, NO_SLICES, PAIRS, MATCHES, FIDELITY, FIDELITY_OF_LABELS, KEPT_ROWS, BASELINES, NO_BASELINES,
    TALLY,
)  # fmt: skip
