import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.errors import JobError
from ortbatch.job import load_job
from ortbatch.job.document import MAX_BYTES, parse
from ortbatch.job.tree import Place

FORM = "a job file is a mapping with the keys name, model and data"


def parsed(text):
    tree = parse(text, lambda line: Place(line, f"f:{line}"))
    assert not tree.complaints
    return tree.value


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "2026-11-23", "1_000", "nan", "12:30:45", "0b1", "=", "<<"])
def test_words_of_yaml_1_1_stay_text(word):
    assert parsed(f"key: {word}") == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-1", -1), ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0), ("true", True), ("FALSE", False), ("~", None)],
)
def test_numbers_booleans_and_null_are_those_of_the_core_schema(text, value):
    read = parsed(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["'1'", '"true"', "|-\n  null"])
def test_quoted_words_are_text(text):
    assert isinstance(parsed(text), str)


def test_keys_are_the_text_as_written():
    assert parsed("{null: 1, 007: 2, true: 3}") == {"null": 1, "007": 2, "true": 3}


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text("ab: -#'\"é{", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc: #", max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(plain_values)
def test_json_reads_as_the_values_that_json_says(value):
    text = json.dumps(value, ensure_ascii=False).replace("-Infinity", "-.inf").replace("Infinity", ".inf")
    assert parsed(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"job.yaml:1: the file is empty; {FORM}"),
        ("# nothing\n---\n", f"job.yaml:1: the file is empty; {FORM}"),
        ("\n- a\n- b\n", f"job.yaml:2: expected a mapping, got a list of 2; {FORM}"),
        ("just text", f'job.yaml:1: expected a mapping, got "just text" (text); {FORM}'),
        (
            "a: 1\nb: [1,\n",
            "job.yaml:3: not valid YAML: while parsing a flow node: expected the node content, but found",
        ),
        ("a: 1\nb: c: d\n", "job.yaml:2: not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x07\n", "job.yaml:2: not valid YAML: the character U+0007 is not allowed"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "job.yaml:2: not valid YAML near this line"),
        ("a: 1\n---\nb: 2\n", "job.yaml:2: a second document begins here"),
        ("%YAML 1.1\n---\na: 1\n", "job.yaml:2: job files are YAML 1.2; delete the %YAML line"),
        ("a: 1\n? [b]\n: 1\n", "job.yaml:2: a key must be plain text"),
        ("a: 1\nb: *x\n", "job.yaml:2: `*x` repeats a value, but no `&x` stands before it"),
        ("a: &x [*x]\n", "job.yaml:1: `*x` repeats a value, but no `&x` stands before it"),
        ("a: " + "[" * 40 + "]" * 40, "job.yaml:1: nested more than 32 deep"),
    ],
)
def test_a_file_that_is_no_job_gets_one_clear_message(problems, text, said):
    (only,) = problems(text)
    assert only.startswith(said)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"name: a\nmodel: \xff\n")
    with pytest.raises(JobError, match=r"job.yaml:2: not UTF-8 \(byte 15\)"):
        load_job(path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\nmodel: m\ndata: {path: d, label: y}\n")
    assert load_job(path).name == "a"


def test_a_file_beyond_the_limit_is_refused_without_parsing_it(problems):
    (only,) = problems("#" * (MAX_BYTES + 1))
    assert "larger than 1000000 bytes" in only


def test_a_missing_file_is_a_problem(tmp_path):
    with pytest.raises(JobError, match="cannot read the job file: No such file or directory"):
        load_job(tmp_path / "job.yaml")


def test_a_folder_is_refused_with_the_file_meant(tmp_path):
    with pytest.raises(JobError, match=r"is a folder; name the job file in it, such as .*/job\.yaml"):
        load_job(tmp_path)


def test_a_path_that_no_system_has_is_a_problem():
    with pytest.raises(JobError, match="cannot read the job file"):
        load_job(Path("a\0b"))


def test_a_duplicate_key_is_a_problem_with_both_lines(problem):
    assert problem("threshold: 0.3\nthreshold: 0.4\n") == (
        "job.yaml:5: threshold: the key stands twice, first at job.yaml:4; keep one of them"
    )


def test_a_duplicate_key_does_not_hide_that_its_value_is_wrong(problems):
    found = problems("name: 3\nmodel: m\ndata: {path: d, label: y}\nname: x\n")
    assert found[0] == "job.yaml:1: name: expected text, got 3 (integer)"
    assert len(found) == 2


def test_tags_are_refused(problem):
    assert problem("threshold: !!float 1\n").startswith("job.yaml:4: threshold: tags (`tag:yaml.org,2002:float`)")


def test_a_tag_that_asks_for_an_object_builds_none(problem, tmp_path):
    problem(f"run_dir: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n".replace("['", '["').replace("']", '"]'))
    assert not (tmp_path / "made").exists()


def test_an_alias_repeats_its_value(load):
    job = load("name: &n digits\nmodel: *n\ndata: {path: d, label: y}\n")
    assert job.model.path == "digits"


def test_a_billion_laughs_are_refused(problems):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    (only,) = problems("\n".join(lines))
    assert only.startswith("job.yaml:4: aliases repeat more than 10000 values")


def test_a_million_brackets_are_refused(problems):
    assert problems("[" * 1_000_000)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("007", '`007` is the number 7 in YAML; write 7, or "007" if it is text'),
        ("0x1F", '`0x1F` is the number 31 in YAML; write 31, or "0x1F" if it is text'),
        ("9" * 41, "a number of 41 digits is too long; put it in quotes if it is text"),
        ("1." + "9" * 39, "a number of 41 characters is too long; 40 are allowed"),
        ("99999999999999999999", "expected an integer of at most 64 bits"),
    ],
)
def test_a_number_whose_text_would_be_lost_is_refused(problem, word, said):
    assert problem(f"threshold: {word}\n").startswith(f"job.yaml:4: threshold: {said}")


def test_a_character_that_no_file_name_can_hold_is_refused(problem):
    assert problem('run_dir: "a\\0b"\n').startswith("job.yaml:4: run_dir: holds a character that no file name can hold")
