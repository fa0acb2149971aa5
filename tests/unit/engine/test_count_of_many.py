"""What is counted of models of many classes: how sure, how far down the list, and how the losses spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit, softmax
from sklearn.metrics import log_loss, top_k_accuracy_score

from ortbatch.engine.evaluation import UNLABELLED
from ortbatch.metrics.scores import ONE_VS_REST_BINS, cells_of
from ortbatch.metrics.tally import RANKS
from ortbatch.model.outputs import Decision, Output
from ortbatch.model.probabilities import LogOdds, Softmax, Table
from tests.unit.engine.test_count import BINARY, MANY, counted, outcomes

# Beyond 20 classes there are no curves, and probabilities are not all made.
WIDE = Decision(Output("out", "logits", 30, "job"), tuple(f"class_{index}" for index in range(30)), None, 0.5)
OF_MANY = pytest.mark.parametrize("decision", [MANY, WIDE], ids=["with curves", "without"])


def good_rows(decision: Decision, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and halves of the rows that are evaluated."""
    made = outcomes(decision, seed)
    raw = np.concatenate([outcome.answers.raw for outcome in made]).astype(np.float64)
    labels, half = (np.concatenate([getattr(o, name) for o in made]) for name in ("labels", "half"))
    good = np.isfinite(raw).all(axis=1) & (labels != UNLABELLED)
    return softmax(raw[good], axis=1), labels[good], half[good]


@OF_MANY
def test_how_far_down_the_list_a_label_stands_is_that_of_scikit_learn(decision: Decision) -> None:
    probabilities, labels, _ = good_rows(decision, 11)
    ranks = counted(decision, [outcomes(decision, 11)]).ranks.dense()
    classes = np.arange(len(decision.classes))
    for k in range(1, min(RANKS, classes.size - 1) + 1):
        hits = top_k_accuracy_score(labels, probabilities, k=k, labels=classes, normalize=False)
        assert ranks[:k].sum() == hits, k
    assert ranks.sum() == labels.size


@pytest.mark.parametrize("kind", ["table", "softmax"])
def test_of_equal_scores_the_higher_index_goes_first_as_in_scikit_learn(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4, (500, 6)).astype(np.float64)
    labels = rng.integers(0, 6, 500)
    made = (
        Table(values, None)
        if kind == "table"
        else Softmax(values / values.max(axis=1, keepdims=True), values.sum(axis=1))
    )
    rank = made.rank(labels)
    for k in range(1, 6):
        assert (rank < k).sum() == top_k_accuracy_score(labels, values, k=k, labels=range(6), normalize=False)


def test_the_label_of_a_binary_model_stands_first_where_it_is_likelier() -> None:
    assert LogOdds(np.array([1.0, -1.0, 2.0]), 1).rank(np.array([1, 1, 0])).tolist() == [0, 1, 1]


@OF_MANY
def test_how_sure_a_prediction_is_stands_beside_whether_it_is_right(decision: Decision) -> None:
    probabilities, labels, half = good_rows(decision, 12)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    cells = cells_of(logit(sure), ONE_VS_REST_BINS)
    expected = np.zeros((2, 2, ONE_VS_REST_BINS + 4), int)
    np.add.at(expected, (half, right.astype(int), cells), 1)
    counts = counted(decision, [outcomes(decision, 12)]).confidence.counts[0]
    # A cell's edge may lie between two ways to round.
    assert np.abs(np.cumsum(counts - expected, axis=2)).max() <= 1
    assert counts.sum(axis=2).tolist() == expected.sum(axis=2).tolist()


@OF_MANY
def test_squares_of_the_losses_are_summed(decision: Decision) -> None:
    probabilities, labels, _ = good_rows(decision, 13)
    tally = counted(decision, [outcomes(decision, 13)])
    own = probabilities[np.arange(labels.size), labels]
    errors = ((probabilities - np.eye(len(decision.classes))[labels]) ** 2).sum(axis=1)
    assert tally.log_loss.result() == pytest.approx(
        log_loss(labels, probabilities, labels=range(len(decision.classes)))
    )
    assert tally.log_loss_squares.result() == pytest.approx((np.log(own) ** 2).mean(), abs=1e-9)
    assert tally.brier_squares.result() == pytest.approx((errors**2).mean(), abs=1e-9)


def test_a_binary_model_needs_none_of_it() -> None:
    tally = counted(BINARY, [outcomes(BINARY, 14)])
    assert (tally.confidence.table.sum(), tally.ranks.sum(), tally.log_loss_squares.rows) == (0, 0, 0)


@pytest.mark.parametrize("decision", [BINARY, MANY], ids=["binary", "many"])
def test_labels_of_rejected_rows_are_counted_where_they_are_known(decision: Decision) -> None:
    made = outcomes(decision, 15)
    lost = [label for outcome in made for label in outcome.rejected_labels.tolist()]
    for outcome in made:
        bad = ~np.isfinite(outcome.answers.raw).all(axis=1) & (outcome.labels != UNLABELLED)
        lost += outcome.labels[bad].tolist()
    classes, counts = counted(decision, [made]).rejected_labels.nonzero()
    expected = np.bincount(lost, minlength=len(decision.classes))
    assert dict(zip(classes.tolist(), counts.tolist(), strict=True)) == {
        place: rows for place, rows in enumerate(expected.tolist()) if rows
    }
