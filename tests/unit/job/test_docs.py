import json
import re
from pathlib import Path

import pytest

from ortbatch.job import Job, job_schema
from ortbatch.job.schema import expected, keys_of
from ortbatch.metrics.reference import KNOWN, OPERATING

DOCS = (Path(__file__).parents[3] / "docs" / "job.md").read_text()
SCHEMA = job_schema()
CELLS = [
    re.split(r" *(?<!\\)\| *", line.strip("| \n"))
    for line in DOCS.splitlines()
    if re.match(r"\| `[\w.*\[\]]+` \|", line)
]
ROWS = {row[0].strip("`"): row for row in CELLS if len(row) == 5}
KEYS = dict(keys_of(SCHEMA))
OF_MODEL = {key.replace("model.", "baselines.*.", 1) for key in KEYS if key.startswith("model.")}


def path_of(key):
    return tuple(0 if part == "0" else part for part in key.replace("[]", ".0").split("."))


def test_each_key_of_the_schema_is_documented_and_no_other():
    assert set(ROWS) == set(KEYS) - (OF_MODEL - {"baselines.*.columns", "baselines.*.scores"})


@pytest.mark.parametrize("key", ROWS)
def test_the_documented_type_is_that_of_the_schema(key):
    assert ROWS[key][1] == expected(SCHEMA, path_of(key))


@pytest.mark.parametrize("key", ROWS)
def test_the_documented_default_is_that_of_the_schema(key):
    default = ROWS[key][2].strip("`")
    if default == "required":
        assert "default" not in KEYS[key]
    else:
        assert (json.loads(default) if default else None) == KEYS[key].get("default")


def test_a_row_of_the_table_is_not_empty():
    assert all(row[3] and row[4] for row in ROWS.values())


@pytest.mark.parametrize("key", [key for key in ROWS if "*" not in key and "[]" not in key])
def test_the_documented_example_is_read(load, key):
    base = "name: n\nmodel: m\ndata: {path: d, label: y, classes: [ham, spam]}\n"
    overrides = [f"{key}={ROWS[key][3].strip('`')}"]
    if key.startswith("model.transform."):
        overrides = ['model.transform={function: "a:b", columns: [c]}', *overrides]
    if key in ("model.scores", "model.join"):
        overrides = ["model={scores: p, join: i}", *overrides]
    if key == "predictions.path":
        overrides = ["run_dir=r", *overrides]
    if key == "data.sample.seed":
        overrides = ["data.sample.rows=1", *overrides]
    if key.startswith("checks.") and key != "checks.training_data":
        overrides = ["checks.training_data=d", *overrides]
    if key.startswith("tracking.mlflow."):
        overrides = ["tracking.mlflow=u", *overrides]
    assert isinstance(load(base, overrides=overrides), Job)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(name:.*?)```", DOCS, re.DOTALL))
def test_every_job_in_the_documentation_loads(load, block):
    variables = {"date": "2026-11-23"} if "{date}" in block else {}
    assert load(block, variables=variables).gates


def test_every_known_metric_is_documented():
    names = {name for name in KNOWN if not name.startswith("latency.")}
    statistics = {name.rsplit(".", 1)[1] for name in KNOWN if name.startswith("latency.")}
    documented = set(re.findall(r"`([\w.]+)`", DOCS))
    assert names | statistics | {"latency.single.", "latency.batch."} <= documented


@pytest.mark.parametrize("name", sorted(OPERATING))
def test_every_metric_of_an_operating_point_is_documented_with_its_number(name):
    assert f"`{name}(x)`" in DOCS


def test_the_messages_in_the_documentation_are_those_given(problems):
    text = "name: n\nmodel: m\ndata: {path: d, lable: y}\nthreshold: '0.5'\ngates:\n  - f1 >= 1\n"
    found = problems(text.replace("f1 >= 1", "acuracy >= 1").replace("gates:\n", "gates:\n  - f1 >= 1\n"))
    for line in found:
        assert line.split(" Allowed:")[0].split(":", 2)[2].split("classes,")[0] in DOCS
