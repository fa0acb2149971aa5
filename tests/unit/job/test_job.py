import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import ortbatch.job
from ortbatch.errors import JobError
from ortbatch.job import DataSpec, Gate, InputSpec, Job, ModelSpec, load_job
from ortbatch.metrics.reference import MetricRef

DEMO = """\
name: digits
model: model.onnx
data: {path: data/test, label: label}
gates: [accuracy >= 0.95, "recall[8] >= 0.9", f1_macro >= 0.95, latency.single.p99_ms <= 10, coverage >= 1]
"""

LONG = """\
name: fraud 2.0
model:
  path: s3://models/model.onnx
  providers: [CUDAExecutionProvider, CPUExecutionProvider]
  inputs: {x: {columns: [a, b], null: .nan, cast: lossy}, y: c, z: {column: d, null: 0}, w: [e]}
  output: {name: out, kind: logits}
  batch_size: 8
data:
  path: [a.parquet, b]
  label: y
  classes: [false, true]
  label_is: name
  positive: true
  unlabelled: reject
  max_bad_rows: 0.1%
  expect: {rows: 10, files: 2}
threshold: 1
latency: {threads: 2, max_seconds: 5}
gates: ["recall[true] >= 0.8", {metric: log_loss, max: 0.5}]
run_dir: /runs/{started}
execution: {workers: 2, cpus_per_worker: auto, shard_rows: 1000, on_bad_shard: fail}
"""

SMALL = {"name": "n", "model": "m.onnx", "data": {"path": "d", "label": "y"}}


def test_the_demo_job_loads(load):
    job = load(DEMO)
    assert (job.name, job.model.path, job.data.path, job.data.label) == (
        "digits",
        "model.onnx",
        ("data/test",),
        "label",
    )
    assert [str(gate) for gate in job.gates][:2] == ["accuracy >= 0.95", "recall[8] >= 0.9"]


def test_what_is_absent_has_its_default(load):
    job = load(DEMO)
    assert (job.threshold, job.run_dir, job.model.batch_size) == (0.5, "runs/{name}/{started}", "auto")
    assert job.model.providers == ("CPUExecutionProvider",)
    assert (job.model.inputs, job.model.output.kind, job.data.classes, job.data.positive) == (None, None, None, None)
    assert (job.latency.threads, job.latency.max_seconds) == (1, 30.0)
    assert (job.execution.workers, job.execution.shard_rows, job.execution.on_bad_shard) == ("auto", "auto", "fail")


def test_every_available_key_is_kept(load):
    job = load(LONG)
    assert job.model.inputs == {
        "x": InputSpec(columns=("a", "b"), null="nan", cast="lossy"),
        "y": InputSpec(column="c"),
        "z": InputSpec(column="d", null=0),
        "w": InputSpec(columns=("e",)),
    }
    assert job.data == DataSpec(
        path=("a.parquet", "b"), label="y", classes=("false", "true"), label_is="name", positive="true",
        max_bad_rows="0.1%", expect={"rows": 10, "files": 2},
    )  # fmt: skip
    assert job.gates[1] == Gate(MetricRef("log_loss"), "<=", 0.5)
    assert (job.threshold, job.execution.shard_rows, job.latency.threads) == (1.0, 1000, 2)


def test_the_long_form_of_the_model_equals_the_short_one(load):
    assert load(DEMO) == load(DEMO.replace("model.onnx", "{path: model.onnx}"))


def test_the_folder_is_that_of_the_job_file(load, tmp_path):
    assert load(DEMO).folder == tmp_path


def test_a_relative_job_file_has_an_absolute_folder(tmp_path, monkeypatch):
    (tmp_path / "job.yaml").write_text(DEMO)
    monkeypatch.chdir(tmp_path)
    assert load_job("job.yaml").folder == tmp_path


@pytest.mark.parametrize("key", ["folder", "variables"])
def test_what_loading_adds_is_no_key_of_the_file(problem, key):
    assert problem(f"{key}: /tmp\n").startswith(f"job.yaml:4: {key}: unknown key `{key}`. Allowed: name, model,")


def test_a_job_is_equal_after_pickling(load):
    job = load(LONG)
    assert pickle.loads(pickle.dumps(job)) == job


def test_a_job_cannot_be_changed(load):
    with pytest.raises(ValidationError, match="frozen"):
        load(DEMO).threshold = 0.3


def test_a_mapping_makes_the_same_job_as_its_file(load, tmp_path):
    mapping = {**SMALL, "gates": ["f1_macro >= 0.5"]}
    assert Job.from_mapping(mapping, tmp_path) == load(json.dumps(mapping))


def test_a_mapping_may_hold_tuples_and_paths():
    job = Job.from_mapping({**SMALL, "model": Path("m.onnx"), "data": {"path": ("a", "b"), "label": "y"}})
    assert (job.model.path, job.data.path) == ("m.onnx", ("a", "b"))


def test_problems_of_a_mapping_are_placed_at_the_job():
    with pytest.raises(JobError) as caught:
        Job.from_mapping({**SMALL, "lable": 1, 3: 4})
    assert [problem.where for problem in caught.value.problems] == ["job", "job"]
    assert "a key must be text, got 3 (integer)" in str(caught.value)


def test_a_mapping_that_holds_itself_is_a_problem():
    mapping = {**SMALL}
    mapping["data"] = mapping
    with pytest.raises(JobError, match="nested more than 32 deep"):
        Job.from_mapping(mapping)


def test_an_integer_beyond_64_bits_is_a_problem():
    with pytest.raises(JobError, match="expected an integer of at most 64 bits"):
        Job.from_mapping({**SMALL, "threshold": 10**5000})


def test_a_job_made_of_its_parts_equals_one_from_a_mapping(tmp_path):
    data = DataSpec(path=("d",), label="y")
    made = Job(name="n", model=ModelSpec(path="m.onnx"), data=data, gates=[Gate.parse("f1 >= 1")], folder=tmp_path)
    assert made == Job.from_mapping({**SMALL, "gates": ["f1 >= 1"]}, tmp_path)


def test_a_job_made_of_its_parts_is_checked_too():
    with pytest.raises(ValidationError, match=r'class "c" \(text\) is none of the classes a, b'):
        Job(
            name="n",
            model=ModelSpec(path="m"),
            data=DataSpec(path=("d",), label="y", classes=("a", "b")),
            gates=(Gate.parse("recall[c] >= 0.5"),),
        )


def test_a_resolved_job_makes_the_same_job_again(load):
    job = load(LONG)
    assert Job.from_mapping(job.resolved(), job.folder) == job


def test_a_resolved_job_is_strict_json_with_all_defaults(load):
    resolved = load(DEMO).resolved()
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert resolved["threshold"] == 0.5
    assert resolved["gates"][1] == "recall[8] >= 0.9"


def test_a_resolved_job_does_not_know_its_folder(load, tmp_path):
    resolved = load(DEMO).resolved()
    assert str(tmp_path) not in json.dumps(resolved)
    assert not {"folder", "variables"} & set(resolved)


def test_a_resolved_job_holds_no_secret(load):
    text = DEMO.replace("data/test", '"s3://key:hush@bucket/d?sig=hush"')
    assert "hush" not in json.dumps(load(text).resolved())


def test_equal_jobs_have_equal_digests_wherever_they_are(tmp_path):
    assert Job.from_mapping(SMALL, tmp_path).digest() == Job.from_mapping(SMALL, "/elsewhere").digest()
    assert len(Job.from_mapping(SMALL).digest()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"name": "o"},
        {"gates": ["f1 >= 0"]},
        {"run_dir": "r"},
        {"threshold": 0.1},
        {"data": {"path": "d", "label": "z"}},
    ],
)
def test_every_key_changes_the_digest(change):
    assert Job.from_mapping({**SMALL, **change}).digest() != Job.from_mapping(SMALL).digest()


def test_a_default_that_is_written_out_does_not_change_the_digest():
    assert Job.from_mapping({**SMALL, "threshold": 0.5}).digest() == Job.from_mapping(SMALL).digest()


@pytest.mark.parametrize(
    ("path", "located"),
    [("a/b", "/jobs/x/a/b"), ("../b", "/jobs/x/../b"), ("/abs/*.parquet", "/abs/*.parquet"), ("s3://b/c", "s3://b/c")],
)
def test_paths_are_located_from_the_folder_and_uris_left_alone(path, located):
    assert Job.from_mapping(SMALL, "/jobs/x").locate(path) == located


@pytest.mark.parametrize("name", ["a/b", "..", ".a", "", "a ", "a\nb", "x" * 101, "{name}"])
def test_a_name_that_names_no_folder_is_refused(name):
    with pytest.raises(JobError):
        Job.from_mapping({**SMALL, "name": name.replace("{", "{{").replace("}", "}}")})


@pytest.mark.parametrize(
    ("budget", "rows", "allowed"), [(3, 10, 3), ("0.1%", 1999, 1), ("0.57%", 10_000, 57), ("100%", 7, 7), ("0%", 9, 0)]
)
def test_a_budget_of_bad_rows_is_a_number_or_a_share(budget, rows, allowed):
    assert DataSpec(path=("d",), label="y", max_bad_rows=budget).bad_rows_allowed(rows) == allowed


def test_a_share_of_rows_is_exact_for_any_number_of_rows():
    data = DataSpec(path=("d",), label="y", max_bad_rows="0.1%")
    assert data.bad_rows_allowed(10**15) == 10**12


def test_the_public_names_are_these():
    assert set(ortbatch.job.__all__) == {
        "Baseline", "ChecksSpec", "DataSpec", "ExecutionSpec", "ExpectSpec", "Gate", "InputSpec", "Job", "LatencySpec",
        "MetricRef", "MlflowSpec", "ModelSpec", "Operator", "OutputSpec", "PredictionsSpec", "SampleSpec", "SliceSpec",
        "TrackingSpec", "TransformSpec", "job_schema", "load_job", "redact", "redacted",
    }  # fmt: skip


def test_importing_jobs_loads_nothing_heavy():
    heavy = "{'numpy', 'ray', 'torch', 'onnxruntime', 'onnx', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'jsonschema'}"
    code = f"import sys, ortbatch.job; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
