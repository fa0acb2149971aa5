import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.metrics.reference import KNOWN, OPERATING, PER_CLASS, MetricRef, bounds, check, number, scan

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=12)
names = st.sampled_from([*sorted(KNOWN), "recall_at_precision", "fidelity.agreement", "leakage.exact"])
references = st.builds(
    MetricRef,
    names,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | words,
    st.lists(st.tuples(words, words), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
)


@settings(max_examples=500, deadline=None)
@given(references)
def test_every_reference_reads_back_as_it_was_written(ref):
    assert MetricRef.parse(str(ref)) == ref


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60) | st.text('recall[]"@=,().\\ a1', max_size=30))
def test_any_text_is_a_reference_or_a_value_error(text):
    try:
        ref = MetricRef.parse(text)
    except ValueError:
        return
    assert MetricRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("accuracy", MetricRef("accuracy")),
        (" f1_macro ", MetricRef("f1_macro")),
        ("recall[8]", MetricRef("recall", class_name="8")),
        ("recall[new york]", MetricRef("recall", class_name="new york")),
        ('recall["a]b"]', MetricRef("recall", class_name="a]b")),
        ('recall["\\"q\\" \\u00e9"]', MetricRef("recall", class_name='"q" é')),
        ("latency.single.p99_ms", MetricRef("latency.single.p99_ms")),
        ("recall_at_precision(0.9)", MetricRef("recall_at_precision", argument=0.9)),
        ("fidelity[torch].agreement", MetricRef("fidelity.agreement", class_name="torch")),
        ("f1[a]@country=DE,device=ios", MetricRef("f1", None, "a", (("country", "DE"), ("device", "ios")))),
        ('accuracy@city="a,b=c"', MetricRef("accuracy", slice=(("city", "a,b=c"),))),
        ("accuracy@city=New York", MetricRef("accuracy", slice=(("city", "New York"),))),
    ],
)
def test_each_form_is_read(text, ref):
    assert MetricRef.parse(text) == ref


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with the name of a metric"),
        ("[a]", "does not begin with the name of a metric"),
        ("recall[a", "cannot read '\\[a' after"),
        ("recall[]", "an empty name needs quotes"),
        ('recall["a]', "no JSON string"),
        ("recall[a].b", "nothing may follow the brackets"),
        ("accuracy@", "cannot read '@' after"),
        ("accuracy@x=1,x=2", "names a column twice"),
        ("recall_at_precision(x)", "expected a finite number"),
        ("recall_at_precision(1e999)", "expected a finite number"),
        ('recall["\\ud800"]', "half a surrogate pair"),
        ("a" * 1001, "too long"),
    ],
)
def test_what_is_no_reference_is_refused_with_a_reason(text, said):
    with pytest.raises(ValueError, match=said):
        MetricRef.parse(text)


def test_a_scan_hands_back_what_follows_the_reference():
    assert scan("recall[a >= b] >= 0.9") == (MetricRef("recall", class_name="a >= b"), ">= 0.9")


def test_misspelt_metric_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="unknown metric `acuracy`; did you mean `accuracy`"):
        check(MetricRef("acuracy"))


def test_a_metric_like_no_other_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"known are accuracy, average_precision, .*throughput\.rows_per_s"):
        check(MetricRef("zzzzzz"))


@pytest.mark.parametrize("name", sorted(KNOWN - PER_CLASS))
def test_a_class_is_refused_where_the_metric_takes_none(name):
    with pytest.raises(ValueError, match="takes no class"):
        check(MetricRef(name, class_name="a"))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_number_in_parentheses_is_refused_by_every_known_metric(name):
    with pytest.raises(ValueError, match="takes no number"):
        check(MetricRef(name, argument=0.5))


@pytest.mark.parametrize("name", sorted(OPERATING))
def test_an_operating_point_needs_its_number(name):
    with pytest.raises(ValueError, match=rf"`{name}` needs a number in parentheses, .*: `{name}\(0\.[0-9]+\)`"):
        check(MetricRef(name))


@pytest.mark.parametrize("name", sorted(OPERATING - {"recall_at_fpr"}))
@pytest.mark.parametrize("argument", [0.0, -0.1, 1.0000001, 90.0])
def test_a_share_that_no_rows_can_have_is_refused(name, argument):
    with pytest.raises(ValueError, match=rf"`{name}` takes a number above 0 and at most 1, got \({argument!r}\)"):
        check(MetricRef(name, argument))


@pytest.mark.parametrize("argument", [-0.001, 1.0, 5.0])
def test_a_false_positive_rate_of_1_or_more_is_refused(argument):
    with pytest.raises(ValueError, match=r"`recall_at_fpr` takes a number from 0 to below 1"):
        check(MetricRef("recall_at_fpr", argument))


@pytest.mark.parametrize("text", ["recall_at_precision(1)", "precision_at_top(0.005)[cat]", "recall_at_fpr(0)"])
def test_an_operating_point_takes_a_class_and_the_ends_of_its_range(text):
    check(MetricRef.parse(text))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("recall_at_precison", "recall_at_precision"),
        ("precision_at_recal", "precision_at_recall"),
        ("specificity_at_recall", "precision_at_recall"),
        ("recall_at_fnr", "recall_at_fpr"),
        ("precision_at_k", "precision_at_top"),
    ],
)
def test_a_misspelt_operating_point_is_refused_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"unknown metric `{name}`; did you mean `{near}`"):
        check(MetricRef(name, 0.9))


def test_metrics_per_class_take_a_class_and_do_without():
    for name in PER_CLASS:
        check(MetricRef(name))
        check(MetricRef(name, class_name="a"))


def test_the_known_metrics_are_those_of_the_report():
    assert len(KNOWN) == 6 + 5 + 6 + 5 + 4 + 14
    assert {"latency.single.p99_9_ms", "latency.batch.mean_ms", "precision_weighted", "brier"} <= KNOWN


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1_000", "0x1F", "", "1e999", "١"])
def test_only_finite_decimal_numbers_are_numbers(text):
    with pytest.raises(ValueError, match="expected a finite number"):
        number(text)


def test_a_percentage_is_refused_with_the_number_meant():
    with pytest.raises(ValueError, match=r"percentages are not allowed, got '95%'; write 0\.95"):
        number("95%")


def test_bounds_of_metrics():
    assert bounds("recall") == (0, 1)
    assert bounds("matthews_corrcoef") == (-1, 1)
    assert bounds("latency.batch.max_ms") == (0, float("inf"))


def test_importing_references_loads_nothing_heavy():
    code = "import sys, ortbatch.metrics.reference; print(*{'numpy', 'sklearn', 'scipy', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
