"""Agreement beyond chance: Cohen's kappa, as scikit-learn has it, and nothing to say where one class is all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from ortbatch.draft.agreement import Agreement


def agreement(labels: np.ndarray, predicted: np.ndarray) -> Agreement:
    there, said = (np.bincount(side, minlength=4) for side in (labels, predicted))
    return Agreement(labels.size, int((labels == predicted).sum()), float(there @ said) / labels.size)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, noise = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    predicted = np.where(rng.random(300) < 0.5, labels, noise)
    assert agreement(labels, predicted).kappa == pytest.approx(cohen_kappa_score(labels, predicted))


def test_a_rare_class_that_is_found_says_something_and_the_usual_answer_does_not() -> None:
    labels = np.repeat([0, 1], [980, 20])
    assert agreement(labels, np.repeat([0, 1], [985, 15])).says_something
    assert not agreement(labels, np.zeros(1000, np.int64)).says_something


def test_predictions_that_have_nothing_to_do_with_the_labels_say_nothing() -> None:
    rng = np.random.default_rng(0)
    said = [agreement(rng.integers(0, 4, 500), rng.integers(0, 4, 500)).says_something for _ in range(200)]
    assert sum(said) <= 4


def test_rows_of_one_class_say_nothing() -> None:
    assert not agreement(np.zeros(50, np.int64), np.zeros(50, np.int64)).says_something


def test_no_rows_say_nothing() -> None:
    assert Agreement(0, 0, 0.0).says_something is False
    assert Agreement(0, 0, 0.0).kappa == 0
