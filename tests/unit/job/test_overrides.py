import pytest


def test_an_override_sets_a_key(load, digits):
    assert load(digits, overrides=["data.label=y", "threshold=0.3"]).data.label == "y"


@pytest.mark.parametrize(("written", "value"), [("3", 3), ("auto", "auto"), ('"auto"', "auto")])
def test_a_value_is_read_as_yaml(load, digits, written, value):
    assert load(digits, overrides=[f"model.batch_size={written}"]).model.batch_size == value


def test_a_value_may_be_a_list_or_a_mapping(load, digits):
    job = load(digits, overrides=["gates=[f1_macro >= 0.9]", "data.expect={rows: 5}"])
    assert [str(gate) for gate in job.gates] == ["f1_macro >= 0.9"]
    assert job.data.expect.rows == 5


def test_the_short_form_of_the_model_takes_overrides(load, digits):
    job = load(digits, overrides=["model.batch_size=8"])
    assert (job.model.path, job.model.batch_size) == ("model.onnx", 8)


@pytest.mark.parametrize(("short", "field"), [("pixels", "column"), ("[f0, f1]", "columns")])
def test_the_short_forms_of_an_input_take_overrides(load, digits, short, field):
    job = load(digits, overrides=[f"model.inputs.x={short}", "model.inputs.x.cast=lossy"])
    assert job.model.inputs["x"].cast == "lossy"
    assert getattr(job.model.inputs["x"], field) is not None


def test_mappings_on_the_way_are_made(load, digits):
    assert load(digits, overrides=["execution.workers=4"]).execution.workers == 4


def test_the_last_of_two_overrides_wins(load, digits):
    assert load(digits, overrides=["threshold=0.3", "threshold=0.4"]).threshold == 0.4


def test_an_item_of_a_list_has_its_index(load, digits):
    job = load(f"{digits}gates: [accuracy >= 0.9, f1_macro >= 0.9]\n", overrides=["gates.1=coverage >= 1"])
    assert [str(gate) for gate in job.gates] == ["accuracy >= 0.9", "coverage >= 1"]


def test_a_key_with_dots_stands_in_quotes(load, digits):
    assert set(load(digits, overrides=['model.inputs."a.b".column=c']).model.inputs) == {"a.b"}


def test_an_empty_value_is_null(load, digits):
    assert load(f"{digits}", overrides=["data.positive="]).data.positive is None


def test_variables_fill_the_text_of_an_override(load, digits):
    assert load(digits, overrides=["data.path=d/{date}"], variables={"date": "1"}).data.path == ("d/1",)


def test_a_misspelt_key_is_placed_at_the_option(problem):
    said = problem(overrides=["data.lable=y"])
    assert said.startswith("--set data.lable=y: data.lable: unknown key `lable`; did you mean `label`? Allowed: path,")


def test_a_misspelt_section_is_placed_at_the_option(problem):
    assert problem(overrides=["dat.label=y"]).startswith(
        "--set dat.label=y: dat: unknown key `dat`; did you mean `data`?"
    )


def test_a_wrong_value_is_placed_at_the_option(problem):
    assert problem(overrides=["data.label=3"]) == "--set data.label=3: data.label: expected text, got 3 (integer)"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("threshold", "expected KEY=VALUE with the dotted path of a key, such as data.label=y"),
        ("=3", "expected KEY=VALUE with the dotted path of a key, such as data.label=y"),
        ("a..b=3", "expected KEY=VALUE with the dotted path of a key, such as data.label=y"),
        (
            "data.path=[",
            "not valid YAML: while parsing a flow node: expected the node content, but found '<stream end>'",
        ),
        ("name.x=3", '`name` is "digits" (text) and has no key `x`'),
        ("gates.0=f1 >= 1", "`gates` is an empty list; it has no item `0`"),
    ],
)
def test_what_cannot_be_set_is_a_problem(problem, override, said):
    assert problem("gates: []\n", overrides=[override]) == f"--set {override}: {said}"


def test_an_index_beyond_the_list_is_a_problem(problem):
    said = problem("gates: [f1_macro >= 1]\n", overrides=["gates.1=coverage >= 1"])
    assert said.endswith("`gates` is a list of 1; expected an index from 0 to 0, got `1`")


def test_secrets_of_an_override_are_not_shown(problem):
    said = problem(overrides=["data.label={x: 's3://key:secret@bucket'}"])
    assert said.startswith("--set data.label={x: 's3://***@bucket'}: data.label: expected text, got a mapping")


def test_tags_in_an_override_are_refused(problem):
    assert "tags (" in problem(overrides=["threshold=!!float 1"])
