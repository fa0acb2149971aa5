"""Slices of whole runs against a plain loop over the rows: counts, metrics, and that nothing else shows in them."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

import ortbatch.engine.task
from ortbatch.api import Options, check, run_job
from ortbatch.data.plan import Plan
from ortbatch.data.survey import survey
from ortbatch.errors import RunFolderError
from ortbatch.job import Job
from ortbatch.metrics.slices import Cut
from ortbatch.report.report import Report
from tests.sliced import EDGES, PLAIN, Sliced, make

CROSSES = (["country", "device", "vip"], ["region", "day"])
SLICES = [*PLAIN, *CROSSES, {"column": "amount", "bins": EDGES}]
BY = [*((name,) for name in PLAIN), *map(tuple, CROSSES), ("amount",)]


@pytest.fixture(scope="module")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> Sliced:
    return make(tmp_path_factory.mktemp("sliced"))


def job(sliced: Sliced, *gates: str, slices: Any = SLICES, **keys: Any) -> Job:
    data = {"path": "data", "label": "label", "max_bad_rows": "5%", **keys.pop("data", {})}
    model = {"path": "model.onnx", "inputs": {"x": ["f0", "f1"]}, **keys.pop("model", {})}
    mapping = {"name": "t", "model": model, "data": data, "gates": list(gates), "latency": {"max_seconds": 0.01}}
    return Job.from_mapping({**mapping, "slices": slices, **keys}, sliced.folder)


def run(asked: Job, folder: Path, **options: Any) -> Report:
    return run_job(asked, Options(run_dir=str(folder / "run"), engine="inline", **options)).report


@pytest.fixture(scope="module")
def report(sliced: Sliced, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(job(sliced), tmp_path_factory.mktemp("whole"))


def entries(report: Report, by: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, Any]]:
    found = [entry for entry in report.data["slices"] if tuple(entry["by"]) == by]
    return {tuple(entry["slice"][column] for column in by): entry for entry in found}


@pytest.mark.parametrize("by", BY, ids="+".join)
def test_rows_of_each_slice_are_those_of_a_loop(sliced: Sliced, report: Report, by: tuple[str, ...]) -> None:
    parts = sliced.parts(sliced.evaluated(), *by)
    found = entries(report, by)
    assert {values: entry["rows"] for values, entry in found.items()} == {v: len(rows) for v, rows in parts.items()}
    assert sum(entry["rows"] for entry in found.values()) == report.data["quality"]["rows"]


@pytest.mark.parametrize("by", BY, ids="+".join)
def test_metrics_of_each_slice_are_scikit_learn_s(sliced: Sliced, report: Report, by: tuple[str, ...]) -> None:
    for values, rows in sliced.parts(sliced.evaluated(), *by).items():
        entry = entries(report, by)[values]
        labels, scores = sliced.labels(rows), sliced.scores(rows)
        predicted = scores >= 0.5
        assert entry["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-12)
        for name in ("recall", "precision", "f1"):
            value = getattr(metrics, f"{name}_score")(labels, predicted, zero_division=np.nan)
            assert entry[name]["value"] == (None if np.isnan(value) else pytest.approx(value, abs=1e-12)), name
        assert [row["support"] for row in entry["per_class"]] == [int((labels == c).sum()) for c in (0, 1)]
        assert [row["predicted"] for row in entry["per_class"]] == [int((predicted == c).sum()) for c in (0, 1)]
        assert entry["small"] == (len(rows) < 50)


@pytest.mark.parametrize("by", BY, ids="+".join)
def test_areas_of_each_slice_lie_within_their_bound(sliced: Sliced, report: Report, by: tuple[str, ...]) -> None:
    for values, rows in sliced.parts(sliced.evaluated(), *by).items():
        entry, labels = entries(report, by)[values], sliced.labels(rows)
        if len(set(labels)) < 2:
            assert entry["roc_auc"]["value"] is None
            continue
        scores = sliced.scores(rows)
        for name, exact in (
            ("roc_auc", metrics.roc_auc_score(labels, scores)),
            ("average_precision", metrics.average_precision_score(labels, scores)),
        ):
            low, high = entry[name]["bound"]
            assert low - 1e-12 <= exact <= high + 1e-12
            assert high - low < 0.15


def test_slices_whose_scores_say_less_are_found_and_stand_first(report: Report) -> None:
    found = report.data["slices"]
    worse = [entry for entry in found if entry["worse"]]
    assert worse == found[: len(worse)]
    assert ["FR"] in [list(entry["slice"].values()) for entry in worse]
    # Every other one is worse only as it is part of that one.
    assert all(entry["slice"].get("country") == "FR" for entry in worse)


def test_the_largest_shortfall_stands_first_and_others_by_cut_and_rows(report: Report) -> None:
    found = report.data["slices"]
    short = [min(item["difference"] for item in entry["worse"]) for entry in found if entry["worse"]]
    assert short == sorted(short)
    others = [(BY.index(tuple(entry["by"])), -entry["rows"]) for entry in found if not entry["worse"]]
    assert others == sorted(others)


def test_a_worse_slice_is_told_with_the_share_of_all_other_rows(sliced: Sliced, report: Report) -> None:
    parts = sliced.parts(sliced.evaluated(), "country")
    rest = [n for values, rows in parts.items() if values != ("FR",) for n in rows]
    expected = metrics.accuracy_score(sliced.labels(rest), sliced.scores(rest) >= 0.5)
    said = next(item for item in entries(report, ("country",))["FR",]["worse"] if item["metric"] == "accuracy")
    assert said["rest"] == pytest.approx(expected, abs=1e-12)
    assert said["difference"] == pytest.approx(said["value"] - said["rest"], abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 33, 5_000])
def test_neither_order_nor_batches_nor_shards_show(
    sliced: Sliced, report: Report, tmp_path: Path, batch_size: int
) -> None:
    asked = job(sliced, model={"batch_size": batch_size}, execution={"shard_rows": 100 + batch_size})
    order = list(range(len(check(asked).plan.shards)))
    random.Random(batch_size).shuffle(order)
    other = run(asked, tmp_path, order=order)
    for section in ("quality", "slices"):
        assert json.dumps(other.data[section]) == json.dumps(report.data[section])


def test_slices_on_ray_are_those_of_one_process(
    sliced: Sliced, report: Report, tmp_path: Path, ray_cluster: object
) -> None:
    asked = job(sliced, execution={"workers": 2, "cpus_per_worker": 1, "shard_rows": 100})
    there = run_job(asked, Options(run_dir=str(tmp_path / "run"), engine="ray")).report
    assert json.dumps(there.data["slices"]) == json.dumps(report.data["slices"])
    assert json.dumps(there.data["quality"]) == json.dumps(report.data["quality"])


def test_a_filter_leaves_rows_out_of_slices_too(sliced: Sliced, tmp_path: Path) -> None:
    slices = ["split", "country"]
    found = run(job(sliced, slices=slices, data={"filter": [["split", "==", "test"]]}), tmp_path)
    kept = sliced.evaluated(lambda row: row["split"] == "test")
    # `train` is a value of the data, but none of its rows is left.
    assert {v: e["rows"] for v, e in entries(found, ("split",)).items()} == {("test",): len(kept)}
    rows = {values: len(part) for values, part in sliced.parts(kept, "country").items()}
    assert {v: e["rows"] for v, e in entries(found, ("country",)).items()} == rows


def test_unlabelled_rows_are_in_no_slice(sliced: Sliced, report: Report, tmp_path: Path) -> None:
    found = run(job(sliced, data={"unlabelled": "score"}), tmp_path)
    assert found.data["coverage"]["rows"]["unlabelled"] > 0
    assert found.data["slices"] == report.data["slices"]


PAIR = """
import numpy as np

def pair(batch):
    x = np.column_stack([batch.column("f0").to_numpy(), batch.column("f1").to_numpy()])
    if np.isnan(x).any():
        raise ValueError("no number")
    return x.astype(np.float32)
"""


def test_rows_on_which_a_transform_raises_are_in_no_slice(sliced: Sliced, report: Report, tmp_path: Path) -> None:
    (sliced.folder / "pairs.py").write_text(PAIR)
    model = {"inputs": None, "transform": {"function": "pairs:pair", "columns": ["f0", "f1"]}, "batch_size": 64}
    found = run(job(sliced, model=model), tmp_path)
    assert found.data["coverage"]["rows"]["rejected"]["transform_error"] > 0
    assert found.data["slices"] == report.data["slices"]


def test_slices_of_a_sample_are_those_of_its_rows(sliced: Sliced, tmp_path: Path) -> None:
    found = run(job(sliced, slices=["big", "country"], data={"sample": {"rows": 700, "seed": 3}}), tmp_path)
    rows = [sum(entry["rows"] for entry in entries(found, (by,)).values()) for by in ("big", "country")]
    assert rows == [found.data["quality"]["rows"]] * 2


def test_a_run_without_slices_has_neither_section_nor_another_digest(sliced: Sliced, tmp_path: Path) -> None:
    plain = check(job(sliced, slices=[]))
    assert plain.evaluation.cuts == ()
    assert "slices" not in run(job(sliced, slices=[]), tmp_path).data
    # As it was before there were slices: what is hashed has no such part.
    digests = {check(job(sliced, slices=slices)).evaluation_digest for slices in ([], ["country"], ["vip"])}
    assert len(digests) == 3


def test_the_slices_are_part_of_what_a_run_is(sliced: Sliced) -> None:
    one, other = (check(job(sliced, slices=[{"column": "amount", "bins": bins}])) for bins in ([0, 1], [0, 2]))
    assert one.identity["evaluation"] != other.identity["evaluation"]


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each plan that was looked through for slices."""
    seen: list[int] = []

    def counted(plan: Plan, *rest: Any) -> tuple[Cut, ...]:
        seen.append(plan.rows)
        return survey(plan, *rest)

    monkeypatch.setattr(ortbatch.engine.task, "survey", counted)
    return seen


def test_a_finished_run_is_not_looked_through_again(sliced: Sliced, tmp_path: Path, surveyed: list[int]) -> None:
    first, second = (run(job(sliced), tmp_path) for _ in range(2))
    assert second.encode() == first.encode()
    assert len(surveyed) == 1
    run(job(sliced), tmp_path, force=True)
    assert len(surveyed) == 2


def test_a_run_that_goes_on_takes_its_slices_over(sliced: Sliced, tmp_path: Path, surveyed: list[int]) -> None:
    first = run(job(sliced), tmp_path)
    (tmp_path / "run" / "report.json").unlink()
    assert run(job(sliced), tmp_path).data["slices"] == first.data["slices"]
    assert len(surveyed) == 1


@pytest.mark.parametrize(
    "changed",
    [{"slices": ["country", "vip"]}, {"data": {"sample": {"rows": 700, "seed": 3}}}],
    ids=["other slices", "other rows"],
)
def test_slices_of_something_else_are_not_taken_over(
    sliced: Sliced, tmp_path: Path, surveyed: list[int], changed: dict[str, Any]
) -> None:
    run(job(sliced, slices=["country"]), tmp_path)
    with pytest.raises(RunFolderError, match="of something else"):
        run(job(sliced, **{"slices": ["country"], **changed}), tmp_path)
    assert len(surveyed) == 2


@pytest.mark.parametrize("cuts", ["[]", "[1]", "{", '[{"by": ["country"]}]', "null"])
def test_slices_that_cannot_be_read_are_found_again(
    sliced: Sliced, tmp_path: Path, surveyed: list[int], cuts: str
) -> None:
    first = run(job(sliced, slices=["country"]), tmp_path)
    plan = tmp_path / "run" / "plan.json"
    head, cut, rest = plan.read_text().partition('"cuts": ')
    _, behind, rest = rest.partition(', "plan": ')
    plan.write_text(head + cut + cuts + behind + rest)
    assert run(job(sliced, slices=["country"]), tmp_path).encode() == first.encode()
    assert len(surveyed) == 2


def test_gates_are_judged_on_slices(sliced: Sliced, tmp_path: Path) -> None:
    gates = [
        "accuracy@country=FR >= 0.99", "recall[1]@amount=0..0.5 >= 0.1", 'precision@vip=true,device=ios,country="" > 0',
        "f1[0]@big=18446744073709551615 >= 0", "accuracy@country=XX >= 0",
    ]  # fmt: skip
    found = run(job(sliced, *gates), tmp_path).data["gates"]
    assert [gate["outcome"] for gate in found] == ["failed", "passed", "passed", "passed", "failed"]
    parts = sliced.parts(sliced.evaluated(), "amount")[("0..0.5",)]
    assert found[1]["rows"] == int(sliced.labels(parts).sum())
    assert found[4]["why"].startswith("the report has no slice `country=XX`; nearest are `country=")


def test_a_line_of_the_table_names_its_slice(sliced: Sliced, tmp_path: Path) -> None:
    import csv

    data = run(job(sliced, slices=["country"]), tmp_path).data
    lines = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    accuracies = {line["slice"]: line for line in lines if line["metric"] == "accuracy"}
    assert set(accuracies) == {"", *(entry["name"] for entry in data["slices"])}
    for entry in data["slices"]:
        line = accuracies[entry["name"]]
        assert (float(line["value"]), int(line["n"])) == (entry["accuracy"]["value"], entry["rows"])


def test_rare_values_are_pooled_and_counted(tmp_path: Path) -> None:
    made = make(tmp_path, rows=700)
    for number, row in enumerate(made.rows):
        row["country"] = f"c{number % 130:03}" if number < 520 else f"c{number % 10:03}"
    rewritten(made)
    found = entries(run(job(made, slices=["country"]), tmp_path), ("country",))
    counts = Counter(row["country"] for row in made.rows)
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:100]
    evaluated = made.evaluated()
    other = [n for n in evaluated if made.rows[n]["country"] not in kept]
    assert set(found) == {(name,) for name in kept} | {("(other)",)}
    assert (found["(other)",]["rows"], found["(other)",]["pooled"]) == (len(other), 30)
    assert found["(other)",]["worse"] == []


def rewritten(made: Sliced) -> None:
    """Write the rows again as one file, without folders."""
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.sliced import SCHEMA

    shutil.rmtree(made.folder / "data")
    (made.folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(made.rows, SCHEMA), made.folder / "data" / "a.parquet", row_group_size=90)
