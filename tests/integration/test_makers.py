"""Classifiers of scikit-learn, LightGBM and XGBoost as their converters write them: the counts are their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.svm import SVC

from ortbatch.errors import DataError, ModelError
from ortbatch.model.source import load, open_source
from ortbatch.report.report import Report
from tests.makers import FEATURES, Rows, evaluate, findings, lightgbm, rows, scikit_learn, xgboost
from tests.models import save

SVM = pytest.mark.filterwarnings("ignore:Attribute `prob[AB]_` was deprecated:FutureWarning")
Maker = Callable[[Path, Rows], Any]
NUMBERS, ODD, TEXTS = (0, 1, 2), (3, 5, 7), ("b", "a", "c")
SCIKIT_LEARN: dict[str, Callable[[], Any]] = {
    "regression": LogisticRegression,
    "forest": lambda: RandomForestClassifier(5, max_depth=4, random_state=0, n_jobs=1),
}
BOOSTED: dict[str, Maker] = {"LightGBM": lightgbm, "XGBoost": xgboost}


def counts(made: Rows, predicted: NDArray[Any], classes: Any) -> list[list[int]]:
    return confusion_matrix(made.labels.tolist(), predicted.tolist(), labels=list(classes)).tolist()  # type: ignore[no-any-return]


def written(folder: Path, names: tuple[Any, ...], missing: float = 0.0) -> Rows:
    made = rows(names, missing=missing)
    made.write(folder)
    return made


def assert_own(report: Report, made: Rows, model: Any) -> None:
    """Classes and counts are those of the maker."""
    assert report.classes == [str(name) for name in model.classes_]
    assert report.confusion_matrix.tolist() == counts(made, model.predict(made.features), model.classes_)


@pytest.mark.parametrize("names", [NUMBERS, ODD, TEXTS, (0, 1), ("no", "yes")], ids=str)
@pytest.mark.parametrize("maker", SCIKIT_LEARN)
def test_scikit_learn_with_zipmap_counts_its_own_predictions(tmp_path: Path, maker: str, names: Any) -> None:
    made = written(tmp_path, names)
    model = scikit_learn(tmp_path, SCIKIT_LEARN[maker](), made)
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize("names", [NUMBERS, ODD, TEXTS, (0, 1), ("no", "yes"), (1, 2, 3), (-1, 1)], ids=str)
@pytest.mark.parametrize("maker", SCIKIT_LEARN)
def test_scikit_learn_without_zipmap_counts_its_own_predictions(tmp_path: Path, maker: str, names: Any) -> None:
    made = written(tmp_path, names)
    model = scikit_learn(tmp_path, SCIKIT_LEARN[maker](), made, zipmap=False)
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize("seen", [(1, 2), (2, 3), (3,)], ids=str)
def test_classes_of_the_model_that_no_row_has_move_no_other(tmp_path: Path, seen: tuple[int, ...]) -> None:
    made = rows((1, 2, 3))
    model = scikit_learn(tmp_path, LogisticRegression(), made, zipmap=False)
    some = np.isin(made.labels, seen)
    part = Rows(made.features[some], made.labels[some])
    part.write(tmp_path)
    assert_own(evaluate(tmp_path), part, model)


def test_columns_without_names_get_those_of_the_job(tmp_path: Path) -> None:
    made = written(tmp_path, ODD)
    places = Rows(made.features, np.searchsorted(ODD, made.labels))
    model = xgboost(tmp_path, places)
    report = evaluate(tmp_path, classes=[str(name) for name in ODD])
    assert report.classes == ["3", "5", "7"]
    assert report.confusion_matrix.tolist() == counts(places, model.predict(made.features), NUMBERS)


@pytest.mark.parametrize("names", [NUMBERS, ODD, (0, 1)], ids=str)
def test_raw_scores_behind_a_zipmap_are_found_to_be_logits(tmp_path: Path, names: Any) -> None:
    made = written(tmp_path, names)
    model = scikit_learn(tmp_path, LogisticRegression(), made, raw_scores=True)
    report = evaluate(tmp_path)
    output = report.data["provenance"]["binding"]["output"]
    assert (output["kind"], output["inferred"]) == ("logits", "values")
    assert_own(report, made, model)


@pytest.mark.parametrize("names", [NUMBERS, (0, 1)], ids=str)
@pytest.mark.parametrize("maker", BOOSTED)
def test_boosted_trees_with_missing_values_count_their_own_predictions(tmp_path: Path, maker: str, names: Any) -> None:
    made = written(tmp_path, names, missing=0.2)
    model = BOOSTED[maker](tmp_path, made)
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize("names", [ODD, TEXTS], ids=str)
def test_lightgbm_names_its_classes(tmp_path: Path, names: Any) -> None:
    made = written(tmp_path, names, missing=0.2)
    model = lightgbm(tmp_path, made)
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize("names", [NUMBERS, (0, 1), TEXTS], ids=str)
@pytest.mark.parametrize("maker", ["regression", "forest", "LightGBM"])
def test_the_models_own_labels_are_compared_and_agree(tmp_path: Path, maker: str, names: Any) -> None:
    made = written(tmp_path, names)
    if maker in SCIKIT_LEARN:
        scikit_learn(tmp_path, SCIKIT_LEARN[maker](), made)
    else:
        lightgbm(tmp_path, made)
    report = evaluate(tmp_path)
    assert report.data["quality"]["own_label"] == {"rows": 300, "disagreements": 0}
    assert "own_label_differs" not in findings(report)


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_a_threshold_of_the_job_rules_and_the_models_own_labels_are_counted(tmp_path: Path, positive: str) -> None:
    made = written(tmp_path, ("no", "yes"))
    model = scikit_learn(tmp_path, LogisticRegression(), made)
    report = evaluate(tmp_path, positive=positive, threshold=0.3)
    other, place = {"no": ("yes", 0), "yes": ("no", 1)}[positive]
    predicted = np.where(model.predict_proba(made.features)[:, place] >= 0.3, positive, other)
    differing = int((predicted != model.predict(made.features)).sum())
    assert report.confusion_matrix.tolist() == counts(made, predicted, model.classes_)
    assert report.data["quality"]["own_label"] == {"rows": 300, "disagreements": differing}
    assert f"than the threshold 0.3 gives for {differing} of 300 rows" in findings(report)["own_label_differs"]


@pytest.mark.parametrize("maker", ["regression", "forest", "LightGBM"])
def test_a_zipmap_never_reaches_the_session(tmp_path: Path, maker: str) -> None:
    made = written(tmp_path, NUMBERS)
    if maker in SCIKIT_LEARN:
        scikit_learn(tmp_path, SCIKIT_LEARN[maker](), made)
    else:
        lightgbm(tmp_path, made)
    path = tmp_path / "model.onnx"
    assert [node.op_type for node in onnx.load(str(path)).graph.node].count("ZipMap") == 1
    source = open_source(str(path))
    assert "ZipMap" not in [node.op_type for node in onnx.load_model_from_string(source.graph.runs).graph.node]
    assert str(load(source, ["CPUExecutionProvider"], 1).outputs[1]).endswith("float32[?, 3]")


def test_probabilities_without_zipmap_are_read_in_the_same_order(tmp_path: Path) -> None:
    made = written(tmp_path, ODD)
    model = scikit_learn(tmp_path, LogisticRegression(), made)
    truth = model.predict_proba(made.features)[np.arange(300), np.searchsorted(model.classes_, made.labels)]
    log_loss = evaluate(tmp_path).quality["log_loss"].value
    assert log_loss == pytest.approx(-np.log(truth).mean(), abs=1e-5)


@SVM
@pytest.mark.parametrize("zipmap", [True, False])
def test_decision_values_of_a_binary_svm_are_refused_as_they_stand_against_its_labels(
    tmp_path: Path, zipmap: bool
) -> None:
    scikit_learn(tmp_path, SVC(), written(tmp_path, ("no", "yes")), zipmap=zipmap)
    with pytest.raises(ModelError, match=r"decision values of a binary SVM, .* name the output of labels"):
        evaluate(tmp_path)


@SVM
def test_labels_of_a_binary_svm_are_counted(tmp_path: Path) -> None:
    made = written(tmp_path, ("no", "yes"))
    model = scikit_learn(tmp_path, SVC(), made, zipmap=False)
    assert_own(evaluate(tmp_path, {"path": "model.onnx", "output": {"name": "label"}}), made, model)


@SVM
def test_decision_values_of_an_svm_of_three_classes_count_its_own_predictions(tmp_path: Path) -> None:
    made = written(tmp_path, ODD)
    model = scikit_learn(tmp_path, SVC(), made)
    assert_own(evaluate(tmp_path), made, model)


CONFLICTS = {
    "other names": (TEXTS, ["a", "b", "d"], "a, b, c"),
    "another order": (TEXTS, ["b", "a", "c"], "a, b, c"),
    "other numbers": (ODD, ["0", "1", "2"], "3, 5, 7"),
    "another number of classes": (NUMBERS, ["zero", "one"], "0, 1, 2"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_classes_that_the_model_names_otherwise_are_refused_with_both(tmp_path: Path, case: str) -> None:
    names, given, own = CONFLICTS[case]
    scikit_learn(tmp_path, LogisticRegression(), written(tmp_path, names))
    with pytest.raises(ModelError, match=rf"data\.classes are {', '.join(given)}; the model itself names .* {own}, in"):
        evaluate(tmp_path, classes=given)


def test_more_columns_than_names_are_refused(tmp_path: Path) -> None:
    scikit_learn(tmp_path, LogisticRegression(), written(tmp_path, ODD))
    model = onnx.load(str(tmp_path / "model.onnx"))
    (zipmap,) = (node for node in model.graph.node if node.op_type == "ZipMap")
    zipmap.attribute[0].ints.pop()
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="has 3 columns, and the model names 2 classes for it: 3, 5"):
        evaluate(tmp_path)


def test_names_to_show_for_classes_0_1_2_are_no_conflict(tmp_path: Path) -> None:
    made = written(tmp_path, NUMBERS)
    model = scikit_learn(tmp_path, LogisticRegression(), made)
    report = evaluate(tmp_path, classes=["low", "mid", "high"])
    assert report.classes == ["low", "mid", "high"]
    assert report.confusion_matrix.tolist() == counts(made, model.predict(made.features), NUMBERS)


def keep_outputs(path: Path, *kept: int) -> None:
    """Leave only some outputs of a model."""
    model = onnx.load(str(path))
    outputs = [model.graph.output[place] for place in kept]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("names", [NUMBERS, ODD, TEXTS], ids=str)
@pytest.mark.parametrize("maker", SCIKIT_LEARN)
def test_a_model_that_gives_only_labels_counts_them(tmp_path: Path, maker: str, names: Any) -> None:
    made = written(tmp_path, names)
    model = scikit_learn(tmp_path, SCIKIT_LEARN[maker](), made, zipmap=False)
    keep_outputs(tmp_path / "model.onnx", 0)
    needed = {"classes": ["0", "1", "2"]} if names == NUMBERS else {}
    assert_own(evaluate(tmp_path, **needed), made, model)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "log_loss", "brier"])
@pytest.mark.parametrize("names", [(0, 1), ("no", "yes")], ids=str)
def test_a_metric_of_scores_is_null_with_a_reason_where_there_are_only_labels(
    tmp_path: Path, metric: str, names: Any
) -> None:
    scikit_learn(tmp_path, LogisticRegression(), written(tmp_path, names), zipmap=False)
    keep_outputs(tmp_path / "model.onnx", 0)
    estimate = evaluate(tmp_path, classes=list(map(str, names))).quality[metric]
    assert estimate.value is None
    assert "label" in str(estimate.reason)


def test_only_labels_without_classes_are_refused_with_the_key_that_is_missing(tmp_path: Path) -> None:
    scikit_learn(tmp_path, LogisticRegression(), written(tmp_path, NUMBERS), zipmap=False)
    keep_outputs(tmp_path / "model.onnx", 0)
    with pytest.raises(DataError, match=r"list them in `data\.classes`"):
        evaluate(tmp_path)


@pytest.mark.parametrize("number", [1, 300])
def test_a_number_beside_the_scores_is_no_label(tmp_path: Path, number: int) -> None:
    made = written(tmp_path, NUMBERS)
    model = scikit_learn(tmp_path, LogisticRegression(), made, zipmap=False)
    keep_outputs(tmp_path / "model.onnx", 1)
    exported = onnx.load(str(tmp_path / "model.onnx"))
    exported.graph.node.append(helper.make_node("Constant", [], ["version"], value_ints=[3]))
    exported.graph.output.append(helper.make_tensor_value_info("version", TensorProto.INT64, [1]))
    (tmp_path / "model.onnx").write_bytes(exported.SerializeToString())
    some = Rows(made.features[:number], made.labels[:number])
    some.write(tmp_path)
    report = evaluate(tmp_path)
    assert "own_label" not in report.data["quality"]
    assert_own(report, some, model)


def two_heads(path: Path, kind: int = TensorProto.FLOAT) -> None:
    """Outputs `a` = x and `b` = -x, of 4 classes each."""
    nodes = [helper.make_node("Cast", ["x"], ["a"], to=kind), helper.make_node("Neg", ["x"], ["b"])]
    info = helper.make_tensor_value_info
    outputs = [info("a", kind, ["N", FEATURES]), info("b", TensorProto.FLOAT, ["N", FEATURES])]
    save(path, helper.make_graph(nodes, "heads", [info("x", TensorProto.FLOAT, ["N", FEATURES])], outputs))


def test_several_outputs_of_scores_are_refused_with_the_key_that_chooses(tmp_path: Path) -> None:
    written(tmp_path, (0, 1, 2, 3))
    two_heads(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"`model\.output\.name`: `a: float32\[\?, 4\]`, `b: float32\[\?, 4\]`"):
        evaluate(tmp_path)


def test_the_output_that_the_job_names_is_the_one_that_counts(tmp_path: Path) -> None:
    made = written(tmp_path, (0, 1, 2, 3))
    two_heads(tmp_path / "model.onnx")
    report = evaluate(tmp_path, {"path": "model.onnx", "output": {"name": "b"}})
    assert report.confusion_matrix.tolist() == counts(made, made.features.argmin(axis=1), range(4))


def test_an_output_of_bfloat16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    written(tmp_path, (0, 1, 2, 3))
    two_heads(tmp_path / "model.onnx", TensorProto.BFLOAT16)
    with pytest.raises(ModelError, match=r"output `a: .*` of the model is bfloat16, .* end the graph with a Cast"):
        evaluate(tmp_path, {"path": "model.onnx", "output": {"name": "a"}})
