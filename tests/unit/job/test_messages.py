import pytest

from ortbatch.errors import JobError


def test_misspelt_key_is_refused_with_a_suggestion(problem):
    assert problem("treshold: 0.3\n") == (
        "job.yaml:4: treshold: unknown key `treshold`; did you mean `threshold`? Allowed: name, model, data, "
        "threshold, slices, latency, baselines, checks, gates, predictions, tracking, run_dir, execution"
    )


def test_a_key_like_no_other_is_refused_with_those_allowed(problem):
    assert problem("latency: {zzz: 1}\n") == "job.yaml:4: latency.zzz: unknown key `zzz`. Allowed: threads, max_seconds"


def test_a_misspelt_required_key_is_one_problem(problems):
    (only,) = problems("name: n\nmodel: m\ndata:\n  path: d\n  lable: y\n")
    assert only.startswith("job.yaml:5: data.lable: unknown key `lable`; did you mean `label`?")


def test_a_missing_key_is_placed_at_its_section_and_says_what_it_is_for(problems):
    assert problems("name: n\n\nmodel: m\ndata:\n  path: d\n") == [
        "job.yaml:4: data.label: missing; expected text: Column that holds the true class."
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems):
    text = """\
name: 3
modle: m
data:
  path: [d, 4]
  lable: y
  classes: [a, b, c]
  positive: d
  filter: [[x, =, 1]]
gates:
  - recall[z] >= 0.9
  - acuracy >= 0.9
  - {metric: f1, class: a, minn: 0.5}
threshold: high
execution: {workers: 0}
"""
    found = problems(text, overrides=["latency.threads=0"], variables={"x": "1"})
    assert [line.split(": ")[:2] for line in found] == [
        ["job.yaml:1", "name"],
        ["job.yaml:2", "modle"],
        ["job.yaml:4", "data.path[1]"],
        ["job.yaml:5", "data.lable"],
        ["job.yaml:7", "data.positive"],
        ["job.yaml:8", "data.filter"],
        ["job.yaml:10", "gates[0]"],
        ["job.yaml:11", "gates[1]"],
        ["job.yaml:12", "gates[2].minn"],
        ["job.yaml:13", "threshold"],
        ["job.yaml:14", "execution.workers"],
        ["--set latency.threads=0", "latency.threads"],
        ["--var x", "nothing in the job uses `{x}`"],
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("threshold: '0.5'", 'threshold: expected a number, got "0.5" (text)'),
        ("threshold: true", "threshold: expected a number, got true (boolean)"),
        ("threshold: 1.5", "threshold: expected at most 1, got 1.5 (number)"),
        ("threshold: -1", "threshold: expected at least 0, got -1 (integer)"),
        ("threshold: .nan", "threshold: expected a finite number, got nan (number)"),
        ("threshold:", "threshold: expected a number, got nothing (null)"),
        ("latency: {max_seconds: 0}", "latency.max_seconds: expected more than 0, got 0 (integer)"),
        ("latency: {threads: 1.0}", "latency.threads: expected a whole number, got 1.0 (number)"),
        ("latency: [1]", "latency: expected a mapping, got a list of 1"),
        (
            "execution: {workers: '4'}",
            'execution.workers: expected a whole number of at least 1, or `auto`, got "4" (text)',
        ),
        (
            "execution: {on_bad_shard: fial}",
            'execution.on_bad_shard: expected `fail` or `quarantine`, got "fial" (text); did you mean `fail`?',
        ),
        ("gates: accuracy >= 1", 'gates: expected a list, got "accuracy >= 1" (text)'),
        ("gates: [[f1]]", "gates[0]: expected text or a mapping, got a list of 1"),
        ("run_dir: ''", 'run_dir: expected text that is not empty, got "" (text)'),
        ("run_dir: {a: 1}", "run_dir: expected text, got a mapping with the keys a"),
    ],
)
def test_a_wrong_value_is_told_in_words(problem, more, said):
    assert problem(f"{more}\n") == f"job.yaml:4: {said}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("path: [], label: y", "data.path: expected a list of at least 1, got a list of 0"),
        ("path: 3, label: y", "data.path: expected text or a list, got 3 (integer)"),
        (
            "path: d, label: y, max_bad_rows: -1",
            "data.max_bad_rows: expected a whole number of at least 0, or a percentage",
        ),
        (
            "path: d, label: y, max_bad_rows: 101%",
            "data.max_bad_rows: expected a whole number of at least 0, or a perc",
        ),
        ("path: d, label: y, label_is: names", "data.label_is: expected `name` or `index`, got"),
        ("path: d, label: y, expect: {rows: 0}", "data.expect.rows: expected at least 1, got 0 (integer)"),
        ("path: d, label: y, sample: {seed: 1}", "data.sample.rows: missing; expected a whole number: How many rows."),
        ("path: d, label: y, filter: [[a, =, 1]]", "data.filter: term 0 (counted from 0): expected one of ==, !=,"),
        ("path: d, label: y, filter: [[a, in, 1]]", "data.filter: term 0 (counted from 0): `in` takes a list, got 1"),
        ("path: d, label: y, filter: [a]", "data.filter: term 0 (counted from 0): expected [column, operator, value]"),
    ],
)
def test_a_wrong_value_in_data_is_told_in_words(problems, data, said):
    (only,) = problems(f"name: n\nmodel: m\ndata: {{{data}}}\n")
    assert only.startswith(f"job.yaml:3: {said}")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("3", "model: expected text or a mapping, got 3 (integer)"),
        ("{path: m, providers: [cpu]}", "model.providers: expected ONNX Runtime's names, such as CPUExecutionProvider"),
        ("{path: m, providers: []}", "model.providers: expected a list of at least 1, got a list of 0"),
        ("{path: m, batch_size: 0}", "model.batch_size: expected a whole number of at least 1, or `auto`, got 0"),
        ("{path: m, output: {kind: logit}}", "model.output.kind: expected `logits`, `probabilities` or `label`, got"),
        ("{path: m, inputs: {x: 3}}", "model.inputs.x: expected text, a list or a mapping, got 3 (integer)"),
        ("{path: m, inputs: {x: [a, 3]}}", "model.inputs.x.columns[1]: expected text, got 3 (integer)"),
        ("{path: m, inputs: {x: []}}", "model.inputs.x.columns: expected a list of at least 1, got a list of 0"),
        (
            "{path: m, inputs: {x: {null: 0}}}",
            "model.inputs.x: expected one of column, columns, mask_of, fill, got none",
        ),
        (
            "{path: m, inputs: {x: {column: a, columns: [b]}}}",
            "model.inputs.x: expected one of column, columns, mask_of, ",
        ),
        (
            "{path: m, inputs: {x: {column: a, null: [0]}}}",
            "model.inputs.x.null: expected a number, text, true or false",
        ),
        (
            "{path: m, inputs: {x: {column: a, pad_to: long}}}",
            "model.inputs.x.pad_to: expected a whole number of at least",
        ),
        ("{path: m, transform: {function: f, columns: [a]}}", "model.transform.function: expected `module:function`"),
        ("{path: m, inputs: {'': a}}", 'model.inputs.: expected text that is not empty, got "" (text)'),
    ],
)
def test_a_wrong_value_in_the_model_is_told_in_words(problems, model, said):
    (only,) = problems(f"name: n\nmodel: {model}\ndata: {{path: d, label: y}}\n")
    assert only.startswith(f"job.yaml:2: {said}")


def test_secrets_in_a_wrong_value_are_not_shown(problem):
    assert "hush" not in problem("threshold: s3://key:hush@bucket\n")


def test_a_long_value_is_cut(problem):
    assert len(problem(f"threshold: {'x' * 10_000}\n")) < 200


def test_a_message_stays_on_one_line(problem):
    assert "\n" not in problem('threshold: "a\\nb"\n')
    assert "\n" not in problem('"a\\nb": 1\n')


def test_the_exit_code_of_a_wrong_job_is_that_of_bad_usage(load):
    with pytest.raises(JobError) as caught:
        load("a: 1")
    assert caught.value.exit_code == 2
