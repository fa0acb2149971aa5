import json

import pytest
from jsonschema import Draft202012Validator

from ortbatch.errors import JobError
from ortbatch.job import Job, job_schema
from ortbatch.job.schema import keys_of

SMALL = {"name": "n", "model": "m.onnx", "data": {"path": "d", "label": "y"}}
SCHEMA = job_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD = [
    {
        "slices": ["a", ["a", "b"], {"column": "c", "bins": [0, 1]}],
        "gates": [{"metric": "f1", "slice": {"a": 1}, "min": 0}],
    },
    {"data": {"path": "d", "label": "y", "filter": [["a", "in", [1, 2]]], "sample": {"rows": 5}}},
    {},
    {"model": {"path": "m", "batch_size": 8, "inputs": {"x": ["a"], "y": "b", "z": {"column": "c", "null": "nan"}}}},
    {"data": {"path": ["a", "b"], "label": "y", "classes": [False, True], "positive": True, "max_bad_rows": "0.1%"}},
    {"data": {"path": "a", "label": "y", "classes": ["a", 1, 2.0], "expect": {"rows": 3}}},
    {"threshold": 0},
    {"gates": ["accuracy >= 0.95", {"metric": "recall", "class": 8, "min": 0.9}]},
    {"execution": {"workers": "auto", "shard_rows": 5}, "latency": {"max_seconds": 0.5}},
    {"run_dir": "runs/{started}"},
    {
        "baselines": {
            "t": {"torch": "m.pt2"},
            "w": {"torch": "a:b", "weights": "w.safetensors", "kind": "logits"},
            "f": {"function": "a:b", "files": ["m.txt"], "columns": ["c"]},
            "s": {"scores": "c", "kind": "label"},
        }
    },
    {"baselines": {"m": "m.onnx", "p": {"run": "r"}}},
    {"predictions": {}, "tracking": {"mlflow": "u"}},
    {"tracking": {"mlflow": {"uri": "u", "experiment": "e", "run_name": "r", "tags": {"team": "risk"}}}},
]

BAD = [
    {"name": 3},
    {"treshold": 0.5},
    {"threshold": 2},
    {"threshold": "0.5"},
    {"model": 3},
    {"model": {"batch_size": 8}},
    {"model": {"path": "m", "batch_size": "automatic"}},
    {"model": {"path": "m", "providers": []}},
    {"model": {"path": "m", "inputs": {"x": 3}}},
    {"model": {"path": "m", "output": {"kind": "logit"}}},
    {"data": {"path": "d"}},
    {"data": {"path": [], "label": "y"}},
    {"data": {"path": "d", "label": "y", "classes": ["a"]}},
    {"data": {"path": "d", "label": "y", "classes": ["a", "a"]}},
    {"data": {"path": "d", "label": "y", "max_bad_rows": "many"}},
    {"data": {"path": "d", "label": "y", "filter": [["a", "=", 1]]}},
    {"gates": ["accuracy"]},
    {"gates": ["accuracy >= 95%"]},
    {"gates": [{"class": "a", "min": 0.5}]},
    {"gates": [{"metric": "f1", "confidence": 2}]},
    {"baselines": {"p": {"run": "r", "pick": "newest"}}},
    {"slices": [3]},
    {"tracking": {}},
    {"tracking": {"mlflow": {"experiment": "e"}}},
    {"tracking": {"mlflow": {"uri": "u", "tags": {"team": 3}}}},
    {"folder": "/x"},
    {"variables": {}},
]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA


@pytest.mark.parametrize("change", GOOD)
def test_schema_and_loading_accept_the_same_jobs(change):
    VALIDATOR.validate({**SMALL, **change})
    Job.from_mapping({**SMALL, **change})


@pytest.mark.parametrize("change", BAD)
def test_schema_and_loading_refuse_the_same_jobs(change):
    assert not VALIDATOR.is_valid({**SMALL, **change})
    with pytest.raises(JobError):
        Job.from_mapping({**SMALL, **change})


def test_a_resolved_job_fits_the_schema():
    VALIDATOR.validate(Job.from_mapping(SMALL).resolved())


def test_every_key_has_a_description():
    assert [key for key, node in keys_of(SCHEMA) if not node.get("description")] == []


def test_keys_that_loading_adds_are_not_in_the_schema():
    assert not {"folder", "variables"} & set(SCHEMA["properties"])
