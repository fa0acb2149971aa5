"""Counting outcomes: a plain loop over rows says the same, however the rows are grouped and cut."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ortbatch.engine import count
from ortbatch.engine.count import Answers, Count, Outcome
from ortbatch.engine.evaluation import UNLABELLED
from ortbatch.metrics.slices import Cut, SliceCounts
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Decision, Output

NAN, INF = math.nan, math.inf
BINARY = Decision(Output("out", "logits", 2, "job"), ("no", "yes"), 1, 0.3)
MANY = Decision(Output("out", "logits", 4, "job"), tuple("abcd"), None, 0.5)
CUTS = (Cut(("a",), (("x",), ("y",))), Cut(("b", "c"), (("x", "y"),)))
OWN = replace(MANY, output=replace(MANY.output, own_label="label", own_by_place=True))


def evaluation(decision: Decision) -> Any:
    """As much of an evaluation as counting looks at."""
    return SimpleNamespace(
        decision=decision, baselines=(), empty=lambda: Tally.empty(decision.classes, decision.curves, CUTS)
    )


def outcomes(decision: Decision, seed: int, rows: int = 300) -> list[Outcome]:
    """Rows of three files with bad scores and missing labels, in outcomes of 0 to 40 rows."""
    rng, classes = np.random.default_rng(seed), len(decision.classes)
    made = []
    while rows > 0:
        size = min(rows, int(rng.integers(0, 40)))
        raw = rng.normal(size=(size, classes)).astype(np.float32)
        for bad in (NAN, INF):
            raw[rng.random(size) < 0.1, int(rng.integers(classes))] = bad
        labels = rng.integers(0, classes, size)
        labels[rng.random(size) < 0.1] = UNLABELLED
        own = rng.integers(0, classes, size) if decision.output.own_label else None
        answers = Answers(slice(0, size), raw, own, [int(ns) for ns in rng.integers(1, 10_000, 2)])
        rejected = {"null_label": int(rng.integers(0, 3))}
        made.append(
            Outcome(
                int(rng.integers(3)), labels, rng.integers(0, 2, size).astype(np.uint8), answers, rejected,
                int(rng.integers(0, 3)), rng.integers(0, classes, int(rng.integers(0, 3))),
                slices=np.column_stack([rng.integers(0, 3, size), rng.integers(3, 5, size)]),
            )
        )  # fmt: skip
        rows -= size
    return made


def counted(decision: Decision, groups: list[list[Outcome]]) -> Tally:
    counting = Count(evaluation(decision))
    for group in groups:
        counting.add(group)
    return counting.tally()


@pytest.mark.parametrize("decision", [BINARY, MANY, OWN], ids=["binary", "many", "own label"])
@pytest.mark.parametrize("seed", range(5))
def test_neither_groups_nor_cuts_can_be_seen(monkeypatch: pytest.MonkeyPatch, decision: Decision, seed: int) -> None:
    made = outcomes(decision, seed)
    whole = counted(decision, [made])
    monkeypatch.setattr(count, "_RUN_VALUES", 30)
    monkeypatch.setattr(count, "_RUN_ROWS_AT_LEAST", 1)
    monkeypatch.setattr(count, "_GATHERED_VALUES", 50)
    order = random.Random(seed)
    order.shuffle(made)
    cuts = sorted(order.sample(range(1, len(made)), 4))
    groups = [made[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(made)], strict=True)]
    assert counted(decision, groups) == whole


@pytest.mark.parametrize("decision", [BINARY, OWN], ids=["binary", "own label"])
def test_counts_are_those_of_a_loop_over_rows(decision: Decision) -> None:
    made = outcomes(decision, 7)
    classes = len(decision.classes)
    confusion = np.zeros((classes, classes), int)
    rejected: Counter[tuple[int, str]] = Counter()
    unlabelled = agreeing = 0
    losses, errors = [], []
    sliced = np.zeros((5, classes, classes), int)
    for outcome in made:
        rejected[outcome.file, "null_label"] += outcome.rejected["null_label"]
        for place, (scores, label) in enumerate(zip(outcome.answers.raw.tolist(), outcome.labels, strict=True)):
            if any(math.isnan(s) for s in scores):
                rejected[outcome.file, "nan_score"] += 1
            elif any(math.isinf(s) for s in scores):
                rejected[outcome.file, "infinite_score"] += 1
            elif label == UNLABELLED:
                unlabelled += 1
            else:
                parts = [math.exp(s - max(scores)) for s in scores]
                p = [part / sum(parts) for part in parts]
                predicted = int(p[1] >= 0.3) if decision is BINARY else scores.index(max(scores))
                confusion[label, predicted] += 1
                sliced[outcome.slices[place], label, predicted] += 1
                losses.append(-math.log(p[label]))
                errors.append(
                    (p[1] - label) ** 2 if decision is BINARY else sum((q - (c == label)) ** 2 for c, q in enumerate(p))
                )
                own = outcome.answers.own
                agreeing += own is not None and int(own[place]) == predicted
    tally = counted(decision, [made])
    assert tally.confusion.counts.tolist() == confusion.tolist()
    assert tally.slices.confusion.dense().tolist() == sliced.tolist()
    assert tally.slices.scores.sum() == (2 * confusion.sum() if decision is BINARY else 0)
    assert tally.coverage.rejected_rows == {key: rows for key, rows in rejected.items() if rows}
    assert (tally.coverage.evaluated, tally.coverage.unlabelled) == (confusion.sum(), unlabelled)
    assert tally.coverage.filtered == sum(outcome.filtered for outcome in made)
    assert tally.coverage.planned == sum(outcome.rows for outcome in made)
    assert tally.log_loss.result() == pytest.approx(np.mean(losses), abs=1e-12)
    assert tally.brier.result() == pytest.approx(np.mean(errors), abs=1e-12)
    assert tally.scores.counts[0].sum() == confusion.sum()
    if decision is OWN:
        assert (tally.own_label.rows, tally.own_label.agreeing) == (confusion.sum(), agreeing)


def test_a_tally_is_begun_anew_when_it_was_taken() -> None:
    made = outcomes(BINARY, 1)
    counting = Count(evaluation(BINARY))
    counting.add(made)
    first = counting.tally()
    assert counting.tally() == Tally.empty(BINARY.classes, BINARY.curves, CUTS)
    counting.add(made)
    assert counting.tally() == first


def test_scores_of_slices_are_those_of_all_rows_in_coarser_bins() -> None:
    tally = counted(BINARY, [outcomes(BINARY, 3)])
    fine = tally.scores.table.dense()[0].sum(axis=0)
    coarse = tally.slices.scores.dense()
    # Every row is in one slice of each way to cut: 0 to 2, and 3 to 4.
    inner = fine[:, 2:-2].reshape(2, 1_024, -1).sum(axis=2)
    for slices in (coarse[:3], coarse[3:]):
        assert slices.sum(axis=0)[:, 2:-2].tolist() == inner.tolist()


def test_rows_that_nothing_cuts_are_in_no_slice() -> None:
    made = [replace(outcome, slices=None) for outcome in outcomes(BINARY, 3)]
    counting = Count(
        SimpleNamespace(decision=BINARY, baselines=(), empty=lambda: Tally.empty(BINARY.classes, BINARY.curves))
    )
    counting.add(made)
    tally = counting.tally()
    assert tally.slices == SliceCounts()
    assert tally.confusion == counted(BINARY, [outcomes(BINARY, 3)]).confusion
