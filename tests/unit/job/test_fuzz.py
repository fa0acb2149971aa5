"""Whatever stands in a job file: a Job or a JobError, never another exception."""

import copy

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ortbatch.errors import JobError
from ortbatch.job import Job, load_job

GOOD = {
    "name": "fraud",
    "model": {
        "path": "m.onnx",
        "providers": ["CPUExecutionProvider"],
        "inputs": {"x": {"columns": ["a", "b"], "null": 0, "cast": "lossy"}, "y": "c"},
        "transform": {"function": "a:b", "columns": ["c"]},
        "output": {"name": "o", "kind": "logits"},
        "batch_size": 8,
    },
    "data": {
        "path": ["d"],
        "label": "y",
        "classes": [False, True],
        "positive": True,
        "filter": [["a", "in", [1, 2]]],
        "sample": {"rows": 5, "seed": 1},
        "max_bad_rows": "1%",
        "expect": {"rows": 10},
    },
    "threshold": 0.5,
    "slices": ["a", ["a", "b"], {"column": "c", "bins": [0, 1]}],
    "latency": {"threads": 1},
    "baselines": {"t": {"torch": "m"}, "p": {"run": "r"}},
    "gates": ["recall[true] >= 0.8", {"metric": "f1", "class": "true", "versus": "p", "max_drop": 0.1}],
    "predictions": {"columns": ["id"]},
    "run_dir": "runs/{name}/{started}",
    "execution": {"workers": "auto"},
}
YAML_TEXT = """\
name: n
model: {path: m, inputs: {x: [a, b]}}
data: {path: "d/{date}", label: y, classes: [a, b], positive: a}
gates: ["recall[a] >= 0.5", {metric: f1, min: 0.1}]
run_dir: &r runs/{name}
"""

words = st.sampled_from(
    ["", "auto", "a", "{", "}", "{date}", "f*", "null", "name", "path", "folder", "label", "f1 >= 1", "recall[a] >= 1",
     "[key]", "<x>", "\0model", "\ud800", "a\nb", "s3://k:s@b", "%", "1%", "labels.txt", "a.json", "\0"]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=6)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=4), inner, max_size=3)
)


def check(make):
    """Run `make`; a JobError must have problems, each on a line of its own that any log can hold."""
    try:
        made = make()
    except JobError as error:
        made = error
    if isinstance(made, JobError):
        assert made.problems
        assert all(str(problem).isprintable() for problem in made.problems)
    else:
        assert isinstance(made, Job)
        assert len(made.digest()) == 64


def paths_of(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from paths_of(part, (*path, key))


AVAILABLE = {
    **{key: GOOD[key] for key in ("name", "threshold", "latency", "run_dir", "execution")},
    "model": {key: value for key, value in GOOD["model"].items() if key != "transform"},
    "data": {key: value for key, value in GOOD["data"].items() if key != "sample"},
    "gates": ["recall[true] >= 0.8", {"metric": "f1", "class": "true", "min": 0.1}],
}


@st.composite
def mutated(draw):
    """A good job with up to four values replaced, removed, or joined by others."""
    job = copy.deepcopy(draw(st.sampled_from([GOOD, AVAILABLE])))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from([path for path in paths_of(job) if path] or [("name",)]))
        around = job
        try:
            for key in path[:-1]:
                around = around[key]
            action = draw(st.sampled_from(["replace", "remove", "add"]))
            if action == "replace":
                around[path[-1]] = draw(values)
            elif action == "remove":
                del around[path[-1]]
            else:
                around[draw(words)] = draw(values)
        except (LookupError, TypeError):
            continue
    return job


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200) | st.text("abc:-[]{},&*!|>'\"%#? \n\t01.~<", max_size=60))
@example('"\\UFFFFFFFF"')
@example("a: &a [*a]")
def test_any_text_gives_a_job_or_a_job_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(lambda: load_job(path))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_job_or_a_job_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    check(lambda: load_job(path))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(YAML_TEXT)), st.integers(0, 12), st.text("abc:-[]{},&*!|>'\"%#? \n01.~<@(", max_size=8))
def test_a_job_file_with_a_slip_of_the_pen_gives_a_job_or_a_job_error(tmp_path_factory, start, length, slip):
    path = tmp_path_factory.getbasetemp() / "slip.yaml"
    path.write_text(YAML_TEXT[:start] + slip + YAML_TEXT[start + length :])
    check(lambda: load_job(path, variables={"date": "1"}))


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_any_change_of_a_good_mapping_gives_a_job_or_a_job_error(job):
    check(lambda: Job.from_mapping(job))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(words | st.text(max_size=4), st.text(max_size=5) | st.none(), max_size=2),
    st.lists(
        st.builds("{}={}".format, st.text('abc."0', max_size=8) | words, words | st.text(max_size=8))
        | st.text(max_size=9),
        max_size=3,
    ),
)
def test_any_variables_and_overrides_give_a_job_or_a_job_error(tmp_path_factory, variables, overrides):
    path = tmp_path_factory.getbasetemp() / "set.yaml"
    path.write_text(YAML_TEXT)
    check(lambda: load_job(path, variables, overrides))
