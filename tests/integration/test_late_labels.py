"""Stored predictions joined with late labels give the report of the model over the same rows, and say who met whom."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from tests.nights import Night, labelled, scored_sections

ROWS = 600
ENDS = [("logits", 3), ("Softmax", 5), ("logits", 1), ("logits", 2), ("Softmax", 2), ("Sigmoid", 1), ("ArgMax", 4)]
IDS: dict[str, Any] = {
    "int64": pa.array(range(10**12, 10**12 + ROWS)),
    "int32": pa.array(range(-5, ROWS - 5), pa.int32()),
    "uint64": pa.array(range(ROWS), pa.uint64()),
    "text": pa.array([f"ünïcode-{number}" for number in range(ROWS)]),
    "large text": pa.array([f"{number}" * 9 for number in range(ROWS)], pa.large_string()),
    "dictionary": pa.array([f"id {number}" for number in range(ROWS)]).dictionary_encode(),
    "empty text among others": pa.array(["", *map(str, range(ROWS - 1))]),
}


def night_of(folder: Path, ids: Any = None, **shape: Any) -> tuple[Night, pa.Table]:
    night = Night(folder, **shape)
    return night, night.make(IDS["text"] if ids is None else ids)


@pytest.mark.parametrize(("end", "columns"), ENDS)
def test_the_report_is_to_the_byte_that_of_the_model(tmp_path: Path, end: str, columns: int) -> None:
    night, table = night_of(tmp_path, end=end, columns=columns)
    night.score(scores=end != "ArgMax")
    rows = labelled(table, max(2, columns))
    joined, full = night.late(rows, slices=["group"]), night.full(slices=["group"])
    assert scored_sections(joined) == scored_sections(full)
    assert joined.report.data["coverage"]["rows"] == full.report.data["coverage"]["rows"]


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_every_kind_find_their_scores(tmp_path: Path, kind: str) -> None:
    night, table = night_of(tmp_path, IDS[kind])
    night.score()
    rows = labelled(table, 3)
    assert scored_sections(night.late(rows)) == scored_sections(night.full())


def test_the_width_of_integers_does_not_matter(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, pa.array(range(ROWS), pa.int64()))
    night.score()
    rows = labelled(table, 3)
    narrow = rows.set_column(0, "id", rows["id"].cast(pa.uint16()))
    joined, full = night.late(narrow).report.data, night.full(rows).report.data
    # Which half a row belongs to goes by the file, and the files are not the same.
    assert joined["quality"] == full["quality"]


def test_metrics_are_those_that_scikit_learn_makes_of_the_stored_scores(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, end="Softmax", columns=4)
    night.score()
    rows = labelled(table, 4)
    quality = night.late(rows).report.data["quality"]
    stored = pa.concat_tables(map(pq.read_table, sorted((tmp_path / "predictions" / "dt=1").glob("*.parquet"))))
    by_id = dict(zip(stored["id"].to_pylist(), stored["scores"].to_pylist(), strict=True))
    scores = np.array([by_id[each] for each in rows["id"].to_pylist()])
    truth = rows["y"].to_numpy()
    assert quality["accuracy"]["value"] == accuracy_score(truth, scores.argmax(axis=1))
    assert quality["log_loss"]["value"] == pytest.approx(log_loss(truth, scores / scores.sum(1, keepdims=True)), 1e-6)


def test_another_threshold_is_that_of_the_late_job(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, end="Sigmoid", columns=1)
    night.score()
    rows = labelled(table, 2)
    joined, full = night.late(rows, threshold=0.3), night.full(threshold=0.3)
    assert scored_sections(joined) == scored_sections(full)


def with_ids(table: pa.Table, ids: list[Any]) -> pa.Table:
    return table.set_column(0, "id", pa.array(ids, table.schema.field("id").type))


def oracle(stored: list[Any], rows: list[Any]) -> dict[str, int]:
    """What a loop over dictionaries says of ids here and there; all stored rows have scores."""
    here, there = Counter(rows), Counter(stored)
    twice = {each for each, count in (*here.items(), *there.items()) if count > 1 and each is not None}
    known = set(there) - twice - {None}
    matched = [each for each in rows if each in known]
    return {
        "predictions": len(stored),
        "scored": len(stored),
        "rows": len(rows),
        "matched": len(matched),
        "unmatched_predictions": len(known - set(matched)),
        "unmatched_rows": sum(each is not None and each not in twice and each not in known for each in rows),
        "duplicate_ids": len(twice),
        "duplicate_rows": sum(each in twice for each in rows),
        "null_ids": here[None],
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", [False, True])
def test_who_met_whom_is_what_a_loop_counts(tmp_path: Path, seed: int, text: bool) -> None:
    rng = np.random.default_rng(seed)

    def draw(count: int) -> list[Any]:
        numbers = rng.integers(0, 400, count).tolist()
        ids = [f"id{number}" if text else number for number in numbers]
        return [None if rng.random() < 0.02 else each for each in ids]

    stored, ids = draw(300), draw(200)
    night, table = night_of(tmp_path, pa.array(stored))
    night.score()
    rows = with_ids(labelled(table.slice(0, 200), 3), ids)
    report = night.late(rows).report.data
    expected = oracle(stored, ids)
    assert {name: report["join"][name] for name in expected} == expected
    reasons = {"no_prediction": "unmatched_rows", "duplicate_id": "duplicate_rows", "null_id": "null_ids"}
    wanted = {reason: expected[name] for reason, name in reasons.items() if expected[name]}
    assert report["coverage"]["rows"]["rejected"] == wanted
    assert report["coverage"]["rows"]["evaluated"] == expected["matched"]


def test_rows_that_met_are_evaluated_as_if_there_were_no_others(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, columns=3)
    night.score()
    rows = labelled(table, 3)
    ids = rows["id"].to_pylist()
    odd = [None, "unknown", ids[7], *ids[3:]]
    good = [place for place, each in enumerate(odd) if each is not None and odd.count(each) == 1 and each != "unknown"]
    joined = night.late(with_ids(rows, odd)).report.data
    alone = night.full(rows.take(pa.array(good))).report.data
    assert joined["confusion_matrix"] == alone["confusion_matrix"]
    assert joined["quality"]["log_loss"] == alone["quality"]["log_loss"]


def test_one_bad_row_too_many_is_incomplete(tmp_path: Path) -> None:
    night, table = night_of(tmp_path)
    night.score()
    rows = labelled(table, 3)
    missing = with_ids(rows, ["unknown", *rows["id"].to_pylist()[1:]])
    outcomes = [night.late(missing, data={"max_bad_rows": allowed}).report for allowed in (1, 0)]
    assert [(report.status, report.exit_code) for report in outcomes] == [("ungated", 0), ("incomplete", 3)]


def test_rows_whose_scores_are_no_numbers_are_rejected_for_that(tmp_path: Path) -> None:
    night = Night(tmp_path)
    table = night.make(IDS["text"])
    broken = table["f0"].to_numpy().copy()
    broken[:5] = np.nan
    night.write("data", table.set_column(1, "f0", pa.array(broken)))
    night.score()
    report = night.late(labelled(table, 3)).report.data
    assert report["coverage"]["rows"]["rejected"] == {"nan_score": 5}
    assert report["join"]["matched"] == ROWS


def test_a_filter_and_null_labels_come_before_the_join_is_judged(tmp_path: Path) -> None:
    night, table = night_of(tmp_path)
    night.score()
    rows = labelled(table, 3)
    labels = rows["y"].to_pylist()
    rows = rows.set_column(rows.schema.get_field_index("y"), "y", pa.array([None, None, *labels[2:]]))
    filtered = {"filter": [["group", "==", "g1"]]}
    joined, full = night.late(rows, data=filtered), night.full(data=filtered)
    assert joined.report.data["coverage"]["rows"] == full.report.data["coverage"]["rows"]
    assert scored_sections(joined) == scored_sections(full)


def test_labels_alone_give_what_labels_tell_and_a_reason_for_the_rest(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, columns=4)
    night.score(scores=False, top_k=2)
    joined, full = night.late(labelled(table, 4)).report.data, night.full().report.data
    assert joined["confusion_matrix"] == full["confusion_matrix"]
    assert joined["quality"]["accuracy"] == full["quality"]["accuracy"]
    assert (joined["quality"]["log_loss"]["value"], joined["join"]["whole"]) == (None, False)
    assert joined["quality"]["log_loss"]["reason"]
    assert "scores_not_kept" in {finding["code"] for finding in joined["findings"]}


@pytest.mark.parametrize(("end", "columns", "positive"), [("logits", 2, "0"), ("Sigmoid", 1, "1"), ("Softmax", 2, "1")])
def test_the_score_of_two_classes_gives_all_metrics_nearly(
    tmp_path: Path, end: str, columns: int, positive: str
) -> None:
    night, table = night_of(tmp_path, end=end, columns=columns)
    model = {"path": "model.onnx", "inputs": {"x": [f"f{n}" for n in range(4)]}}
    kept = {"path": "predictions/dt=1", "columns": ["id"]}
    data = {"unlabelled": "score", "positive": positive}
    night.run(night.job("night", model, "data", data=data, predictions=kept))
    rows = labelled(table, 2)
    joined, full = (run(rows, data={"positive": positive}).report.data for run in (night.late, night.full))
    assert joined["confusion_matrix"] == full["confusion_matrix"]
    for metric in ("log_loss", "brier", "roc_auc", "average_precision"):
        assert joined["quality"][metric]["value"] == pytest.approx(full["quality"][metric]["value"], rel=1e-5)


def test_latency_is_absent_and_says_why(tmp_path: Path) -> None:
    night, table = night_of(tmp_path)
    night.score()
    latency = night.late(labelled(table, 3)).report.data["latency"]
    assert {section["count"] for section in latency.values()} == {0}
    reasons = {section["p99_ms"]["reason"] for section in latency.values()}
    assert reasons == {"scores are stored: no model was run"}


def test_a_finished_join_is_not_done_again(tmp_path: Path) -> None:
    night, table = night_of(tmp_path)
    night.score()
    first, again = night.late(labelled(table, 3)), night.late(force=False)
    assert (first.repeated, again.repeated) == (False, True)


def test_another_column_of_ids_is_another_run(tmp_path: Path) -> None:
    from ortbatch.errors import RunFolderError

    night, table = night_of(tmp_path)
    night.write("data", table.append_column("other", table["id"]), 3)
    night.score(columns=["id", "other"])
    rows = labelled(table, 3)
    night.late(rows.append_column("other", rows["id"]))
    by_other = night.job("late", {"scores": "predictions/dt=1", "join": "other"}, "late")
    with pytest.raises(RunFolderError, match="what is evaluated"):
        night.run(by_other)


def test_other_predictions_are_another_run(tmp_path: Path) -> None:
    from ortbatch.errors import RunFolderError

    night, table = night_of(tmp_path)
    night.score()
    night.late(labelled(table, 3))
    night.score(scores=False, force=True)
    with pytest.raises(RunFolderError, match="model is"):
        night.late(force=False)


def test_provenance_names_predictions_and_their_model(tmp_path: Path) -> None:
    import hashlib

    night, table = night_of(tmp_path)
    scored = night.score().report.data
    model = night.late(labelled(table, 3)).report.data["provenance"]["model"]
    manifest = (tmp_path / "predictions" / "dt=1" / "_manifest.json").read_bytes()
    assert model["sha256"] == hashlib.sha256(manifest).hexdigest()
    assert model["scores_of"] == scored["provenance"]["model"]["sha256"]


def test_nothing_is_left_in_the_temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import tempfile

    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    night, table = night_of(tmp_path / "job")
    night.score()
    night.late(labelled(table, 3))
    gc.collect()
    assert list(temp.iterdir()) == []


def test_on_ray_it_is_the_same(tmp_path: Path, ray_cluster: Any) -> None:
    night, table = night_of(tmp_path)
    night.score()
    inline = night.late(labelled(table, 3), slices=["group"])
    there = Night(tmp_path, engine="ray").late(slices=["group"])
    assert there.report.data["provenance"]["engine"]["engine"] == "ray"
    assert scored_sections(there) == scored_sections(inline)


def test_counts_are_those_of_a_confusion_matrix_made_by_hand(tmp_path: Path) -> None:
    night, table = night_of(tmp_path, columns=3)
    night.score()
    rows = labelled(table, 3)
    report = night.late(rows).report
    stored = pa.concat_tables(map(pq.read_table, sorted((tmp_path / "predictions" / "dt=1").glob("*.parquet"))))
    said = dict(zip(stored["id"].to_pylist(), stored["predicted"].to_pylist(), strict=True))
    predicted = [int(said[each]) for each in rows["id"].to_pylist()]
    assert report.confusion_matrix.tolist() == confusion_matrix(rows["y"].to_numpy(), predicted).tolist()
