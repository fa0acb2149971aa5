"""Leakage of whole runs against plain Python over the rows, and quality without leaked rows against filtered files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch import api
from ortbatch.api import Options, run_job
from ortbatch.engine import checks
from ortbatch.errors import OrtbatchError, RunFolderError, ShardError
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests import leaky
from tests.leaky import NAMES, Leaky, drawn, make, mapping, places, write
from tests.models import mixed_model

WITHOUT = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss")


def run(folder: Path, checks: Any = None, *gates: str, into: Path, **keys: Any) -> Report:
    job = Job.from_mapping(mapping({} if checks is None else checks, *gates, **keys), folder)
    return run_job(job, Options(run_dir=str(into), engine="inline")).report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Leaky:
    return make(tmp_path_factory.mktemp("leaky"))


@pytest.fixture(scope="module")
def report(data: Leaky, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(data.folder, into=tmp_path_factory.mktemp("whole") / "run")


def test_rows_that_were_put_into_the_training_data_are_found_exactly(data: Leaky, report: Report) -> None:
    section, expected = report.data["leakage"], data.leaked()
    assert len(expected) == 20  # 1% of 2,000
    assert section["rows"] == len(expected)
    assert places(section["examples"]) == expected[:20]
    assert section["share"]["value"] == pytest.approx(0.01, abs=1e-12)
    assert section["training"]["matching"] == len(expected)


def test_each_leaked_row_is_named_with_its_first_twin(data: Leaky, report: Report) -> None:
    first: dict[leaky.Key, tuple[str, int]] = {}
    for name, row, key, _ in data.keys("train"):
        first.setdefault(key, (name, row))
    inputs = {(name, row): key for name, row, key, _ in data.keys("test")}
    for example in report.data["leakage"]["examples"]:
        here, there = places([example])[0], (Path(example["training_file"]).name, example["training_row"])
        assert there == first[inputs[here]]


def test_all_rows_are_looked_at(report: Report) -> None:
    section = report.data["leakage"]
    looked = {key: section["training"][key] for key in ("files", "rows", "looked_at", "unusable", "left_out")}
    assert looked == {"files": 4, "rows": 4_000, "looked_at": 4_000, "unusable": 0, "left_out": 0}
    assert (section["compared"], section["distinct"], section["duplicates"]) == (2_000, 2_000, 0)


def filtered(data: Leaky, folder: Path) -> Path:
    """The same job over files without the leaked rows."""
    leaked = set(data.leaked())
    (folder / "model.onnx").write_bytes((data.folder / "model.onnx").read_bytes())
    for name, (features, labels) in data.test.items():
        kept = [row for row in range(len(labels)) if (name, row) not in leaked]
        write(folder / "test" / name, features[kept], labels[kept])
    return folder


def test_quality_without_leaked_rows_is_that_of_the_job_on_filtered_files(
    data: Leaky, report: Report, tmp_path: Path
) -> None:
    job = Job.from_mapping(mapping(), filtered(data, tmp_path))
    clean = run_job(job, Options(run_dir=str(tmp_path / "run"), engine="inline")).report.data["quality"]
    without = report.data["leakage"]["without"]
    assert without["rows"] == clean["rows"] == 1_980
    assert {name: without[name] for name in WITHOUT} == {name: clean[name] for name in WITHOUT}


def test_counts_without_leaked_rows_are_those_of_filtered_files_to_the_last(
    data: Leaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def kept(*arguments: Any) -> Any:
        seen.append(checks_made(*arguments))
        return seen[-1]

    checks_made = checks.run_checks
    monkeypatch.setattr(checks, "run_checks", kept)
    run(data.folder, {"overfitting": False}, into=tmp_path / "one")
    monkeypatch.undo()
    clean = counted(Job.from_mapping(mapping(), filtered(data, tmp_path)))
    without = seen[0].without
    for name in ("coverage", "confusion", "log_loss", "brier", "own_label", "rejected_labels"):
        assert getattr(without, name) == getattr(clean, name), name
    # Which half of a histogram a row is in depends on its file and its place there.
    assert np.array_equal(without.scores.counts.sum(axis=1), clean.scores.counts.sum(axis=1))


def counted(job: Job) -> Any:
    """The tally of a job's own pass."""
    from ortbatch.engine.driver import drive
    from ortbatch.engine.inline import InlineFleet
    from ortbatch.engine.prepare import prepare

    prepared = prepare(job)
    fleet = InlineFleet(prepared)
    try:
        return drive(prepared, fleet).state.tally
    finally:
        fleet.close()


def test_the_difference_is_of_all_rows_minus_of_those_that_are_not_leaked(report: Report) -> None:
    section, quality = report.data["leakage"], report.data["quality"]
    for name in WITHOUT:
        expected = quality[name]["value"] - section["without"][name]["value"]
        assert section["difference"][name] == pytest.approx(expected, abs=1e-12)


def test_leaked_and_other_rows_are_all_rows(report: Report) -> None:
    section, quality = report.data["leakage"], report.data["quality"]
    right = [section[part]["rows"] * section[part]["accuracy"]["value"] for part in ("leaked", "without")]
    assert sum(right) == pytest.approx(quality["rows"] * quality["accuracy"]["value"], abs=1e-9)


@pytest.mark.parametrize("limit", [1_999, 300, 50])
def test_range_passes_find_the_same(
    data: Leaky, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(checks, "run_checks", partial(checks.run_checks, rows_at_once=limit))
    assert run(data.folder, into=tmp_path / "run").data["leakage"] == report.data["leakage"]


def test_gates_on_leaks_are_judged(data: Leaky, tmp_path: Path) -> None:
    gates = [
        "leakage.share <= 0.001", "leakage.rows <= 0", "leakage.duplicates <= 0", "leakage.share <= 0.02",
        "leakage.without.accuracy >= 0.2", "leakage.training_conflicts == 0",
    ]  # fmt: skip
    judged = run(data.folder, None, *gates, into=tmp_path / "run").data["gates"]
    assert [gate["outcome"] for gate in judged] == ["failed", "failed", "passed", "passed", "passed", "passed"]
    assert [gate["rows"] for gate in judged] == [2_000, 2_000, 2_000, 2_000, 1_980, 2_000]


def test_a_leak_of_one_in_a_hundred_rows_is_a_finding(report: Report) -> None:
    (found,) = [finding for finding in report.data["findings"] if finding["code"] == "leaked_rows"]
    assert found["severity"] == "error"
    assert "20 of 2,000 evaluation rows" in found["text"]


def test_rows_that_the_filter_leaves_out_are_no_evaluation_rows(data: Leaky, tmp_path: Path) -> None:
    folder = filtered(data, tmp_path)
    leaked = set(data.leaked())
    for name, (features, labels) in data.test.items():
        split = ["old" if (name, row) in leaked else "new" for row in range(len(labels))]
        write(folder / "test" / name, features, labels, extra={"split": split})
    asked = {"training_data": str(data.folder / "train"), "overfitting": False}
    section = run(folder, asked, into=tmp_path / "run", data={"filter": [["split", "==", "new"]]}).data["leakage"]
    assert (section["compared"], section["rows"], "leaked" in section) == (1_980, 0, False)


def test_rows_behind_those_that_the_filter_leaves_out_keep_their_places(data: Leaky, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((data.folder / "model.onnx").read_bytes())
    for name, (features, labels) in data.test.items():
        write(tmp_path / "test" / name, features, labels, extra={"row": np.arange(len(labels))})
    asked = {"training_data": str(data.folder / "train"), "overfitting": False}
    section = run(tmp_path, asked, into=tmp_path / "run", data={"filter": [["row", ">=", 150]]}).data["leakage"]
    expected = [(name, row) for name, row in data.leaked() if row >= 150]
    assert (section["rows"], places(section["examples"])) == (len(expected), expected[:20])
    assert section["without"]["rows"] == 4 * 350 - len(expected)


def test_a_training_row_that_the_model_cannot_be_given_is_no_twin(tmp_path: Path) -> None:
    mixed_model(tmp_path / "model.onnx", 2)
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"f{n}": rng.normal(size=60).astype(np.float32) for n in range(4)}
    columns |= {"n": np.zeros(60, np.int64), "label": rng.integers(0, 2, 60)}
    for half in ("test", "train"):
        (tmp_path / half).mkdir()
        # What stands for a null inside is 0.
        nulls = pa.array([0] * 20 + [None if half == "train" else 0] * 40, pa.int64())
        pq.write_table(pa.table({**columns, "n": nulls}), tmp_path / half / "a.parquet")
    model = {"path": "model.onnx", "inputs": {"x": ["f0", "f1", "f2", "f3"], "n": ["n"]}}
    section = run(tmp_path, {"overfitting": False}, into=tmp_path / "run", model=model).data["leakage"]
    assert (section["rows"], section["training"]["matching"], section["training"]["unusable"]) == (20, 20, 40)


def test_a_sample_is_compared_and_no_other_row(data: Leaky, tmp_path: Path) -> None:
    got = run(data.folder, into=tmp_path / "run", data={"sample": {"rows": 700, "seed": 3}}).data
    leaked = set(data.leaked())
    chosen = np.sort(np.random.default_rng(3).choice(2_000, 700, replace=False, shuffle=False)).tolist()
    rows = [(name, row) for name, row, _, _ in data.keys("test")]
    assert got["leakage"]["rows"] == sum(rows[n] in leaked for n in chosen) > 0
    assert got["leakage"]["compared"] == 700
    assert got["leakage"]["without"]["rows"] == 700 - got["leakage"]["rows"]


def test_rejected_and_unlabelled_leaked_rows_change_nothing_in_quality(tmp_path: Path) -> None:
    data = make(tmp_path, files=1, rows=200, leaked=0.1)
    features, labels = data.test["test-0.parquet"]
    leaked = [row for _, row in data.leaked()]
    strange = labels.copy()
    strange[leaked[:5]] = 7
    write(tmp_path / "test" / "test-0.parquet", features, strange)
    got = run(tmp_path, into=tmp_path / "run", data={"max_bad_rows": 5}).data
    section = got["leakage"]
    assert (section["compared"], section["rows"]) == (200, 20)
    assert got["coverage"]["rows"]["rejected"] == {"unknown_label": 5}
    assert (section["leaked"]["rows"], section["without"]["rows"]) == (15, 180)


def test_duplicates_and_conflicts_are_those_of_plain_loops(tmp_path: Path) -> None:
    data = make(tmp_path, files=2, rows=100, leaked=0.0)
    features, labels = data.test["test-1.parquet"]
    other, others = data.test["test-0.parquet"]
    features[:30], labels[:10], labels[10:30] = other[:30], others[:10], 1 - others[10:30]
    features[90] = other[0] * np.float32(1)
    write(tmp_path / "test" / "test-1.parquet", features, labels)
    train, train_labels = data.train["train-0.parquet"]
    train[:7], train_labels[:7] = other[:7], 1 - others[:7]
    write(tmp_path / "train" / "train-0.parquet", train, train_labels)
    section = run(tmp_path, {"overfitting": False}, into=tmp_path / "run").data["leakage"]
    here, there = data.labels_of("test"), data.labels_of("train")
    rows = data.keys("test")
    assert section["duplicates"] == len(rows) - len(here) == 31
    assert section["conflicts"] == sum(len(set(here[key])) > 1 for _, _, key, _ in rows)
    expected = sum(any(label != other for other in there.get(key, [])) for _, _, key, label in rows)
    assert section["training_conflicts"] == expected > 0
    first = section["conflict_examples"][0]
    assert first["class"] != first["other_class"]


def test_training_data_without_labels_leak_all_the_same(data: Leaky, tmp_path: Path) -> None:
    for name, (features, _) in data.train.items():
        write(tmp_path / "train" / name, features, None)
    asked = {"training_data": str(tmp_path / "train")}
    got = run(data.folder, asked, into=tmp_path / "run").data
    assert got["leakage"]["rows"] == len(data.leaked())
    assert got["leakage"]["training_conflicts"] is None
    assert "has no label column `label`" in got["leakage"]["training"]["no_labels"]
    assert got["overfitting"]["gaps"]["accuracy_gap"]["value"] is None
    assert "has no label column `label`" in got["overfitting"]["gaps"]["accuracy_gap"]["reason"]


def test_evaluation_on_the_training_data_is_an_error_that_says_so(data: Leaky, tmp_path: Path) -> None:
    got = run(data.folder, {"training_data": "test"}, into=tmp_path / "run").data
    (found,) = [finding for finding in got["findings"] if finding["code"] == "evaluated_on_training_data"]
    assert found["severity"] == "error"
    assert "all 2,000 evaluation rows stand in the training data (4 of the training files" in found["text"]
    assert got["leakage"]["without"]["accuracy"]["value"] is None
    assert got["overfitting"]["gaps"]["accuracy_gap"]["value"] == 0


def test_a_column_that_holds_the_label_is_named(tmp_path: Path) -> None:
    data = make(tmp_path, files=2, rows=400)
    for name, (features, labels) in data.test.items():
        features[:, 3] = labels * 2 - 1 + features[:, 3] / 100
        write(tmp_path / "test" / name, features, labels)
    got = run(tmp_path, {"overfitting": False}, into=tmp_path / "run").data
    assert [column["column"] for column in got["leakage"]["columns"]] == ["f3"]
    assert any("column `f3` gives the label away" in finding["text"] for finding in got["findings"])


def test_no_column_of_the_honest_job_is_named(report: Report) -> None:
    assert report.data["leakage"]["columns"] == []


def test_the_sections_are_the_same_bytes_in_every_run(data: Leaky, report: Report, tmp_path: Path) -> None:
    again = run(data.folder, into=tmp_path / "run").data
    for name in ("leakage", "overfitting"):
        assert json.dumps(again[name]) == json.dumps(report.data[name])


def test_a_finished_run_is_not_taken_for_one_with_other_training_data(tmp_path: Path) -> None:
    data = make(tmp_path, files=1, rows=100)
    run(tmp_path, into=tmp_path / "run")
    assert run(tmp_path, into=tmp_path / "run").data["leakage"]["rows"] == 1
    write(tmp_path / "train" / "more.parquet", *drawn(50, 9))
    with pytest.raises(RunFolderError, match="judged by other training data"):
        run(tmp_path, into=tmp_path / "run")
    assert data.leaked()


def test_a_model_whose_scores_depend_on_the_batch_is_evaluated_on_the_other_rows(
    data: Leaky, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The subtraction is not made where it might not be exact; the numbers are the same here, as they are exact.
    monkeypatch.setattr(checks._Checks, "_exact", property(lambda _: False))
    got = run(data.folder, {"overfitting": False}, into=tmp_path / "run").data
    assert got["leakage"]["without"] == report.data["leakage"]["without"]


def test_the_columns_of_a_transform_are_compared_and_it_is_not_run_for_that(data: Leaky, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((data.folder / "model.onnx").read_bytes())
    (tmp_path / "test").symlink_to(data.folder / "test")
    (tmp_path / "prep.py").write_text(
        "import numpy as np\n"
        "def feed(batch):\n"
        "    return np.stack([column.to_numpy() for column in batch.columns], axis=1).astype(np.float32)\n"
    )
    model = {"path": "model.onnx", "transform": {"function": "prep:feed", "columns": NAMES}}
    asked = {"training_data": str(data.folder / "train")}
    got = run(tmp_path, asked, into=tmp_path / "run", model=model).data
    assert places(got["leakage"]["examples"]) == data.leaked()[:20]
    assert (got["leakage"]["rows"], got["overfitting"]["rows"]) == (20, 4_000)


def test_shards_of_training_data_that_cannot_be_read_are_left_out_where_the_job_says_so(tmp_path: Path) -> None:
    data = make(tmp_path, files=2, rows=200)
    path = tmp_path / "train" / "train-0.parquet"
    content = bytearray(path.read_bytes())
    content[40:2_000] = bytes(1_960)
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"train-0\.parquet"):
        run(tmp_path, into=tmp_path / "one")
    got = run(tmp_path, into=tmp_path / "two", execution={"on_bad_shard": "quarantine"}).data
    training = got["leakage"]["training"]
    assert training["left_out"] > 0
    assert training["looked_at"] + training["left_out"] == 800
    assert [finding for finding in got["findings"] if finding["code"] == "training_rows_left_out"]
    assert data.leaked()


def test_check_tells_of_training_data_that_are_not_there(data: Leaky) -> None:
    with pytest.raises(OrtbatchError, match="nowhere"):
        api.check(Job.from_mapping(mapping({"training_data": "nowhere"}), data.folder))
