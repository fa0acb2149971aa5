"""`ortbatch latency`: real models and rows, what is printed and written, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hdrh.histogram import HdrHistogram
from jsonschema import Draft202012Validator

import ortbatch
from ortbatch import Sweep, latency_curve
from ortbatch.job import Job, load_job
from ortbatch.report.latency_curve_schema import CURVE_SCHEMA
from tests.command_line import Done, call, files_of, make_job
from tests.models import linear_weights, product_model

QUICK = ("--batch", "1,4,16", "--seconds", "0.5")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the small job: 120 rows; do not write beside it."""
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def curve(job: Path) -> tuple[dict[str, Any], Done]:
    """What --json prints of a sweep over two numbers of threads."""
    done = call("latency", job, *QUICK, "--threads", "1,2", "--json")
    return json.loads(done.out), done


def test_the_json_keeps_the_published_schema(curve: tuple[dict[str, Any], Done]) -> None:
    published = json.loads(call("schema", "latency").out)
    assert published == CURVE_SCHEMA
    assert list(Draft202012Validator(published).iter_errors(curve[0])) == []
    assert curve[0]["schema_version"] == 1


def test_every_size_is_there_at_every_number_of_threads(curve: tuple[dict[str, Any], Done]) -> None:
    data, done = curve
    assert done.code == 0
    asked = [(threads, size) for threads in (1, 2) for size in (1, 4, 16)]
    assert [(point["threads"], point["batch_size"]) for point in data["points"]] == asked
    assert all(point["count"] >= 30 for point in data["points"])
    assert (data["rows"], {point["rows"] for point in data["points"]}) == (120, {120, 112})
    assert [knee["threads"] for knee in data["knees"]] == [1, 2]


def test_a_histogram_of_the_curve_is_read_by_the_official_library(curve: tuple[dict[str, Any], Done]) -> None:
    for point in curve[0]["points"]:
        read = HdrHistogram.decode(point["histogram"])
        assert read.get_total_count() == point["count"]
        assert read.get_max_value() / 1e6 == pytest.approx(point["max_ms"]["value"], rel=1e-3)


def test_the_table_names_every_size_and_what_pays(job: Path) -> None:
    done = call("latency", job, *QUICK)
    assert done.code == 0
    assert done.out.startswith("small: latency by batch size, session.run alone\n")
    first_words = [line.split()[0] for line in done.out.splitlines() if line.strip()]
    assert [first_words.count(size) for size in ("1", "4", "16")] == [2, 2, 2]
    assert "knee, 1 thread: batches of " in done.out


def test_nothing_is_written_but_what_is_asked_for(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    before = files_of(tmp_path)
    done = call("latency", job, *QUICK, "--out", tmp_path / "curve.json", "--plot", tmp_path / "curve.svg")
    assert done.code == 0
    made = files_of(tmp_path)
    assert set(made) - set(before) == {"curve.json", "curve.svg"}
    assert {name: made[name] for name in before} == before
    data = json.loads(made["curve.json"][1])
    assert list(Draft202012Validator(CURVE_SCHEMA).iter_errors(data)) == []
    texts = {element.text for element in ElementTree.fromstring(made["curve.svg"][1]).iter()}
    assert texts >= {"p50, 1 thread", "p90, 1 thread", "p99, 1 thread"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--batch", "1,two"), "Invalid value for '--batch': expected whole numbers such as 1,2,4,...,64; got 'two'"),
        (("--batch", "4,2"), "batch: expected whole numbers of at least 1, rising, each once; got 4, 2"),
        (("--threads", "0"), "threads: expected whole numbers of at least 1, rising, each once; got 0"),
        (("--threads", "all"), "Invalid value for '--threads': expected whole numbers"),
        (("--seconds", "0"), "seconds: expected a number above 0, got 0"),
        (("--max-p99-ms", "-1"), "max_p99_ms: expected a number above 0, got -1"),
        (("--plot", "curve.png"), "--plot curve.png: it is written as SVG; give a name that ends in .svg"),
    ],
)
def test_bad_usage_ends_with_2_before_anything_is_measured(job: Path, options: tuple[str, ...], said: str) -> None:
    done = call("latency", job, *options)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())


def test_a_job_that_does_not_fit_ends_with_2(job: Path) -> None:
    assert call("latency", job, "--set", "data.label=nothing").code == 2


def test_a_limit_that_is_kept_ends_with_0_and_names_the_largest_batch(job: Path) -> None:
    done = call("latency", job, "--batch", "1,16", "--seconds", "1", "--max-p99-ms", "10000")
    assert done.code == 0
    assert "p99 within 10000 ms, 1 thread: batches of up to 16: " in done.out


def test_a_limit_that_nothing_keeps_ends_with_1(job: Path) -> None:
    done = call("latency", job, "--batch", "1,16", "--seconds", "0.5", "--max-p99-ms", "0.0000001")
    assert done.code == 1
    assert "no size of those that can be told" in done.out


def test_a_limit_on_too_few_runs_ends_with_4(job: Path) -> None:
    done = call("latency", job, "--batch", "1", "--seconds", "0.000001", "--max-p99-ms", "10000")
    assert done.code == 4
    assert "too few runs to tell of 1: p99 needs 368" in " ".join(done.out.split())
    assert "30 runs of each take about" in done.err


def test_a_fixed_batch_is_the_only_size_and_that_is_said(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    product_model(tmp_path / "model.onnx", 4, 3, batch=8)
    done = call("latency", job, *QUICK, "--json")
    data = json.loads(done.out)
    assert [point["batch_size"] for point in data["points"]] == [8]
    assert "the model takes batches of 8 only: no other size was run" in data["notes"]


def test_more_rows_than_the_data_have_are_repeated_and_that_is_said(job: Path) -> None:
    data = latency_curve(job, Sweep((100, 1_000), seconds=0.3)).data
    assert "there were 120 rows: batches of 1,000 repeat them" in data["notes"]
    assert [point["rows"] for point in data["points"]] == [100, 120]


def test_slices_gates_and_baselines_of_the_job_do_not_matter(job: Path) -> None:
    keys = ["gates=[accuracy >= 1]", "slices=[label]", "predictions={columns: []}"]
    assert latency_curve(job, Sweep((1,), seconds=0.2), overrides=keys).exit_code == 0


def test_threads_are_those_of_the_job_unless_asked_for(job: Path) -> None:
    made = latency_curve(load_job(job, overrides=["latency.threads=2"]), Sweep((1,), seconds=0.2))
    assert [point["threads"] for point in made.points] == [2]


def test_a_job_that_is_built_takes_no_overrides(job: Path) -> None:
    with pytest.raises(ValueError, match="variables and overrides are for job files"):
        ortbatch.latency_curve(load_job(job), overrides=["threshold=0.3"])


def test_a_job_with_a_transform_is_swept_on_the_rows_that_it_can_do(tmp_path: Path) -> None:
    weights, _ = linear_weights(4, 3)
    product_model(tmp_path / "model.onnx", 4, 3)
    (tmp_path / "prep.py").write_text(
        "import numpy as np\n"
        "def parse(batch):\n"
        "    rows = [list(map(float, text.split(','))) for text in batch.column('text').to_pylist()]\n"
        "    return np.array(rows, np.float32).reshape(len(rows), 4)\n"
    )
    features = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    texts = [",".join(map(str, row)) if place % 4 else "broken" for place, row in enumerate(features.tolist())]
    table = pa.table({"text": texts, "label": np.argmax(features @ weights, axis=1)})
    pq.write_table(table, tmp_path / "data.parquet")
    model = {"path": "model.onnx", "transform": {"function": "prep:parse", "columns": ["text"]}}
    keys = {"name": "texts", "model": model, "data": {"path": "data.parquet", "label": "label"}}
    made = latency_curve(Job.from_mapping(keys, tmp_path), Sweep((1, 32), seconds=0.3))
    assert made.data["rows"] == 150
    assert [point["batch_size"] for point in made.points] == [1, 32]
