import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.job.templates import fill

DATED = 'name: digits\nmodel: model.onnx\ndata: {path: "data/{date}", label: "{column}"}\n'


def test_variables_fill_every_text(load):
    job = load(DATED, variables={"date": "2026-11-23", "column": "y"})
    assert (job.data.path, job.data.label) == (("data/2026-11-23",), "y")
    assert job.variables == {"date": "2026-11-23", "column": "y"}


def test_an_unfilled_field_is_a_problem(problems):
    assert problems(DATED, variables={"column": "y"}) == [
        "job.yaml:3: data.path: `{date}` is not filled; give --var date=VALUE"
    ]


def test_a_misspelt_variable_is_told_from_both_sides(problems):
    assert problems(DATED, variables={"column": "y", "dat": "1"}) == [
        "job.yaml:3: data.path: `{date}` is not filled; did you mean `dat`?",
        "--var dat: nothing in the job uses `{dat}`; did you mean `date`?",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("x", "1", "nothing in the job uses `{x}`"),
        ("name", "1", "`name` is filled by each run itself and cannot be set"),
        ("a-b", "1", "a variable's name is made of letters, digits and underscores"),
        ("n", 3, "expected text, got 3 (integer)"),
    ],
)
def test_a_variable_that_cannot_fill_anything_is_a_problem(problem, name, value, said):
    assert problem(variables={name: value}) == f"--var {name}: {said}"


def test_doubled_braces_are_literal(load):
    job = load("name: digits\nmodel: 'a{{b}}'\ndata: {path: d, label: y}\n")
    assert job.model.path == "a{b}"


@pytest.mark.parametrize("brace", ["{", "}"])
def test_a_single_brace_is_a_problem(problems, brace):
    (only,) = problems(f"name: digits\nmodel: 'a{brace}b'\ndata: {{path: d, label: y}}\n")
    assert only.endswith(f"write `{brace}{brace}` for the character itself")


def test_the_fields_of_run_dir_stay_for_the_run(load):
    job = load(
        "name: digits\nmodel: m\ndata: {path: d, label: y}\nrun_dir: 'r/{name}/{d}/{started}'\n", variables={"d": "7"}
    )
    assert job.run_dir == "r/{name}/7/{started}"
    assert job.run_folder("20261123T0100") == str(job.folder / "r/digits/7/20261123T0100")


def test_the_fields_of_run_dir_are_filled_nowhere_else(problems):
    (only,) = problems("name: digits\nmodel: '{name}.onnx'\ndata: {path: d, label: y}\n")
    assert only == "job.yaml:2: model.path: `{name}` is filled in run_dir only".replace("model.path", "model")


def test_an_unfilled_field_of_run_dir_is_a_problem(problem):
    assert problem("run_dir: 'runs/{date}'\n") == "job.yaml:4: run_dir: `{date}` is not filled; give --var date=VALUE"


def test_braces_of_a_variable_in_run_dir_are_no_fields(load):
    text = "name: digits\nmodel: m\ndata: {path: d, label: y}\nrun_dir: 'r/{v}/{{x}}'\n"
    assert load(text, variables={"v": "{started}"}).run_folder("S").endswith("r/{started}/{x}")


def test_a_filled_text_stays_text(problem):
    said = problem("threshold: '{t}'\n", variables={"t": "0.5"})
    assert said == 'job.yaml:4: threshold: expected a number, got "0.5" (text)'


@given(st.text())
def test_escaped_text_is_filled_to_itself(text):
    assert fill(text.replace("{", "{{").replace("}", "}}"), {}) == text
