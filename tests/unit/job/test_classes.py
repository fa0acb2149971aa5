import json

import pytest

TEXT = "name: n\nmodel: m\ndata: {{path: d, label: y, classes: {}}}\n"


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        ("[a, b]", ("a", "b")),
        ("[no, yes]", ("no", "yes")),
        ("[false, TRUE]", ("false", "true")),
        ("[0, 1, -2]", ("0", "1", "-2")),
        ("[1.0, 2e0]", ("1", "2")),
        ("['007', \"1.5\"]", ("007", "1.5")),
        ("[a, 1, true]", ("a", "1", "true")),
    ],
)
def test_classes_of_any_scalar_become_text(load, written, classes):
    assert load(TEXT.format(written)).data.classes == classes


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[a, 1.5]", "[1]: expected the name of a class (text, an integer, true or false), got 1.5 (number); put the"),
        ("[a, ~]", "[1]: expected the name of a class (text, an integer, true or false), got nothing (null)"),
        ("[a, '']", '[1]: expected the name of a class (text, an integer, true or false), got "" (text)'),
        ("[a, [b]]", "[1]: expected the name of a class (text, an integer, true or false), got a list of 1"),
        ("[a, .nan]", "[1]: expected the name of a class (text, an integer, true or false), got nan (number)"),
        ("[a, 1e300]", "[1]: expected the name of a class (text, an integer, true or false), got 1e+300 (number)"),
        ("[a]", ": expected at least 2 classes, got 1"),
        ("[a, b, a]", ": class `a` stands twice, at 0 and 2 (counted from 0)"),
        ("[1, '1']", ": class `1` stands twice, at 0 and 1 (counted from 0)"),
        ("{a: b}", ": expected text or a list, got a mapping with the keys a"),
    ],
)
def test_classes_without_one_text_each_are_refused(problems, written, said):
    (only,) = problems(TEXT.format(written))
    assert only.startswith(f"job.yaml:3: data.classes{said}")


def test_classes_are_read_from_a_file_beside_the_job(load, tmp_path):
    (tmp_path / "labels.txt").write_bytes("ham\r\nwurst é\nspam\n".encode())
    assert load(TEXT.format("labels.txt")).data.classes == ("ham", "wurst é", "spam")


def test_classes_are_read_from_id2label_in_the_order_of_the_ids(load, tmp_path):
    names = {str(index): f"c{index}" for index in reversed(range(12))}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": names, "model_type": "vit"}))
    assert load(TEXT.format("config.json")).data.classes == tuple(f"c{index}" for index in range(12))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "a\n\nb\n", "a.txt:2: expected one name in a line without blanks around it"),
        ("a.txt", "a \nb\n", "a.txt:1: expected one name in a line without blanks around it"),
        ("a.txt", "a\na\n", "class `a` stands twice, at 0 and 1"),
        ("a.txt", "a", "expected at least 2 classes, got 1"),
        ("a.json", "[", 'a.json holds no {"id2label": {"0": name, ...}}: JSONDecodeError'),
        ("a.json", "[1]", 'a.json holds no {"id2label": {"0": name, ...}}: TypeError'),
        ("a.json", "{}", 'a.json holds no {"id2label": {"0": name, ...}}: KeyError'),
        ("a.json", '{"id2label": ["a", "b"]}', 'a.json holds no {"id2label": {"0": name, ...}}: AttributeError'),
        ("a.json", '{"id2label": {"x": "a"}}', 'a.json holds no {"id2label": {"0": name, ...}}: ValueError'),
        ("a.json", '{"id2label": {"0": "a", "2": "b"}}', "the ids of id2label in a.json are not 0 to 1, each once"),
        (
            "a.json",
            '{"id2label": {"0": "a", "0": "b"}}',
            'a.json holds no {"id2label": {"0": name, ...}}: ValueError a key',
        ),
        ("a.json", "[" * 100_000, 'a.json holds no {"id2label": {"0": name, ...}}: RecursionError'),
    ],
)
def test_a_file_that_holds_no_classes_is_a_problem(problems, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    (only,) = problems(TEXT.format(name))
    assert only.startswith(f"job.yaml:3: data.classes: {said}")


def test_a_label_of_a_config_that_is_no_text_is_a_problem(problems, tmp_path):
    (tmp_path / "a.json").write_text('{"id2label": {"0": "a", "1": null}}')
    (only,) = problems(TEXT.format("a.json"))
    assert only.startswith("job.yaml:3: data.classes[1]: expected the name of a class")


def test_a_missing_file_of_classes_is_a_problem_among_the_others(problems):
    found = problems(TEXT.format("labels.txt") + "threshold: x\n")
    assert (
        found[0] == "job.yaml:3: data.classes: cannot read the class names from labels.txt: No such file or directory"
    )
    assert len(found) == 2


def test_a_file_of_classes_that_is_not_utf8_is_a_problem(problems, tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"a\n\xff\n")
    (only,) = problems(TEXT.format("labels.txt"))
    assert only == "job.yaml:3: data.classes: labels.txt is not UTF-8"


def test_a_remote_file_of_classes_is_refused(problems):
    (only,) = problems(TEXT.format("s3://k:hush@bucket/labels.txt"))
    assert "is not local" in only
    assert "hush" not in only


@pytest.mark.parametrize(("written", "positive"), [("true", "true"), ("'true'", "true"), ("1", "1"), ("1.0", "1")])
def test_the_positive_class_becomes_text(load, written, positive):
    text = f"name: n\nmodel: m\ndata: {{path: d, label: y, positive: {written}}}\n"
    assert load(text).data.positive == positive


@pytest.mark.parametrize(
    ("classes", "positive", "said"),
    [
        ("[ham, spam]", "spm", '"spm" (text) is none of the classes ham, spam; did you mean `spam`?'),
        ("[a, b, c]", "a", "a positive class needs exactly 2 classes, got 3; take `positive` out"),
        ("[a, b]", "1.5", "expected the name of a class (text, an integer, true or false), got 1.5 (number); put the "),
    ],
)
def test_a_positive_class_that_does_not_fit_is_refused(problems, classes, positive, said):
    (only,) = problems(f"name: n\nmodel: m\ndata: {{path: d, label: y, classes: {classes}, positive: {positive}}}\n")
    assert only.startswith(f"job.yaml:3: data.positive: {said}")
