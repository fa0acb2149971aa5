"""Real runs compared: two models on the same rows against a pandas merge, and all that can be amiss."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

import ortbatch
from ortbatch.api import Options, run_job
from ortbatch.data import storage
from ortbatch.engine import pairs as reading
from ortbatch.errors import DataError, StorageError
from ortbatch.job import Job
from tests.command_line import CLASSES, FEATURES, call
from tests.models import linear_model, linear_weights
from tests.tables import corrupt

# Preflight reads 256 rows, and so not the last file.
ROWS = (90, 3, 300, 47)


def write_data(folder: Path, seed: int = 0) -> None:
    """Files of rows with an id, of which some have no label, some a null feature, some another split."""
    rng, first = np.random.default_rng(seed), 0
    for number, rows in enumerate(ROWS):
        x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
        weights, bias = linear_weights(FEATURES, CLASSES)
        label = np.argmax(x @ weights + bias, axis=1)
        wrong = rng.random(rows) < 0.2
        label[wrong] = (label[wrong] + 1) % CLASSES
        columns = {f"f{place}": pa.array(x[:, place]) for place in range(FEATURES)}
        # The model makes no number of it: a row with a label, rejected.
        columns["f0"] = pa.array(x[:, 0], mask=rng.random(rows) < 0.05)
        columns["label"] = pa.array(label, pa.int64(), mask=rng.random(rows) < 0.05)
        columns["split"] = pa.array(np.where(rng.random(rows) < 0.1, "train", "test"))
        columns["id"] = pa.array(np.arange(first, first + rows))
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet", write_page_checksum=True)
        first += rows


def change_weights(source: Path, target: Path, by: float) -> None:
    model = onnx.load(source)
    rng = np.random.default_rng(7)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        moved = values + rng.normal(scale=by, size=values.shape).astype(values.dtype)
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(values.dtype), tensor.name))
    onnx.save(model, target)


def keys(model: str = "old.onnx", **changes: Any) -> dict[str, Any]:
    return {
        "name": "pair",
        "model": {"path": model, "inputs": {"x": [f"f{place}" for place in range(FEATURES)]}, "batch_size": 32},
        "data": {
            "path": "data",
            "label": "label",
            "filter": [["split", "==", "test"]],
            "unlabelled": "score",
            "max_bad_rows": 99,
        },
        "latency": {"max_seconds": 0.05},
        "execution": {"shard_rows": 100},
        "predictions": {"columns": ["id"]},
        **changes,
    }


def run(folder: Path, to: str, model: str = "old.onnx", **changes: Any) -> Path:
    given = {key: value for key, value in keys(model, **changes).items() if value is not None}
    run_job(Job.from_mapping(given, folder), Options(run_dir=str(folder / to), engine="inline"))
    return folder / to


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `old` and `new` of two models with predictions, `bare` without; do not write beside them."""
    folder = tmp_path_factory.mktemp("pair")
    write_data(folder / "data")
    linear_model(folder / "old.onnx", FEATURES, CLASSES)
    change_weights(folder / "old.onnx", folder / "new.onnx", 0.4)
    run(folder, "old")
    run(folder, "new", "new.onnx", predictions={"columns": ["f0", "id"], "top_k": 2})
    run(folder, "bare", "new.onnx", predictions=None)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """Copies of `old` and `new` to be damaged."""
    for name in ("old", "new"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def predicted(run: Path) -> pd.DataFrame:
    parts = sorted((run / "predictions").glob("part-*.parquet"))
    return pd.concat([pq.read_table(part).to_pandas() for part in parts])


def merged(made: Path) -> pd.DataFrame:
    """Rows that both runs evaluated, by id."""
    both = predicted(made / "old").merge(predicted(made / "new"), on="id", suffixes=("_old", "_new"))
    assert len(both) == sum(ROWS)
    return both


def evaluated(both: pd.DataFrame) -> pd.DataFrame:
    return both[both.label_old.notna() & both.rejected_reason_old.isna() & both.rejected_reason_new.isna()]


def table(rows: pd.DataFrame) -> list[int]:
    old, new = rows.label_old == rows.predicted_old, rows.label_new == rows.predicted_new
    return [int((a & b).sum()) for a, b in ((old, new), (old, ~new), (~old, new), (~old, ~new))]


COUNTS = ("both_right", "only_old_right", "only_new_right", "both_wrong")


def test_the_joint_table_is_that_of_a_merge_by_id(made: Path) -> None:
    pairs = ortbatch.compare(str(made / "old"), str(made / "new")).data["pairs"]
    both = merged(made)
    rows = evaluated(both)
    assert 0 < len(rows) < sum(ROWS)
    assert (both.label_old.notna() & both.rejected_reason_old.notna()).any()
    assert [pairs[key] for key in COUNTS] == table(rows)
    assert min(table(rows)) > 0
    for entry in pairs["per_class"]:
        assert [entry[key] for key in COUNTS] == table(rows[rows.label_old == entry["class"]])
    asked = both[both.predicted_old.notna() & both.predicted_new.notna()]
    assert pairs["predicted_by_both"] == len(asked) > len(rows)
    assert pairs["flipped"] == (asked.predicted_old != asked.predicted_new).sum() > 0


def test_paired_differences_are_those_of_the_reports(made: Path) -> None:
    found = ortbatch.compare(str(made / "old"), str(made / "new")).metrics
    old, new = (ortbatch.read_report(str(made / name)) for name in ("old", "new"))
    gain = new.quality["accuracy"].value - old.quality["accuracy"].value  # type: ignore[operator]
    assert found["accuracy"]["difference"] == pytest.approx(gain, abs=1e-12)
    assert found["accuracy"]["method"] == "newcombe_paired"
    for name in old.classes:
        both = (side.per_class[name]["recall"].value for side in (old, new))
        entry = found[f"recall[{name}]"]
        assert (entry["old"], entry["new"]) == pytest.approx(tuple(both))
        assert entry["method"] == "newcombe_paired"


def test_what_changed_between_the_runs_is_named(made: Path) -> None:
    what = {entry["what"] for entry in ortbatch.compare(str(made / "old"), str(made / "new")).data["changed"]}
    assert {"model sha256", "job.model.path", "job.predictions.top_k", "job.predictions.columns"} <= what
    assert not {"data digest", "batch size", "host CPU"} & what


def test_a_run_compared_with_itself_differs_in_nothing(made: Path) -> None:
    comparison = ortbatch.compare(str(made / "old"), str(made / "old" / "report.json"), max_drop={"accuracy": 0})
    pairs = comparison.data["pairs"]
    assert (pairs["only_old_right"], pairs["only_new_right"], pairs["flipped"]) == (0, 0, 0)
    assert pairs["mcnemar_mid_p"] == 1.0
    assert comparison.data["changed"] == []
    assert {entry["verdict"] for entry in comparison.metrics.values()} == {"not significant", "cannot be told"}
    assert comparison.exit_code == 0


def test_counts_do_not_depend_on_how_files_are_read(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ortbatch.compare(str(made / "old"), str(made / "new")).data
    monkeypatch.setattr(reading, "_ROWS", 7)
    assert ortbatch.compare(str(made / "old"), str(made / "new")).data == wanted


def test_without_predictions_rows_are_not_paired_and_that_is_said(made: Path) -> None:
    for old, new, whose in (("old", "bare", "new"), ("bare", "new", "old")):
        comparison = ortbatch.compare(str(made / old), str(made / new))
        why = f"the same rows, but the {whose} run kept no predictions"
        assert comparison.data["pairs"] == {"paired": False, "why": why}
        assert comparison.data["rows"] == {"same": True}
        assert comparison.metrics["accuracy"]["method"] == "mover"
    assert "independent samples" in call("compare", made / "old", made / "bare").out


def test_predictions_can_be_left_unread(made: Path) -> None:
    comparison = ortbatch.compare(str(made / "old"), str(made / "new"), unpaired=True)
    assert comparison.data["pairs"]["paired"] is False
    assert comparison.metrics["accuracy"]["method"] == "mover"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": {**keys()["data"], "filter": None}}, "the filter is another"),
        ({"execution": {"shard_rows": 50}}, "the data are others"),
    ],
)
def test_other_rows_are_not_paired(made: Path, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    for name in ("data", "old.onnx"):
        (tmp_path / name).symlink_to(made / name)
    comparison = ortbatch.compare(str(made / "old"), str(run(tmp_path, "run", **changes)))
    assert comparison.data["pairs"] == {"paired": False, "why": f"not the same rows: {why}"}


def manifest(run: Path) -> Path:
    return run / "predictions" / "_manifest.json"


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(manifest(run).read_text())
    change(data)
    manifest(run).write_text(json.dumps(data))


def first_part(run: Path) -> Path:
    return sorted((run / "predictions").glob("part-*.parquet"))[0]


def flip_a_byte(run: Path) -> None:
    content = bytearray(first_part(run).read_bytes())
    content[len(content) // 2] ^= 1
    first_part(run).write_bytes(content)


def rewrite_part(run: Path, change: Callable[[pa.Table], pa.Table], **entry: Any) -> None:
    """Another table under a hash that is right."""
    part = first_part(run)
    pq.write_table(change(pq.read_table(part)), part)
    sha256 = hashlib.sha256(part.read_bytes()).hexdigest()
    rewrite(run, lambda data: data["files"][0].update(sha256=sha256, **entry))


def set_column(name: str, values: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, pa.array(values(table[name].to_pylist()), pa.string()))

    return change


def other_labels(labels: list[Any]) -> list[Any]:
    return [None if label is None else str((int(label) + 1) % CLASSES) for label in labels]


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (flip_a_byte, "damaged, its hash is not the one in _manifest.json"),
    "a cut": (lambda run: first_part(run).write_bytes(first_part(run).read_bytes()[:-9]), "its hash is not the one"),
    "a part is gone": (lambda run: first_part(run).unlink(), "no such file"),
    "no JSON": (lambda run: manifest(run).write_text("{"), "damaged, it is no manifest"),
    "no list": (lambda run: rewrite(run, lambda m: m.update(files=3)), "damaged, it is no manifest"),
    "a file less": (lambda run: rewrite(run, lambda m: m["files"].pop()), "rows of 440 planned ones"),
    "a file twice": (lambda run: rewrite(run, lambda m: m["files"].append(m["files"][0])), "of 440 planned ones"),
    "a path": (lambda run: rewrite(run, lambda m: m["files"][0].update(name="../x.parquet")), "it is no manifest"),
    "another run": (lambda run: rewrite(run, lambda m: m.update({"ortbatch.evaluation_digest": "0"})), "another run"),
    "rows": (lambda run: rewrite_part(run, lambda t: t.slice(1)), "rows, not"),
    "no column": (lambda run: rewrite_part(run, lambda t: t.drop_columns(["predicted"])), "no file of predictions"),
    "a class": (
        lambda run: rewrite_part(run, set_column("predicted", lambda v: ["x"] * len(v))),
        "none of the classes",
    ),
    "labels": (lambda run: rewrite_part(run, set_column("label", other_labels)), "the rows are not the same"),
    "no Parquet": (lambda run: _no_parquet(run), "no file of predictions"),
    "evaluated": (
        lambda run: rewrite_part(run, set_column("rejected_reason", lambda v: ["filtered"] * len(v))),
        "evaluated rows, its report",
    ),
}


def _no_parquet(run: Path) -> None:
    first_part(run).write_bytes(b"PAR1 and no more PAR1")
    sha256 = hashlib.sha256(first_part(run).read_bytes()).hexdigest()
    rewrite(run, lambda data: data["files"][0].update(sha256=sha256))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("side", ["old", "new"])
def test_damaged_predictions_are_an_error_that_says_where(copy: Path, damage: str, side: str) -> None:
    harm, said = DAMAGES[damage]
    harm(copy / side)
    done = call("compare", copy / "old", copy / "new")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "predictions" in done.err
    assert call("compare", copy / "old", copy / "new", "--unpaired").code == 0


@pytest.mark.parametrize("name", ["_SUCCESS", "_manifest.json"])
def test_incomplete_predictions_are_not_paired_and_that_is_said(copy: Path, name: str) -> None:
    (copy / "new" / "predictions" / name).unlink()
    pairs = ortbatch.compare(str(copy / "old"), str(copy / "new")).data["pairs"]
    why = f"the same rows, but the new run has no complete predictions any more (predictions/{name} is gone)"
    assert pairs == {"paired": False, "why": why}


def test_a_store_that_fails_ends_with_5(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(uri: str) -> bytes:
        if "part-" in uri:
            raise StorageError("the store is away")
        return storage.content_of(uri)

    monkeypatch.setattr(reading, "read_bytes", fails)
    assert call("compare", copy / "old", copy / "new").code == 5


def test_a_quarantined_shard_has_rows_that_only_the_other_run_evaluated(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copy(made / "old.onnx", tmp_path)
    options: dict[str, Any] = {
        "execution": {"shard_rows": 1, "on_bad_shard": "quarantine"},
        "data": {**keys()["data"], "max_bad_rows": sum(ROWS)},
    }
    whole = run(tmp_path, "whole", **options)
    # Its footer, and so the plan, stay what they were.
    corrupt(tmp_path / "data" / "part-3.parquet", column=0, group=0)
    part = run(tmp_path, "part", **options)
    (left_out,) = ortbatch.read_report(str(part)).data["coverage"]["shards"]["quarantined"]
    lost = predicted(whole).iloc[-ROWS[-1] :]
    wanted = int((lost.label.notna() & lost.rejected_reason.isna()).sum())
    assert (left_out["rows"], wanted > 0) == (ROWS[-1], True)
    for old, new, alone in ((whole, part, (wanted, 0)), (part, whole, (0, wanted))):
        pairs = ortbatch.compare(str(old), str(new)).data["pairs"]
        assert (pairs["only_evaluated_by"]["old"], pairs["only_evaluated_by"]["new"]) == alone
        assert pairs["flipped"] == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--max-drop", "accuracy=1"), 0),
        (("--max-drop", "accuracy=0"), 1),
        (("--max-drop", "accuracy=1", "--confidence", "0.95"), 0),
        (("--max-drop", "accuracy=0", "--max-drop", "recall[2]=1"), 1),
        (("--max-drop", "latency.single.p99_ms=60000"), 4),
        (("--max-drop", "coverage=0"), 0),
        (("--max-drop", "coverage=0", "--confidence", "0.9"), 4),
    ],
)
def test_the_exit_code_says_whether_a_metric_dropped_too_far(made: Path, options: tuple[str, ...], code: int) -> None:
    assert ortbatch.compare(str(made / "old"), str(made / "new")).metrics["accuracy"]["difference"] < 0
    if "latency.single.p99_ms=60000" in options:
        counts = [ortbatch.read_report(str(made / name)).data["latency"]["single"]["count"] for name in ("old", "new")]
        code = 4 if min(counts) < 368 else 0
    done = call("compare", made / "old", made / "new", *options)
    assert (done.code, done.err) == (code, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-drop", "acuracy=0.1"), "unknown metric `acuracy`; did you mean `accuracy`?"),
        (("--max-drop", "accuracy"), "expected METRIC=NUMBER"),
        (("--max-drop", "accuracy=1%"), "percentages are not allowed"),
        (("--max-drop", "accuracy=-1"), "a number of at least 0"),
        (("--max-drop", "recall[3]=0.1"), "none of the classes"),
        (("--max-drop", "recall=0.1"), "`recall` needs a class"),
        (("--confidence", "95"), "confidence lies between 0.5 and 1"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what_is_meant(made: Path, options: tuple[str, ...], said: str) -> None:
    done = call("compare", made / "old", made / "new", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_folder_without_a_run_ends_with_2(made: Path, tmp_path: Path) -> None:
    done = call("compare", tmp_path, made / "new")
    assert done.code == 2
    assert "no finished run here" in done.err


def test_the_json_is_what_python_gets(made: Path) -> None:
    done = call("compare", made / "old", made / "new", "--json")
    assert json.loads(done.out) == ortbatch.compare(str(made / "old"), str(made / "new")).data


def test_the_text_tells_the_table_and_the_words(made: Path) -> None:
    out = call("compare", made / "old", made / "new").out
    assert "changed: model sha256: " in out
    assert "right in both" in out
    assert "got another prediction" in out
    assert "worse" in out
    assert "would leave out 0" in out


def test_an_unreadable_manifest_raises_the_same_from_python(copy: Path) -> None:
    manifest(copy / "old").write_text("[]")
    with pytest.raises(DataError, match=r"_manifest\.json: damaged, it is no manifest"):
        ortbatch.compare(str(copy / "old"), str(copy / "new"))
