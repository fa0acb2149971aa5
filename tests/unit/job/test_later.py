import re

import pytest

from ortbatch.job.later import LATER

BASE = {"model": "m", "data": "{path: d, label: y}"}

ASKS = {
    "tracking": ("tracking", '{mlflow: "http://localhost:5000"}'),
}


@pytest.mark.parametrize("key", ASKS)
def test_a_later_feature_is_refused_with_its_line_and_key(problems, key):
    section, value = ASKS[key]
    lines = {**BASE, section: value}
    (only,) = problems("name: n\n" + "".join(f"{name}: {text}\n" for name, text in lines.items()))
    line = 2 + list(lines).index(section)
    assert only.startswith(f"job.yaml:{line}: {key}: not available yet: ")
    assert only.endswith("; this version refuses it rather than ignore it, so take it out")


def test_an_earlier_run_and_a_gate_against_it_are_available(load, digits):
    gate = "{metric: f1, class: a, versus: p, max_drop: 0.01, confidence: 0.95}"
    job = load(f"{digits}baselines: {{p: {{run: r/*}}}}\n", overrides=[f"gates=[{gate}]", "data.classes=[a, b]"])
    assert (job.gates[0].versus, job.gates[0].limit) == ("p", -0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("baselines: {p: {run: r, pick: newest}}", "baselines.p.pick: expected `latest_passed` or `latest`, got"),
        ("baselines: {t: {run: a, if_mising: pass}}", "baselines.t.if_mising: unknown key `if_mising`; did you mean"),
        ("baselines: {m: {path: 3}}", "baselines.m.path: expected text, got 3 (integer)"),
        ("baselines: {m: 3}", "baselines.m: expected text or a mapping, got 3 (integer)"),
        ("predictions: {top_k: 0}", "predictions.top_k: expected at least 1, got 0 (integer)"),
        ("checks: {}", "checks.training_data: missing; expected text or a list"),
        ("checks: {training_data: d, leakage: false, overfitting: false}", "checks: asks for neither `leakage` nor "),
        ("checks: {training_data: d, leakage: 1}", "checks.leakage: expected true/false, got 1 (integer)"),
        ("checks: {training_data: d, overfitting: 3}", "checks.overfitting: expected true/false or a mapping, got 3"),
        ("checks: {training_data: d, overfitting: {rows: some}}", "checks.overfitting.rows: expected a whole number"),
        ("tracking: {mlflow: 3}", "tracking.mlflow: expected text, got 3 (integer)"),
        ("gates: [{metric: f1, versus: p}]", "gates[0]: `versus` and `max_drop` go together"),
        ("gates: [{metric: f1, versus: p, max_drop: -1}]", "gates[0].max_drop: expected at least 0, got -1"),
    ],
)
def test_the_shape_of_later_sections_is_checked(problem, text, said):
    assert problem(f"{text}\n").startswith(f"job.yaml:4: {said}")


@pytest.mark.parametrize("text", ["baselines: {}", "checks:", "predictions: ~", "tracking: null"])
def test_an_empty_later_section_asks_for_nothing(load, digits, text):
    assert load(f"{digits}{text}\n") == load(digits)


def test_every_line_of_the_table_is_about_a_key_that_exists():
    asked = {re.sub(r"\[0\]|(?<=baselines)\.\w(?=\.)", "", key) for key in ASKS}
    asked |= {"gates.metric"}
    assert {later.key for later in LATER} <= asked
