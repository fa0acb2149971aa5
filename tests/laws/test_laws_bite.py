"""The kit of laws rejects values that are broken, each by the law that it breaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.laws import broken, kit
from tests.laws.broken import KINDS, Sound
from tests.laws.kit import LAWS, Case, Law, Unlike
from tests.laws.values import KEPT_ROWS


def case_of(value: type[Sound]) -> Case:
    unlike = Unlike(value.empty(KINDS), value.empty(KINDS[::-1]), (repr(KINDS), repr(KINDS[::-1])))
    return Case(value.__name__, st.integers(0, len(KINDS) - 1), value.of, value.empty, (unlike,))


def hold(value: type[Sound], law: Law) -> None:
    hold_case(case_of(value), law)


def hold_case(case: Case, law: Law) -> None:
    @settings(phases=[Phase.generate], max_examples=100)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        law(case, data)

    attempt()


@pytest.mark.parametrize("law", [*LAWS, kit.unlike_layouts], ids=lambda law: law.__name__)
def test_the_kit_accepts_a_sound_value(law: Law) -> None:
    hold(Sound, law)


@pytest.mark.parametrize(
    ("value", "law"),
    [
        (broken.EmptyIsOne, kit.identity),
        (broken.FirstOfMany, kit.many_at_once),
        (broken.WritableOfMany, kit.many_at_once),
        (broken.ManyOfAnyLayout, kit.unlike_layouts),
        (broken.Float32Counts, kit.associativity),
        (broken.Float32Counts, kit.any_tree_of_any_order),
        (broken.LastValue, kit.commutativity),
        (broken.LastValue, kit.any_tree_of_any_order),
        (broken.MeanOfMeans, kit.associativity),
        (broken.Mutating, kit.purity),
        (broken.Aliasing, kit.purity),
        (broken.Writable, kit.purity),
        (broken.DropsRowsOfLargeBatches, kit.homomorphism),
        (broken.CountsDistinctRows, kit.homomorphism),
        (broken.LossyPickle, kit.pickling),
        (broken.WritableAfterPickle, kit.pickling),
        (broken.AlwaysEqual, kit.equality),
        (broken.BlindToLayout, kit.unlike_layouts),
        (broken.VagueRefusal, kit.unlike_layouts),
    ],
    ids=lambda item: item.__name__,
)
def test_laws_bite(value: type[Sound], law: Law) -> None:
    with pytest.raises(AssertionError):
        hold(value, law)


@pytest.mark.parametrize("law", [kit.commutativity, kit.homomorphism, kit.any_tree_of_any_order])
def test_laws_bite_where_the_rows_that_came_first_are_kept(law: Law) -> None:
    first_comers = replace(
        KEPT_ROWS, of=lambda rows: broken.FirstComers(KEPT_ROWS.of(rows).table), empty=broken.FirstComers.empty
    )
    with pytest.raises(AssertionError):
        hold_case(first_comers, law)
