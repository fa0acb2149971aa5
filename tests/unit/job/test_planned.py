import pytest


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
        ("tracking: {mlflow: 3}", "tracking.mlflow: expected text or a mapping, got 3 (integer)"),
        ("tracking: {}", "tracking.mlflow: missing; expected text or a mapping"),
        ("tracking: {mlflow: {experiment: e}}", "tracking.mlflow.uri: missing; expected text"),
        ("tracking: {mlflow: {uri: u, tags: {team: 3}}}", "tracking.mlflow.tags.team: expected text, got 3 (integer)"),
        ("tracking: {mlflow: {uri: u, runname: r}}", "tracking.mlflow.runname: unknown key `runname`; did you mean"),
        ("gates: [{metric: f1, versus: p}]", "gates[0]: `versus` and `max_drop` go together"),
        ("gates: [{metric: f1, versus: p, max_drop: -1}]", "gates[0].max_drop: expected at least 0, got -1"),
    ],
)
def test_the_shape_of_each_section_is_checked(problem, text, said):
    assert problem(f"{text}\n").startswith(f"job.yaml:4: {said}")


@pytest.mark.parametrize("text", ["baselines: {}", "checks:", "predictions: ~", "tracking: null"])
def test_an_empty_section_asks_for_nothing(load, digits, text):
    assert load(f"{digits}{text}\n") == load(digits)


def test_the_uri_of_a_tracker_is_its_short_form(load, digits):
    long = load(f"{digits}tracking: {{mlflow: {{uri: 'http://h:5000'}}}}\n")
    assert load(f"{digits}tracking: {{mlflow: 'http://h:5000'}}\n") == long
    assert (long.tracking.mlflow.uri, long.tracking.mlflow.experiment, long.tracking.mlflow.tags) == (
        "http://h:5000",
        None,
        {},
    )


def test_secrets_of_a_tracker_do_not_reach_the_resolved_job(load, digits):
    tags = "{from: 's3://key:hush@bucket/x'}"
    job = load(f"{digits}tracking: {{mlflow: {{uri: 'http://me:hush@h:5000', tags: {tags}}}}}\n")
    assert "hush" not in str(job.resolved()["tracking"])


@pytest.mark.parametrize("uri", ["models:/fraud@champion", "models:/fraud/3", "runs:/abc/model", "s3://b/m.onnx"])
def test_a_uri_of_a_registry_is_no_path(load, digits, uri):
    job = load(digits, overrides=[f"model.path={uri}"])
    assert job.locate(job.model.path) == uri


def test_one_key_of_a_tracker_can_be_set_on_its_short_form(load, digits):
    job = load(f"{digits}tracking: {{mlflow: u}}\n", overrides=["tracking.mlflow.experiment=nightly"])
    assert (job.tracking.mlflow.uri, job.tracking.mlflow.experiment) == ("u", "nightly")
