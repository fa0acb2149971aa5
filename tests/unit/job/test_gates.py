import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.job import Gate, Job
from ortbatch.metrics.reference import KNOWN, PER_CLASS, MetricRef

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
refs = st.builds(MetricRef, st.sampled_from(sorted(KNOWN)), st.none(), st.none() | texts)


@settings(max_examples=300, deadline=None)
@given(st.builds(Gate, refs, st.sampled_from([">=", ">", "<=", "<", "=="]), finite))
def test_every_gate_reads_back_as_it_was_written(gate):
    assert Gate.parse(str(gate)) == gate


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text('f1[]"@=<>0. e-%', max_size=30))
def test_any_text_is_a_gate_or_a_value_error(text):
    try:
        Gate.parse(text)
    except ValueError:
        return


def gate_of(value):
    mapping = {"name": "n", "model": "m", "data": {"path": "d", "label": "y"}, "gates": [value]}
    return Job.from_mapping(mapping).gates[0]


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("accuracy >= 0.95", Gate(MetricRef("accuracy"), ">=", 0.95)),
        ("recall[8]>=.9", Gate(MetricRef("recall", class_name="8"), ">=", 0.9)),
        ("latency.single.p99_ms <= 10", Gate(MetricRef("latency.single.p99_ms"), "<=", 10.0)),
        ('f1["a >= b"] > 5e-1', Gate(MetricRef("f1", class_name="a >= b"), ">", 0.5)),
        ("f1[a >= b] < 1", Gate(MetricRef("f1", class_name="a >= b"), "<", 1.0)),
        ("coverage == 1", Gate(MetricRef("coverage"), "==", 1.0)),
        ("cohen_kappa >= -0.5", Gate(MetricRef("cohen_kappa"), ">=", -0.5)),
    ],
)
def test_each_form_of_text_is_read(text, gate):
    assert gate_of(text) == gate


@pytest.mark.parametrize(
    ("mapping", "gate"),
    [
        ({"metric": "accuracy", "min": 0.9}, Gate(MetricRef("accuracy"), ">=", 0.9)),
        ({"metric": "log_loss", "max": 1}, Gate(MetricRef("log_loss"), "<=", 1.0)),
        ({"metric": "recall", "class": True, "min": 1}, Gate(MetricRef("recall", class_name="true"), ">=", 1.0)),
        ({"metric": "recall", "class": "a]b@c", "min": 1}, Gate(MetricRef("recall", class_name="a]b@c"), ">=", 1.0)),
        ({"metric": "recall[a]", "min": 0}, Gate(MetricRef("recall", class_name="a"), ">=", 0.0)),
    ],
)
def test_each_form_of_mapping_is_read(mapping, gate):
    assert gate_of(mapping) == gate


@pytest.mark.parametrize("text", ["accuracy >= 0.95", 'recall["a]b"] < 0.1', "latency.batch.max_ms <= 1e+22"])
def test_a_gate_is_written_as_it_was_read(text):
    assert str(gate_of(text)) == text
    assert gate_of(gate_of(text).as_key()) == gate_of(text)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("acuracy >= 0.9", "unknown metric `acuracy`; did you mean `accuracy`?"),
        (
            "accuracy",
            'expected METRIC OP NUMBER with OP one of >=, >, <=, <, ==, such as `accuracy >= 0.9`; cannot read ""',
        ),
        ("accuracy = 0.9", "expected METRIC OP NUMBER"),
        ("accuracy => 0.9", "expected METRIC OP NUMBER"),
        ("accuracy >== 0.9", "expected METRIC OP NUMBER"),
        ("accuracy != 0.9", "expected METRIC OP NUMBER"),
        ("0.9 <= accuracy", "'0.9 <= accuracy' does not begin with the name of a metric"),
        ("accuracy >= ", "expected a finite number such as 0.95, got ''"),
        ("accuracy >= nan", "expected a finite number such as 0.95, got 'nan'"),
        ("accuracy >= 95%", "percentages are not allowed, got '95%'; write 0.95"),
        ("accuracy >= 0.9 or so", "expected a finite number such as 0.95, got '0.9 or so'"),
        ("accuracy >= 95", "`accuracy` lies between 0 and 1, the limit is 95"),
        ("latency.single.p99_ms <= -1", "`latency.single.p99_ms` lies between 0 and inf, the limit is -1"),
        ("accuracy[a] >= 0.9", "`accuracy` takes no class, got [a]; average_precision, f1,"),
        ("recall(0.9) >= 0.9", "`recall` takes no number in parentheses, got (0.9)"),
        ("{metric: f1}", "expected one limit, min, max or max_drop with versus, got none"),
        (
            "{metric: f1, min: 0.1, max: 0.9}",
            "expected one limit, min, max or max_drop with versus, got min and max; write",
        ),
        ('{metric: "f1[a]", class: b, min: 0.1}', "the class stands twice: in `metric: f1[a]` and as `class`"),
        ("{metric: 'f1 >= 0.9', min: 0.1}", "cannot read '>= 0.9' after the metric `f1`"),
        ("{metric: acuracy, min: 0.1}", "unknown metric `acuracy`; did you mean `accuracy`?"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused(problem, gate, said):
    assert problem(f"gates:\n  - {gate}\n").startswith(f"job.yaml:5: gates[0]: {said}")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{metric: f1, min: '0.1'}", '.min: expected a number, got "0.1" (text)'),
        ("{metric: f1, min: .inf}", ".min: expected a finite number, got inf (number)"),
        (
            "{metric: f1, clas: a, min: 0.1}",
            ".clas: unknown key `clas`; did you mean `class`? Allowed: metric, class, sl",
        ),
        ("{min: 0.1}", ".metric: missing; expected text: Metric, such as `accuracy`, or a whole reference."),
    ],
)
def test_a_wrong_key_of_a_gate_is_named(problem, gate, said):
    assert problem(f"gates:\n  - {gate}\n").startswith(f"job.yaml:5: gates[0]{said}")


CLASSES = "name: n\nmodel: m\ndata: {{path: d, label: y, classes: {}}}\ngates: ['{} >= 0.5']\n"


def test_a_gate_on_a_class_that_the_job_does_not_have_is_refused(problems):
    assert problems(CLASSES.format("[ham, spam]", "recall[spma]")) == [
        'job.yaml:4: gates[0]: class "spma" (text) is none of the classes ham, spam; did you mean `spam`?'
    ]


def test_a_gate_on_a_class_is_checked_against_a_file_of_classes(problems, tmp_path):
    (tmp_path / "labels.txt").write_text("ham\nspam\n")
    (only,) = problems(CLASSES.format("labels.txt", "recall[eggs]"))
    assert only.startswith('job.yaml:4: gates[0]: class "eggs" (text) is none of the classes ham, spam')


def test_a_gate_on_a_class_that_the_job_has_is_kept(load):
    assert load(CLASSES.format("[0, 1, 2]", "recall[2]")).gates[0].metric.class_name == "2"


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "specificity"])
def test_a_metric_of_the_positive_class_needs_a_class_where_there_are_three(problems, metric):
    (only,) = problems(CLASSES.format("[a, b, c]", metric))
    assert only.startswith(f"job.yaml:4: gates[0]: `{metric}` needs a class where there are 3: `{metric}[a]`")


@pytest.mark.parametrize("metric", sorted(PER_CLASS))
def test_a_metric_of_the_positive_class_needs_no_class_where_there_are_two(load, metric):
    assert load(CLASSES.format("[a, b]", metric)).gates[0].metric.class_name is None


@pytest.mark.parametrize("metric", sorted(KNOWN))
def test_every_known_metric_can_be_gated(metric):
    assert gate_of(f"{metric} >= 0.5").metric.name == metric
