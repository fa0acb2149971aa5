"""Gates about a model on the same rows: what can be asked, and what is refused before anything is run."""

import re
from pathlib import Path

import pytest

from ortbatch.job import Gate
from ortbatch.metrics.reference import FIDELITY, PAIRED, MetricRef, bounds, check, has_interval, lower_is_better

DOCS = (Path(__file__).parents[3] / "docs" / "job.md").read_text()
BASELINES = "baselines: {torch: {torch: m.pt2}, int8: {path: int8.onnx}, previous: {run: 'runs/*'}}\n"
CLASSES = "name: n\nmodel: m\ndata: {path: d, label: y, classes: [a, b, c]}\n"


@pytest.mark.parametrize("name", sorted(FIDELITY))
def test_every_metric_of_a_baseline_can_be_gated(load, digits, name):
    text = f"fidelity[torch]{name.removeprefix('fidelity')} >= 0.5"
    job = load(digits + BASELINES, overrides=[f'gates=["{text}"]'])
    assert job.gates[0] == Gate(MetricRef(name, class_name="torch"), ">=", 0.5)
    assert str(job.gates[0]) == text


@pytest.mark.parametrize("name", sorted(FIDELITY))
def test_every_metric_of_a_baseline_is_documented(name):
    assert f"`{name.removeprefix('fidelity.')}`" in DOCS


def test_classes_of_the_job_are_no_baselines(load):
    job = load(f"{CLASSES}{BASELINES}gates: ['fidelity[int8].agreement >= 0.99']\n")
    assert job.gates[0].metric.class_name == "int8"


@pytest.mark.parametrize("metric", ["accuracy", "recall[a]", "f1[c]", "f1_macro", "balanced_accuracy"])
def test_a_gate_against_a_model_is_kept(load, metric):
    gate = f"{{metric: '{metric}', versus: torch, max_drop: 0.005, confidence: 0.95}}"
    job = load(f"{CLASSES}{BASELINES}gates: [{gate}]\n")
    assert (job.gates[0].versus, job.gates[0].limit) == ("torch", -0.005)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            "'fidelity[torch].agrement >= 1'",
            "unknown metric `fidelity[torch].agrement`; did you mean `fidelity[torch].agreement`",
        ),
        ("'fidelity[torch].max_diference <= 1'", "did you mean `fidelity[torch].max_difference`?"),
        (
            "'fidelity[torch] >= 1'",
            "unknown metric `fidelity[torch]`; known are, behind `fidelity[BASELINE].`: accuracy_",
        ),
        ("'fidelity[torch].nonsense >= 1'", "unknown metric `fidelity[torch].nonsense`; known are, behind"),
        ("fidelity.agreement >= 1", "`fidelity.agreement` names no baseline; write `fidelity[BASELINE].agreement`"),
        (
            "'fidelity[trch].agreement >= 1'",
            'baseline "trch" (text) is none of those on the same rows, torch, int8; did you',
        ),
        ("'fidelity[previous].agreement >= 1'", 'baseline "previous" (text) is an earlier run; fidelity is to a model'),
        ("'fidelity[torch].agreement >= 1.5'", "`fidelity.agreement` lies between 0 and 1, the limit is 1.5"),
        (
            "'fidelity[torch].max_difference@x=1 <= 1'",
            "`fidelity.max_difference` is not kept for slices; of a baseline agree",
        ),
        ("'fidelity[torch].agreement@x=1 >= 1'", "the job has no slices by x"),
        (
            "{metric: 'fidelity[torch].flips', max: 3, confidence: 0.9}",
            "`fidelity.flips` has no interval to be sure by",
        ),
        (
            "{metric: log_loss, versus: torch, max_drop: 1}",
            "`log_loss` cannot be compared row by row with the model `torch`; acc",
        ),
        (
            "{metric: 'precision[a]', versus: int8, max_drop: 1}",
            "`precision[a]` cannot be compared row by row with the model",
        ),
        (
            "{metric: latency.batch.p50_ms, versus: torch, max_drop: 1}",
            "`latency.batch.p50_ms` cannot be compared row by row",
        ),
        (
            "{metric: 'fidelity[torch].agreement', versus: int8, max_drop: 1}",
            "`fidelity[torch].agreement` cannot be comp",
        ),
        (
            "{metric: accuracy, versus: trch, max_drop: 1}",
            'versus "trch" (text) is none of the baselines torch, int8, previous',
        ),
        ("{metric: f1, versus: torch, max_drop: 1}", "`f1` needs a class where there are 3"),
        ("{metric: 'recall[z]', versus: torch, max_drop: 1}", 'class "z" (text) is none of the classes a, b, c'),
    ],
)
def test_what_cannot_be_asked_of_a_model_is_refused(problems, gate, said):
    (only,) = problems(f"{CLASSES}{BASELINES}gates: [{gate}]\n")
    assert only.startswith("job.yaml:5: gates[0]: ")
    assert said in only


def test_a_slice_of_another_metric_is_not_paired(problems):
    gate = "{metric: 'balanced_accuracy@x=1', versus: torch, max_drop: 1}"
    (only,) = problems(f"{CLASSES}{BASELINES}slices: [x]\ngates: [{gate}]\n")
    assert "of slices only accuracy is compared row by row with a model, got `balanced_accuracy@x=1`" in only


def test_a_latency_against_a_model_is_pointed_to_the_ratio(problems):
    gate = "{metric: latency.single.p99_ms, versus: torch, max_drop: 1}"
    (only,) = problems(f"{CLASSES}{BASELINES}gates: [{gate}]\n")
    assert only.endswith("; for times there is `fidelity[torch].latency_ratio`")


def test_without_baselines_a_gate_says_how_to_name_one(problem):
    said = problem("gates: ['fidelity[torch].agreement >= 1']\n")
    assert said.endswith("name a model to run on the same rows with `baselines: {torch: {path: other.onnx}}`")


def test_an_earlier_run_can_be_asked_for_a_metric_that_models_cannot(load):
    gate = "{metric: log_loss, versus: previous, max_drop: 0.1}"
    assert load(f"{CLASSES}{BASELINES}gates: [{gate}]\n").gates[0].versus == "previous"


@pytest.mark.parametrize("name", sorted(FIDELITY))
def test_a_number_in_parentheses_is_refused(name):
    with pytest.raises(ValueError, match="takes no number in parentheses"):
        check(MetricRef(name, argument=0.5, class_name="torch"))


def test_differences_of_shares_have_a_sign_and_the_others_have_none():
    below = {name for name in FIDELITY if bounds(name)[0] < 0}
    assert below == {f"fidelity.{name}_difference" for name in PAIRED if name != "recall"}


def test_less_difference_is_better_and_more_agreement():
    better_low = {name for name in FIDELITY if lower_is_better(name)}
    gaps = {name for name in FIDELITY if re.fullmatch(r"fidelity\.(max|mean|rms|p\d.*)_difference", name)}
    assert better_low == gaps | {"fidelity.flips", "fidelity.unusable"}


def test_numbers_that_never_have_an_interval_are_known():
    without = {name for name in FIDELITY if not has_interval(name)}
    assert without == {f"fidelity.{name}" for name in ("flips", "unusable", "max_difference", "rms_difference")}
