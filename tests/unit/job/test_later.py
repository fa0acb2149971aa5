import pytest

from ortbatch.job.later import LATER

BASE = {"model": "m", "data": "{path: d, label: y}"}

ASKS = {
    "slices": ("slices", "[country, [country, device], {column: amount, bins: [0, 10, 100]}]"),
    "baselines": (
        "baselines",
        '{t: {torch: m.pt2}, f: {function: "prep:predict"}, s: {scores: old}, p: {run: r/*, if_missing: pass}, m: m}',
    ),
    "checks": ("checks", "{training_data: data/train/*.parquet}"),
    "tracking": ("tracking", '{mlflow: "http://localhost:5000"}'),
    "gates[0]": ("gates", "['accuracy@country=DE >= 0.75']"),
    "gates[0].slice": ("gates", "[{metric: f1, slice: {country: DE}, min: 0.5}]"),
    "gates[0].confidence": ("gates", "[{metric: f1, min: 0.5, confidence: 0.95}]"),
}


@pytest.mark.parametrize("key", ASKS)
def test_a_later_feature_is_refused_with_its_line_and_key(problems, key):
    section, value = ASKS[key]
    lines = {**BASE, section: value}
    (only,) = problems("name: n\n" + "".join(f"{name}: {text}\n" for name, text in lines.items()))
    line = 2 + list(lines).index(section)
    assert only.startswith(f"job.yaml:{line}: {key}: not available yet: ")
    assert only.endswith("; this version refuses it rather than ignore it, so take it out")


@pytest.mark.parametrize(
    "metric",
    [
        "ece", "top_5_accuracy", "recall_at_precision(0.9)", "precision_at_recall(0.5)[a]", "specificity_at_recall(1)",
        "fidelity[torch].agreement", "leakage", "leakage.exact", "overfitting", "overfitting.accuracy",
    ],
)  # fmt: skip
def test_a_later_metric_is_refused_as_such(problem, metric):
    name = metric.replace("[torch]", "").replace("[a]", "").split("(")[0]
    assert problem(f"gates: ['{metric} >= 0.5']\n").startswith(
        f"job.yaml:4: gates[0]: not available yet: the metric `{name}`;"
    )


def test_each_key_of_a_gate_against_a_baseline_is_refused(problems):
    found = problems(
        "name: n\nmodel: m\ndata: {path: d, label: y}\ngates:\n"
        "  - {metric: f1, class: a, versus: previous, max_drop: 0.01, confidence: 0.95}\n"
    )
    assert [line.split(":")[2].strip() for line in found] == [
        "gates[0].versus",
        "gates[0].max_drop",
        "gates[0].confidence",
    ]


def test_a_wrong_shape_of_a_later_feature_is_told_before_that_it_comes_later(problem):
    assert problem("slices: [{column: a, bins: [3, 1]}]\n") == (
        "job.yaml:4: slices[0].bins: expected edges that increase, such as [0, 10, 100]"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("baselines: {p: {run: r, pick: newest}}", "baselines.p.pick: expected `latest_passed` or `latest`, got"),
        ("baselines: {t: {torch: a, wights: b}}", "baselines.t.wights: unknown key `wights`; did you mean `weights`?"),
        ("baselines: {m: {path: 3}}", "baselines.m.path: expected text, got 3 (integer)"),
        ("baselines: {m: 3}", "baselines.m: expected text or a mapping, got 3 (integer)"),
        ("predictions: {top_k: 0}", "predictions.top_k: expected at least 1, got 0 (integer)"),
        ("checks: {}", "checks.training_data: missing; expected text or a list"),
        ("slices: [{bins: [0, 1]}]", "slices[0].column: missing; expected text or a list"),
        ("tracking: {mlflow: 3}", "tracking.mlflow: expected text, got 3 (integer)"),
        ("gates: [{metric: f1, versus: p}]", "gates[0].versus: not available yet"),
    ],
)
def test_the_shape_of_later_sections_is_checked(problem, text, said):
    assert problem(f"{text}\n").startswith(f"job.yaml:4: {said}")


@pytest.mark.parametrize("text", ["slices: []", "baselines: {}", "checks:", "predictions: ~", "tracking: null"])
def test_an_empty_later_section_asks_for_nothing(load, digits, text):
    assert load(f"{digits}{text}\n") == load(digits)


def test_every_line_of_the_table_is_about_a_key_that_exists():
    asked = {key.replace("[0]", "").replace(".x", "").replace(".y", "").replace(".z", "") for key in ASKS}
    asked |= {"gates.slice", "gates.versus", "gates.max_drop", "gates.confidence", "gates.metric"}
    assert {later.key for later in LATER} <= asked
