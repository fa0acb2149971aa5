"""Which output is evaluated, and what it holds: by the job, by the graph, by real values, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.data.binding import TensorSpec
from ortbatch.errors import ModelError
from ortbatch.model.graph import Graph
from ortbatch.model.outputs import Output, choose_output, settle_output

LABEL = TensorSpec("label", "int64", (None,))
SCORES = TensorSpec("scores", "float32", (None, 3))
LOGIT = TensorSpec("logit", "float32", (None, 1))
HIDDEN = TensorSpec("hidden", "float32", (None, 64))
MAPS = TensorSpec("maps", "seq(map(int64,tensor(float)))", ())
TEXT = TensorSpec("label", "string", (None,))


def choose(
    *outputs: TensorSpec,
    op: str = "",
    name: str | None = None,
    kind: str | None = None,
    class_names: dict[str, tuple[str, ...]] | None = None,
) -> Output:
    graph = Graph("", 18, {spec.name: op for spec in outputs}, dict(class_names or {}), (), b"")
    return choose_output(outputs, graph, name, kind)


CHOSEN = [
    ((SCORES,), "", None, Output("scores", None, 3, "values")),
    ((SCORES,), "MatMul", None, Output("scores", None, 3, "values")),
    ((SCORES,), "Softmax", None, Output("scores", "probabilities", 3, "graph")),
    ((SCORES,), "LogSoftmax", None, Output("scores", "logits", 3, "graph")),
    ((LOGIT,), "Sigmoid", None, Output("logit", "probabilities", 1, "graph")),
    ((LABEL, SCORES), "", None, Output("scores", None, 3, "values", own_label="label")),
    ((TEXT, SCORES), "Softmax", None, Output("scores", "probabilities", 3, "graph", own_label="label")),
    ((TEXT,), "", None, Output("label", "label", 1, "graph")),
    ((LABEL,), "ArgMax", None, Output("label", "label", 1, "graph")),
    ((TensorSpec("label", "float32", (None,)),), "ArgMax", None, Output("label", "label", 1, "graph")),
    ((SCORES,), "Softmax", "logits", Output("scores", "logits", 3, "job")),
    ((TensorSpec("p", "float16", (None, None)),), "Softmax", None, Output("p", "probabilities", None, "graph")),
    ((TensorSpec("p", "float32", (None,)),), "Sigmoid", None, Output("p", "probabilities", 1, "graph")),
    ((TensorSpec("p", "int32", (None,)),), "", None, Output("p", "label", 1, "graph")),
]


@pytest.mark.parametrize(("outputs", "op", "kind", "output"), CHOSEN)
def test_the_one_output_with_scores_is_chosen_and_read_by_its_graph(
    outputs: tuple[TensorSpec, ...], op: str, kind: str | None, output: Output
) -> None:
    assert choose(*outputs, op=op, kind=kind) == output


def test_the_job_names_one_of_several_outputs() -> None:
    assert choose(HIDDEN, SCORES, LABEL, name="label").reads == ["label"]
    assert choose(HIDDEN, SCORES, LABEL, name="scores").reads == ["scores", "label"]


@pytest.mark.parametrize("shape", [(1,), (), (None, 2), (8,)])
def test_an_integer_beside_the_scores_that_is_not_one_for_each_row_is_no_label(shape: tuple[Any, ...]) -> None:
    assert choose(TensorSpec("version", "int64", shape), SCORES).reads == ["scores"]


def test_two_labels_beside_the_scores_are_nobody_s() -> None:
    assert choose(LABEL, TEXT, SCORES).reads == ["scores"]


def test_names_that_the_graph_gives_make_probabilities_of_as_many_classes() -> None:
    output = choose(TEXT, SCORES, class_names={"scores": ("a", "b", "c")})
    assert (output.kind, output.names, output.classes, output.own_label) == (
        "probabilities",
        ("a", "b", "c"),
        3,
        "label",
    )


REFUSED = [
    ((HIDDEN, SCORES), {}, "several outputs; say which one in `model.output.name`: `hidden: float32.*`scores"),
    ((SCORES,), {"name": "nope"}, r"no output `nope`; it has `scores: float32\[\?, 3\]`"),
    ((MAPS,), {}, "holds no scores or labels; name another"),
    ((TEXT, MAPS), {"name": "maps"}, "holds no scores or labels; name another"),
    ((TensorSpec("b", "bfloat16", (None, 2)),), {}, "is bfloat16, which NumPy does not have"),
    ((SCORES,), {"op": "Sigmoid"}, "sigmoid over 3 columns: this is a multilabel model"),
    ((SCORES,), {"op": "Sigmoid", "name": "scores"}, "multilabel"),
    ((TensorSpec("two", "float32", (None, 2)),), {"op": "Sigmoid"}, "multilabel"),
]


@pytest.mark.parametrize(("outputs", "options", "message"), REFUSED)
def test_an_output_that_cannot_be_evaluated_is_refused(
    outputs: tuple[TensorSpec, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        choose(*outputs, **options)


def settle(values: Any, kind: str | None = None, dtype: str = "float32") -> Output:
    return settle_output(Output("out", kind, None, "values"), np.array(values, dtype))


SETTLED = [
    ([[0.2, 0.8], [0.5, 0.5]], "probabilities", 2),
    ([[0.2], [0.8]], "probabilities", 1),
    ([0.2, 0.8], "probabilities", 1),
    ([[0.2], [1.5]], "logits", 1),
    ([[0.2], [-0.1]], "logits", 1),
    ([[2.0, -1.0, 0.5]], "logits", 3),
    ([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], "probabilities", 3),
    ([[float("nan"), 0.5], [0.2, 0.8]], "probabilities", 2),
    ([[float("inf"), 0.5], [0.2, 3.0]], "logits", 2),
]


@pytest.mark.parametrize(("values", "kind", "columns"), SETTLED)
def test_values_tell_probabilities_from_logits(values: Any, kind: str, columns: int) -> None:
    output = settle(values)
    assert (output.kind, output.columns, output.inferred) == (kind, columns, "values")


def test_probabilities_of_float16_add_up_well_enough() -> None:
    rng = np.random.default_rng(0)
    assert settle(rng.dirichlet(np.ones(300), 50), dtype="float16").kind == "probabilities"


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("values", [[[0.2, 0.8], [3.0, -3.0]], [[float("nan"), float("nan")]]])
def test_what_the_job_or_the_graph_says_is_not_guessed_again(kind: str, values: Any) -> None:
    assert settle(values, kind).kind == kind


UNSETTLED = [
    ([[0.9, 0.8], [0.1, 0.1]], None, "do not add up to 1: a multilabel model.*kind: logits"),
    ([[float("nan"), 1.0], [float("inf"), 0.0]], None, "not finite for any of 2 rows .*kind: logits"),
    ([[[0.5, 0.5]]], None, r"has shape \[1, 1, 2\] for 1 rows; expected \[rows\] or \[rows, classes\]"),
    (np.empty((3, 0)), None, r"has shape \[3, 0\]"),
    ([[1, 0, 1]], "label", "gives 3 labels a row: a multilabel model"),
]


@pytest.mark.parametrize(("values", "kind", "message"), UNSETTLED)
def test_values_that_are_no_scores_of_one_class_are_refused(values: Any, kind: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        settle(values, kind)


CLASSES = [("logits", 1, 2), ("probabilities", 2, 2), ("logits", 10, 10), ("label", 1, None), ("logits", None, None)]


@pytest.mark.parametrize(("kind", "columns", "classes"), CLASSES)
def test_an_output_scores_at_least_two_classes_or_does_not_say(
    kind: str, columns: int | None, classes: int | None
) -> None:
    assert Output("out", kind, columns, "job").classes == classes
