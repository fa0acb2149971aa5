"""Intervals of differences and McNemar's test against statsmodels, published tables, and counting."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from ortbatch.metrics.differences import (
    Bounded,
    JointCounts,
    at_level,
    independent_difference,
    mcnemar_mid_p,
    paired_difference,
)
from ortbatch.metrics.intervals import wilson

COUNT = st.integers(0, 400)


def shares(old: tuple[int, int], new: tuple[int, int], confidence: float = 0.95) -> tuple[Bounded, Bounded]:
    one, other = (Bounded(x / n, *wilson(x, n, confidence)) for x, n in (old, new))
    return one, other


@given(COUNT, COUNT)
def test_mid_p_is_the_exact_p_less_the_point_probability(lost: int, won: int) -> None:
    exact = mcnemar(np.array([[10, lost], [won, 10]]), exact=True).pvalue
    point = binom.pmf(min(lost, won), lost + won, 0.5)
    # Two equal counts: half of it, by the paper's own rule.
    assert mcnemar_mid_p(lost, won) == pytest.approx(exact - (point / 2 if lost == won else point) * (lost + won > 0))


def test_mid_p_of_the_published_table() -> None:
    """Bentur et al. (2009), as in Fagerland, Lydersen & Laake (2013): exact 0.0703, mid-p 0.0391."""
    assert mcnemar_mid_p(7, 1) == pytest.approx(0.0391, abs=5e-5)


@given(COUNT, COUNT)
def test_mid_p_is_between_0_and_1_and_knows_no_sides(lost: int, won: int) -> None:
    assert 0 < mcnemar_mid_p(lost, won) <= 1
    assert mcnemar_mid_p(lost, won) == mcnemar_mid_p(won, lost)


@pytest.mark.parametrize(("lost", "won"), [(0, 1), (3, 9), (6, 6), (0, 40), (17, 30)])
def test_mid_p_is_that_of_all_outcomes_counted(lost: int, won: int) -> None:
    n, fewer = lost + won, min(lost, won)
    chance = [Fraction(math.comb(n, k), 2**n) for k in range(n + 1)]
    least, seen = sum(chance[:fewer], Fraction(0)), chance[fewer]
    mid = 1 - seen / 2 if lost == won else 2 * (least + seen / 2)
    assert mcnemar_mid_p(lost, won) == pytest.approx(float(mid), rel=1e-12)


def test_mid_p_without_discordant_rows_is_1() -> None:
    assert mcnemar_mid_p(0, 0) == 1.0


def test_mid_p_holds_beyond_int32() -> None:
    lost, won = 3 * 10**9, 3 * 10**9 + 160_000
    z = (won - lost) / math.sqrt(won + lost)
    assert mcnemar_mid_p(lost, won) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-4)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="counts are not negative"):
        mcnemar_mid_p(-1, 3)
    with pytest.raises(ValueError, match="counts are not negative"):
        JointCounts(1, -1, 0, 0)


@given(st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_unpaired_interval_is_newcombes_of_statsmodels(data: Any, confidence: float) -> None:
    old_rows, new_rows = data.draw(st.integers(1, 500)), data.draw(st.integers(1, 500))
    old, new = data.draw(st.integers(0, old_rows)), data.draw(st.integers(0, new_rows))
    found = independent_difference(*shares((old, old_rows), (new, new_rows), confidence))
    wanted = confint_proportions_2indep(
        new, new_rows, old, old_rows, compare="diff", method="newcomb", alpha=1 - confidence
    )
    assert found == pytest.approx(wanted, abs=1e-9)


PUBLISHED = {
    "the table 36, 12, 2, 0 of Newcombe (1998)": ((36, 2, 12, 0), (0.0569, 0.3404)),
    "Bentur et al. (2009), in Fagerland, Lydersen & Laake (2014)": ((1, 7, 1, 12), (-0.507, -0.026)),
}


@pytest.mark.parametrize("source", PUBLISHED)
def test_the_paired_interval_is_the_published_one(source: str) -> None:
    counts, wanted = PUBLISHED[source]
    digits = len(str(wanted[0]).rpartition(".")[2])
    assert paired_difference(JointCounts(*counts)) == pytest.approx(wanted, abs=0.5001 * 10**-digits)


@given(COUNT, COUNT, COUNT, COUNT)
def test_the_paired_interval_holds_its_value_and_turns_with_its_sides(a: int, b: int, c: int, d: int) -> None:
    if not a + b + c + d:
        return
    joint, turned = JointCounts(a, b, c, d), JointCounts(a, c, b, d)
    low, high = paired_difference(joint)
    assert -1 <= low <= joint.difference <= high <= 1
    assert paired_difference(turned) == pytest.approx((-high, -low), abs=1e-12)


@given(st.integers(1, 5_000), st.integers(0, 5_000))
def test_without_discordant_rows_the_interval_has_a_width_and_0_in_it(right: int, wrong: int) -> None:
    low, high = paired_difference(JointCounts(right, 0, 0, wrong))
    assert low < 0 < high
    assert low == pytest.approx(-high)


@pytest.mark.parametrize("joint", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_one_row_has_an_interval_that_says_almost_nothing(joint: tuple[int, int, int, int]) -> None:
    low, high = paired_difference(JointCounts(*joint))
    assert high - low > 1


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no row to compare"):
        paired_difference(JointCounts(0, 0, 0, 0))


def test_pairing_is_narrower_where_models_err_alike() -> None:
    joint = JointCounts(8_900, 20, 80, 1_000)
    low, high = paired_difference(joint)
    apart = independent_difference(*shares((8_920, 10_000), (8_980, 10_000)))
    assert high - low < (apart[1] - apart[0]) / 3
    assert apart[0] < 0 < low


COVERED = {"alike": (0.80, 0.03, 0.05, 0.12), "apart": (0.50, 0.20, 0.10, 0.20), "rare": (0.97, 0.005, 0.015, 0.01)}


@pytest.mark.parametrize("case", COVERED)
def test_the_paired_interval_covers_the_truth_as_often_as_it_says(case: str) -> None:
    share = np.array(COVERED[case])
    draws = np.random.default_rng(0).multinomial(400, share, size=2_000)
    truth = share[2] - share[1]
    covered = sum(low <= truth <= high for low, high in (paired_difference(JointCounts(*map(int, d))) for d in draws))
    # The simulation itself is 0.5% uncertain.
    assert 0.935 <= covered / 2_000 <= 0.985


def test_an_interval_at_another_level_is_scaled_and_stays_within_reach() -> None:
    wider = at_level(Bounded(0.9, 0.8, 0.95), 0.99, (0.0, 1.0))
    assert wider.low == pytest.approx(0.9 - 0.1 * 2.5758 / 1.95996, abs=1e-4)
    assert at_level(Bounded(0.9, 0.1, 0.99), 0.999, (0.0, 1.0)) == Bounded(0.9, 0.0, 1.0)
    assert at_level(Bounded(0.9, 0.8, 0.95), 0.95, (0.0, 1.0)).low == pytest.approx(0.8)
