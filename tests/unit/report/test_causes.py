"""The cause that is named is the one that was made: small networks and trees, changed as conversions change them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.slices import Cut
from ortbatch.report.causes import cause_of
from tests.unit.report.made_fidelity import Pair
from tests.unit.report.networks import Trained, binary, digits, float16, int8, trees

SEEDS = pytest.mark.parametrize("seed", range(4))
BOTH = pytest.mark.parametrize("trained", [digits, binary], ids=["digits", "binary"])


def code_of(pair: Pair, **changes: Any) -> str:
    return cause_of("torch", pair.entry(**changes)).code


@BOTH
@SEEDS
def test_the_same_network_is_identical(trained: Any, seed: int) -> None:
    made = trained(seed)
    assert code_of(made.pair(made.network, made.network)) == "fidelity_identical"


@BOTH
@SEEDS
def test_arithmetic_in_another_order_is_a_matter_of_precision(trained: Any, seed: int) -> None:
    made = trained(seed)
    exact = made.network.of(lambda a: a.astype(np.float64))
    cause = cause_of("torch", made.pair(made.network, exact).entry())
    assert (cause.code, cause.severity) == ("fidelity_precision", "info")
    assert "float32 arithmetic in another order" in cause.text


@BOTH
@SEEDS
@pytest.mark.parametrize("rounded", [float16, int8])
def test_rounded_weights_are_a_matter_of_precision(trained: Any, seed: int, rounded: Any) -> None:
    made = trained(seed)
    cause = cause_of("torch", made.pair(made.network.of(rounded), made.network).entry())
    assert cause.code == "fidelity_precision"
    assert "less precision" in cause.text


@BOTH
@SEEDS
def test_one_perturbed_weight_is_other_weights(trained: Any, seed: int) -> None:
    made = trained(seed)
    assert code_of(made.pair(perturbed(made, seed), made.network)) == "fidelity_weights"


def perturbed(made: Trained, seed: int) -> Any:
    """One weight between the hidden layers, of units that are used, is off by about as much as the largest are."""
    hidden = np.maximum(made.rows @ made.network.weights[0] + made.network.biases[0], 0).mean(axis=0)
    unit = int(np.argsort(-hidden)[seed % 3])
    out = int(np.argsort(-np.abs(made.network.weights[2]).sum(axis=1))[0])

    def change(weight: Any) -> None:
        weight[unit, out] += 0.4 if len(np.unique(made.labels)) > 2 else 0.8

    return made.network.with_weight(1, change)


@BOTH
@SEEDS
@pytest.mark.parametrize(("scale", "shift"), [(6.0, 4.9), (0.2, 0.0), (1.0, 2.0), (-1.0, 0.0), (255.0, 0.0)])
def test_inputs_in_another_scale_are_a_matter_of_preprocessing(
    trained: Any, seed: int, scale: float, shift: float
) -> None:
    made = trained(seed)
    other = (made.rows * scale + shift).astype(np.float32)
    assert code_of(made.pair(made.network, made.network, rows=other)) == "fidelity_preprocessing"


@SEEDS
@pytest.mark.parametrize("order", [[1, 0, *range(2, 10)], [1, 2, 0, *range(3, 10)], [*range(9, -1, -1)]])
def test_permuted_outputs_are_swapped_classes(seed: int, order: list[int]) -> None:
    made = digits(seed)
    pair = made.pair(made.network, made.network.of(float16))
    cause = cause_of("torch", replace(pair, model=pair.model[:, order]).entry())
    assert (cause.code, cause.severity) == ("fidelity_classes_swapped", "error")


@SEEDS
def test_two_classes_the_other_way_round_are_swapped(seed: int) -> None:
    made = binary(seed)
    pair = made.pair(made.network, made.network.of(float16))
    assert code_of(replace(pair, model=1 - pair.model)) == "fidelity_classes_swapped"


@SEEDS
def test_swapped_classes_are_seen_in_labels_alone(seed: int) -> None:
    made = digits(seed)
    pair = made.pair(made.network, made.network)
    swapped = replace(pair, model=pair.model[:, [0, 2, 1, *range(3, 10)]], labels_only=True)
    assert code_of(swapped) == "fidelity_classes_swapped"


@SEEDS
@pytest.mark.parametrize("owner", [0, 3, 8])
def test_an_output_without_weights_is_a_matter_of_its_class(seed: int, owner: int) -> None:
    made = digits(seed)

    def change(weight: Any) -> None:
        weight[:, owner] = 0

    cause = cause_of("torch", made.pair(made.network.with_weight(2, change), made.network).entry())
    assert cause.code == "fidelity_one_class"
    assert f"class `class_{owner}`" in cause.text


@BOTH
@SEEDS
def test_a_group_of_rows_that_goes_another_way_is_a_matter_of_its_slice(trained: Any, seed: int) -> None:
    made = trained(seed)
    group = np.random.default_rng(seed).choice(3, len(made.labels), p=[0.6, 0.3, 0.1])
    other = made.rows.copy()
    other[group == 2] = 0
    cuts = (Cut(("country",), (("DE",), ("FR",), ("PL",))),)
    pair = made.pair(made.network, made.network.of(float16), rows=other, cuts=cuts, places=group[:, None])
    cause = cause_of("torch", pair.entry())
    assert cause.code == "fidelity_one_slice"
    assert "slice country=PL" in cause.text


@SEEDS
def test_splits_that_move_by_a_rounding_are_a_matter_of_trees(seed: int) -> None:
    made = binary(seed)
    baseline = trees(made.rows, seed)
    moved = replace(baseline, thresholds=np.nextafter(baseline.thresholds, np.float32(-np.inf)))
    cause = cause_of("torch", Pair(made.labels, moved(made.rows), baseline(made.rows)).entry())
    assert cause.code == "fidelity_tree_splits"


@SEEDS
def test_the_same_trees_are_identical(seed: int) -> None:
    made = binary(seed)
    found = trees(made.rows, seed)
    assert code_of(Pair(made.labels, found(made.rows), found(made.rows))) == "fidelity_identical"


@pytest.mark.parametrize("whose", ["model", "baseline"])
def test_dependence_on_the_batch_goes_before_other_causes(whose: str) -> None:
    made = digits(0)
    pair = made.pair(made.network.of(int8), made.network)
    told = [{"severity": "warning", "code": "batch_dependent", "text": "predictions depend on the batch"}]
    changes: dict[str, Any] = {"findings": told} if whose == "model" else {"dependent": True}
    cause = cause_of("int8", pair.entry(**changes))
    assert cause.code == "fidelity_batch_dependent"
    assert ("the model" if whose == "model" else "`int8`") in cause.text


def test_models_that_do_not_differ_are_identical_though_one_depends_on_the_batch() -> None:
    made = digits(0)
    assert code_of(made.pair(made.network, made.network), dependent=True) == "fidelity_identical"


def test_labels_alone_do_not_tell_a_cause() -> None:
    made = digits(0)
    pair = replace(made.pair(perturbed(made, 0), made.network), labels_only=True)
    assert code_of(pair) == "fidelity_labels_differ"


def test_equal_labels_alone_are_called_so() -> None:
    made = digits(0)
    cause = cause_of("torch", replace(made.pair(made.network, made.network), labels_only=True).entry())
    assert (cause.code, "the same labels" in cause.text) == ("fidelity_identical", True)


def test_the_cause_is_a_finding_of_the_report() -> None:
    made = digits(0)
    whole = made.pair(made.network.of(float16), made.network, unusable={"timeout": 2}).report()
    codes = [finding["code"] for finding in whole["findings"] if finding["code"].startswith("fidelity")]
    assert codes == ["fidelity_unusable_rows", "fidelity_precision"]


@BOTH
@SEEDS
def test_no_cause_takes_more_room_than_a_terminal_shows(trained: Any, seed: int) -> None:
    made = trained(seed)
    pairs = [made.pair(changed, made.network) for changed in (made.network.of(int8), perturbed(made, seed))]
    pairs.append(made.pair(made.network, made.network, rows=made.rows * 9))
    assert all(len(cause_of("a baseline", pair.entry()).text) <= 300 for pair in pairs)


@pytest.mark.parametrize("whose", ["model", "baseline"])
def test_a_quantised_graph_explains_what_other_weights_would(whose: str) -> None:
    made = digits(0)
    pair = made.pair(
        made.network.with_weight(1, lambda weight: weight.__setitem__((3, 5), weight[3, 5] + 2)), made.network
    )
    entry = {**pair.entry(), "quantized": {side: side == whose for side in ("model", "baseline")}}
    plain = {**entry, "quantized": {"model": False, "baseline": False}}
    assert entry["flips"] < 0.1 * entry["rows"]
    assert (cause_of("t", plain).code, cause_of("t", entry).code) == ("fidelity_weights", "fidelity_quantised")
    assert ("the model" if whose == "model" else "`t`") in cause_of("t", entry).text
