"""Other models beside the model: what is counted of both is what a plain loop over the rows counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ortbatch.api import Options, check, run_job
from ortbatch.engine.evaluate import Stream
from ortbatch.engine.prepare import open_model
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.sessions import predictors
from ortbatch.errors import ModelError, OrtbatchError, RunFolderError
from ortbatch.job import Job
from ortbatch.metrics.fidelity import BaselineCounts
from ortbatch.report.report import Report
from tests.models import linear_model, linear_weights

ROWS, FEATURES, CLASSES, FILES = 1_200, 20, 3, 5
NAMES = [f"f{index}" for index in range(FEATURES)]
FUNCTIONS = """
import numpy as np


def features(batch):
    return np.column_stack([batch.column(f"f{i}").to_numpy(zero_copy_only=False) for i in range(20)])


def labels(batch):
    return (features(batch)[:, 0] > 0).astype(int)


def scores(batch):
    table = np.column_stack([features(batch)[:, 0] > 0.5, features(batch)[:, 1] > 0, np.ones(batch.num_rows)]) + 0.1
    return table / table.sum(axis=1, keepdims=True)


def picky(batch):
    if (features(batch)[:, 2] > 1).any():
        raise ValueError("too large")
    return scores(batch)


def swapped(batch):
    import onnxruntime
    from pathlib import Path

    session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": features(batch).astype(np.float32)})[0][:, [1, 2, 0]]


def broken(batch):
    raise ValueError("never")
"""


class Data:
    """Rows of a folder as arrays, and what ONNX Runtime makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(1)
        self.x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
        weights, bias = linear_weights(FEATURES, CLASSES)
        self.labels = np.argmax(self.x @ weights + bias, axis=1)
        self.labels[::7] = rng.integers(0, CLASSES, len(self.labels[::7]))
        self.stored = rng.dirichlet(np.ones(CLASSES), ROWS)
        self.country = rng.integers(0, 3, ROWS)
        linear_model(folder / "model.onnx", FEATURES, CLASSES)
        linear_model(folder / "same.onnx", FEATURES, CLASSES)
        linear_model(folder / "other.onnx", FEATURES, CLASSES, seed=1)
        linear_model(folder / "named.onnx", FEATURES, CLASSES, inputs=("y",), seed=2, end="Softmax")
        linear_model(folder / "label.onnx", FEATURES, CLASSES, seed=2, end="ArgMax")
        (folder / "prep.py").write_text(FUNCTIONS)
        for number, part in enumerate(np.array_split(np.arange(ROWS), FILES)):
            columns = {name: self.x[part, place] for place, name in enumerate(NAMES)}
            said = pa.array(self.stored[part].argmax(axis=1), pa.int64(), mask=part % 11 == 0)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(self.stored[part].ravel()), CLASSES)
            table = pa.table(
                {**columns, "label": self.labels[part], "said": said, "stored": lists, "country": self.country[part]}
            )
            (folder / "data").mkdir(exist_ok=True)
            pq.write_table(table, folder / "data" / f"{number}.parquet", row_group_size=70)

    def logits(self, model: str) -> NDArray[np.float32]:
        session = onnxruntime.InferenceSession(self.folder / model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {session.get_inputs()[0].name: self.x})[0])

    def job(self, baselines: Mapping[str, Any], **keys: Any) -> Job:
        mapping: dict[str, Any] = {
            "name": "beside",
            "model": {"path": "model.onnx", "inputs": {"x": NAMES}},
            "data": {"path": "data", "label": "label"},
            "baselines": dict(baselines),
            "latency": {"max_seconds": 0.05},
        }
        return Job.from_mapping({**mapping, **keys}, self.folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("beside"))


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def counted(job: Job) -> BaselineCounts:
    """Of the only baseline, by one stream."""
    prepared = check(job)
    models = predictors(prepared.evaluation.baselines, [baseline.model for baseline in prepared.baselines])
    stream = Stream(prepared.evaluation, loaded(prepared), baselines=models)
    (value,) = stream.evaluate(prepared.plan.shards).baselines.values
    return value


def loaded(prepared: Prepared) -> Any:
    from ortbatch.model.source import load

    turned = prepared.evaluation.inputs.by_columns
    return (
        load(prepared.model.source, prepared.job.model.providers, 1, turned) if turned else open_model(prepared.job)[1]
    )


def joint(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Brute force: rows by (true, predicted, predicted by the baseline)."""
    table = np.zeros((CLASSES,) * 3, np.int64)
    for cell, rows in Counter(zip(*(column.tolist() for column in columns), strict=True)).items():
        table[cell] = rows
    return table


@pytest.mark.parametrize("inputs", [None, NAMES], ids=["the model's feed", "a feed of its own"])
@pytest.mark.parametrize("model", ["same.onnx", "other.onnx"])
def test_an_onnx_baseline_is_counted_as_a_loop_counts(data: Data, model: str, inputs: list[str] | None) -> None:
    spec = model if inputs is None else {"path": model, "inputs": {"x": inputs}}
    found = counted(data.job({"b": spec})).fidelity
    own, theirs = data.logits("model.onnx"), data.logits(model)
    assert found.joint.dense().tolist() == joint(data.labels, own.argmax(axis=1), theirs.argmax(axis=1)).tolist()
    gap = np.abs(softmax(own) - softmax(theirs)).max(axis=1)
    if model == "same.onnx":
        assert found.gaps.largest_gap().value == 0
        assert gap.max() == 0
    else:
        assert found.gaps.largest_gap().value == pytest.approx(gap.max(), abs=1e-9)
        assert found.gaps.mean().value == pytest.approx(gap.mean(), abs=1e-9)


def test_probabilities_of_another_input_name_are_scores_like_any(data: Data) -> None:
    found = counted(data.job({"b": {"path": "named.onnx", "inputs": {"y": NAMES}}})).fidelity
    own, theirs = data.logits("model.onnx"), data.logits("named.onnx")
    assert found.joint.dense().tolist() == joint(data.labels, own.argmax(axis=1), theirs.argmax(axis=1)).tolist()
    assert found.gaps.largest_gap().value == pytest.approx(np.abs(softmax(own) - theirs).max(), abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "predicted"),
    [
        ({"function": "prep:labels"}, lambda data: (data.x[:, 0] > 0).astype(np.int64)),
        (
            {"function": "prep:scores", "columns": NAMES},
            lambda data: np.column_stack([data.x[:, 0] > 0.5, data.x[:, 1] > 0, np.ones(ROWS)]).argmax(axis=1),
        ),
        ("label.onnx", lambda data: data.logits("label.onnx").ravel()),
        ({"scores": "stored"}, lambda data: data.stored.argmax(axis=1)),
    ],
    ids=["labels of a function", "scores of a function", "labels of a model", "stored scores"],
)
def test_predictions_of_every_kind_are_those_of_a_loop(data: Data, spec: Any, predicted: Any) -> None:
    found = counted(data.job({"b": spec})).fidelity
    own = data.logits("model.onnx").argmax(axis=1)
    assert found.joint.dense().tolist() == joint(data.labels, own, predicted(data)).tolist()
    assert found.unusable == {}


def test_predictions_that_are_not_there_are_no_rows_of_the_comparison(data: Data) -> None:
    found = counted(data.job({"b": {"scores": "said"}})).fidelity
    there = np.arange(ROWS) % 11 != 0
    columns = (data.labels, data.logits("model.onnx").argmax(axis=1), data.stored.argmax(axis=1))
    assert found.joint.dense().tolist() == joint(*(column[there] for column in columns)).tolist()
    assert found.unusable == {"null_label": int((~there).sum())}


def test_a_row_on_which_a_function_raises_costs_the_comparison_alone(data: Data) -> None:
    found = counted(data.job({"b": {"function": "prep:picky"}})).fidelity
    bad = int((data.x[:, 2] > 1).sum())
    assert found.unusable == {"transform_error": bad}
    assert found.rows == ROWS - bad


def test_a_function_sees_its_files_and_columns_may_be_swapped(data: Data) -> None:
    found = counted(data.job({"b": {"function": "prep:swapped", "files": ["model.onnx"], "kind": "logits"}})).fidelity
    own = data.logits("model.onnx")
    assert found.joint.dense().tolist() == joint(data.labels, own.argmax(1), own[:, [1, 2, 0]].argmax(1)).tolist()


def test_the_worst_rows_are_named_by_their_place(data: Data) -> None:
    found = counted(data.job({"b": "other.onnx"})).fidelity
    gap = np.abs(softmax(data.logits("model.onnx")) - softmax(data.logits("other.onnx"))).max(axis=1)
    starts = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(ROWS), FILES))])
    worst = [(int(np.searchsorted(starts, row, "right")) - 1, row) for row in np.argsort(-gap)[:20].tolist()]
    expected = [(file, row - int(starts[file])) for file, row in worst]
    assert [(kept.file, kept.row) for kept in found.worst.rows()] == expected


def test_latencies_of_a_baseline_are_those_of_its_runs(data: Data) -> None:
    value = counted(
        data.job({"b": "other.onnx"}, model={"path": "model.onnx", "inputs": {"x": NAMES}, "batch_size": 32})
    )
    assert value.latency.count >= ROWS // 32
    assert value.latency.total_ns > 0


def run(job: Job, folder: Path, **options: Any) -> Report:
    return run_job(job, Options(run_dir=str(folder), **{"engine": "inline", **options})).report


ALL = {
    "same": "same.onnx",
    "other": "other.onnx",
    "named": {"path": "named.onnx", "inputs": {"y": NAMES}},
    "function": {"function": "prep:picky"},
    "stored": {"scores": "stored"},
    "said": {"scores": "said"},
}


@pytest.fixture(scope="module")
def whole(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(data.job(ALL, slices=["country"]), tmp_path_factory.mktemp("whole"))


def test_baselines_change_nothing_in_what_is_said_of_the_model(data: Data, whole: Report, tmp_path: Path) -> None:
    alone = run(data.job({}, slices=["country"]), tmp_path)
    for section in ("quality", "confusion_matrix", "coverage", "slices", "thresholds"):
        assert whole.data.get(section) == alone.data.get(section), section


def test_the_comparison_is_the_same_in_other_shards_and_batches(data: Data, whole: Report, tmp_path: Path) -> None:
    model = {"path": "model.onnx", "inputs": {"x": NAMES}, "batch_size": 17}
    other = run(data.job(ALL, slices=["country"], model=model, execution={"shard_rows": 70}), tmp_path)
    assert comparison(other) == comparison(whole)


def test_the_comparison_on_ray_is_that_of_one_process(
    data: Data, whole: Report, tmp_path: Path, ray_cluster: Any
) -> None:
    assert comparison(run(data.job(ALL, slices=["country"]), tmp_path, engine="ray")) == comparison(whole)


def comparison(report: Report) -> str:
    """The section about baselines without what the clock put into it."""
    kept = {
        name: {key: value for key, value in section.items() if "latency" not in key}
        for name, section in report.data["fidelity"].items()
    }
    return json.dumps(kept, sort_keys=True)


def test_another_baseline_is_another_run(data: Data, tmp_path: Path) -> None:
    run(data.job({"b": "same.onnx"}), tmp_path / "run")
    with pytest.raises(RunFolderError, match="of something else"):
        run(data.job({"b": "other.onnx"}), tmp_path / "run")


def test_a_run_with_the_same_baselines_is_there_already(data: Data, tmp_path: Path) -> None:
    job = data.job({"b": "same.onnx"})
    first = run(job, tmp_path / "run")
    assert run(job, tmp_path / "run").encode() == first.encode()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("gone.onnx", ModelError, r"baseline b: .*gone.onnx.*(no such file|not)"),
        ({"function": "gone:f"}, OrtbatchError, r"baseline b: baselines.b.function: no file .*gone.py"),
        ({"function": "prep:gone"}, OrtbatchError, "prep.py has no `gone`"),
        ({"function": "prep:broken"}, OrtbatchError, "raises on every one of the first .* rows.*never"),
        ({"scores": "gone"}, OrtbatchError, "baseline b: .*asks for gone; columns: f0"),
        ({"torch": "gone.pt2"}, ModelError, "baseline b: .*gone.pt2"),
        ({"path": "other.onnx", "inputs": {"x": ["f0"]}}, OrtbatchError, "baseline b: .*takes 20 values a row"),
        ({"function": "prep:scores", "columns": ["f0", "nix"]}, OrtbatchError, "asks for nix"),
    ],
)
def test_what_is_wrong_with_a_baseline_is_said_before_the_run(
    data: Data, spec: Any, error: type[OrtbatchError], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        check(data.job({"b": spec}))


def test_a_baseline_of_other_classes_is_refused(data: Data, tmp_path: Path) -> None:
    linear_model(tmp_path / "wide.onnx", FEATURES, 5)
    with pytest.raises(ModelError, match="baseline b: its output `out` scores 5 classes, the model's 3: 0, 1, 2"):
        check(data.job({"b": str(tmp_path / "wide.onnx")}))


@pytest.mark.parametrize("positive", ["0", "1"])
@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_a_stored_score_is_that_of_the_positive_class(tmp_path: Path, positive: str, kind: str) -> None:
    linear_model(tmp_path / "model.onnx", FEATURES, 2)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, FEATURES)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"x": x})[0].astype(np.float64)
    place = int(positive)
    stored = softmax(logits)[:, place] if kind == "probabilities" else logits[:, place] - logits[:, 1 - place]
    columns = {name: x[:, index] for index, name in enumerate(NAMES)}
    pq.write_table(pa.table({**columns, "label": rng.integers(0, 2, 300), "p": stored}), tmp_path / "d.parquet")
    job = Job.from_mapping(
        {
            "name": "stored",
            "model": {"path": "model.onnx", "inputs": {"x": NAMES}},
            "data": {"path": "d.parquet", "label": "label", "positive": positive},
            "baselines": {"b": {"scores": "p"}},
        },
        tmp_path,
    )
    found = counted(job).fidelity
    assert found.rows == 300
    assert found.gaps.largest_gap().value == pytest.approx(0, abs=1e-6)
    assert np.trace(found.joint.dense().sum(axis=0)) == 300


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_columns_that_a_graph_names_are_taken_by_name(tmp_path: Path, data: Data, order: tuple[int, ...]) -> None:
    """A classifier of scikit-learn whose classes are text, in another order than those of the job."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    names = np.array(["ant", "bee", "cat"])
    trained = LogisticRegression().fit(data.x, names[data.labels])
    (tmp_path / "model.onnx").write_bytes(to_onnx(trained, data.x[:1]).SerializeToString())
    expected = trained.predict(data.x)
    linear_model(tmp_path / "own.onnx", FEATURES, CLASSES)
    session = onnxruntime.InferenceSession(tmp_path / "own.onnx", providers=["CPUExecutionProvider"])
    classes = names[list(order)]
    own = classes[session.run(None, {"x": data.x})[0].argmax(axis=1)]
    columns = {name: data.x[:, index] for index, name in enumerate(NAMES)}
    pq.write_table(pa.table({**columns, "label": names[data.labels]}), tmp_path / "d.parquet")
    mapping = {
        "name": "named",
        "model": {"path": "own.onnx", "inputs": {"x": NAMES}},
        "data": {"path": "d.parquet", "label": "label", "classes": classes.tolist()},
        "baselines": {"b": {"path": "model.onnx", "inputs": {"X": NAMES}}},
    }
    found = counted(Job.from_mapping(mapping, tmp_path)).fidelity
    index = {name: place for place, name in enumerate(classes.tolist())}
    places = [np.array([index[name] for name in column]) for column in (names[data.labels], own, expected)]
    assert found.joint.dense().tolist() == joint(*places).tolist()


@pytest.mark.parametrize(
    ("spec", "predicted"),
    [
        ("other.onnx", lambda data: data.logits("other.onnx").argmax(axis=1)),
        ({"path": "named.onnx", "inputs": {"y": NAMES}}, lambda data: data.logits("named.onnx").argmax(axis=1)),
        ({"function": "prep:labels"}, lambda data: (data.x[:, 0] > 0).astype(np.int64)),
        ({"scores": "stored"}, lambda data: data.stored.argmax(axis=1)),
    ],
)
def test_rows_that_the_filter_leaves_out_are_left_out_of_both(data: Data, spec: Any, predicted: Any) -> None:
    asked = {"path": "data", "label": "label", "filter": [["country", "==", 1]]}
    found = counted(data.job({"b": spec}, data=asked)).fidelity
    kept = data.country == 1
    columns = (data.labels, data.logits("model.onnx").argmax(axis=1), predicted(data))
    assert found.joint.dense().tolist() == joint(*(column[kept] for column in columns)).tolist()
    assert {row.row for row in found.worst.rows()} <= set(range(ROWS // FILES))
