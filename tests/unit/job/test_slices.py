"""Slices in the job file, and gates on them."""

import pytest

from ortbatch.errors import JobError
from ortbatch.job import Gate, Job, SliceSpec
from ortbatch.job.gates import check_class, check_slice
from ortbatch.job.gates_file import load_gates, stored_gates
from ortbatch.metrics.reference import KNOWN, sliced

SLICES = "slices: [country, [country, device], {column: amount, bins: [0, 10, 100]}]\n"


def test_each_form_of_a_slice_is_read(load, digits):
    assert load(digits + SLICES).slices == (
        SliceSpec(column=("country",)),
        SliceSpec(column=("country", "device")),
        SliceSpec(column=("amount",), bins=(0.0, 10.0, 100.0)),
    )


@pytest.mark.parametrize("text", ["slices: []", "slices: ['a b', 'ü', 'x.y', '0']"])
def test_any_names_of_columns_and_none_are_allowed(load, digits, text):
    load(f"{digits}{text}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[{bins: [0, 1]}]",
            "[0].column: missing; expected text or a list: Column whose values cut the rows, or several together.",
        ),
        ("[3]", "[0]: expected text, a list or a mapping, got 3 (integer)"),
        ("[{column: a, bins: [3, 1]}]", "[0].bins: expected edges that increase, such as [0, 10, 100]"),
        ("[{column: a, bins: [1]}]", "[0].bins: expected a list of at least 2, got a list of 1"),
        ("[{column: a, bins: [0, .inf]}]", "[0].bins[1]: expected a finite number, got inf (number)"),
        ("[{column: a, bins: [false, 1]}]", "[0].bins[0]: expected a number, got false (boolean)"),
        ("[{column: [a, b], bins: [0, 1]}]", "[0]: `bins` cut one column, got 2: a, b"),
        ("[a, [b, b]]", "[1]: names a column twice: b, b"),
        ("[[a, b], c, [b, a]]", ": two slices are by b, a; leave one of them out"),
        ("[a, {column: a, bins: [0, 1]}]", ": two slices are by a; leave one of them out"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_with_its_place(problem, text, said):
    assert problem(f"slices: {text}\n") == f"job.yaml:4: slices{said}"


@pytest.mark.parametrize(
    "gate",
    [
        "accuracy@country=DE >= 0.5", "recall[8]@device=ios,country=DE >= 0.5", "accuracy@amount=0..10 >= 0.5",
        'f1_macro@country="(null)" >= 0.5', "accuracy@amount=below 0 >= 0.5", "accuracy@amount=100 or more > 0",
    ],
)  # fmt: skip
def test_a_gate_may_be_about_a_slice_that_is_asked_for(load, digits, gate):
    read = load(f"{digits}{SLICES}gates: ['{gate}']\n").gates[0]
    assert read == Gate.parse(gate)
    assert str(read) == gate


def test_a_mapping_may_name_a_slice(load, digits):
    text = "gates: [{metric: recall, class: 8, slice: {country: DE, device: true}, min: 0.5}]\n"
    assert str(load(digits + SLICES + text).gates[0]) == "recall[8]@country=DE,device=true >= 0.5"


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            "accuracy@device=ios >= 0.5",
            "the job has no slices by device; its slices are by: country; country, device; amount",
        ),
        (
            "accuracy@country=DE,amount=0..10 >= 0.5",
            "the job has no slices by country, amount; its slices are by: country; country, device; amount",
        ),
        (
            "log_loss@country=DE <= 1",
            "`log_loss` is not kept for slices; kept are accuracy, precision, recall, f1, specificity, roc_auc, "
            "average_precision, balanced_accuracy, f1_macro",
        ),
        (
            "coverage@country=DE >= 1",
            "`coverage` is not kept for slices; kept are accuracy, precision, recall, f1, specificity, roc_auc, "
            "average_precision, balanced_accuracy, f1_macro",
        ),
    ],
)
def test_a_gate_on_a_slice_that_is_not_asked_for_is_refused_with_its_line(problem, gate, said):
    assert problem(f"{SLICES}gates: ['{gate}']\n") == f"job.yaml:5: gates[0]: {said}"


def test_a_gate_on_a_slice_of_a_job_without_slices_is_refused(problem):
    said = "the job has no slices by country, vip; ask for them with `slices: [[...]]`"
    assert problem("gates: ['accuracy@country=DE,vip=true >= 0.5']\n") == f"job.yaml:4: gates[0]: {said}"


def test_slices_that_are_not_well_written_leave_their_gates_alone(problem):
    assert problem("slices: [3]\ngates: ['accuracy@country=DE >= 0.5']\n").startswith("job.yaml:4: slices[0]: ")


@pytest.mark.parametrize(
    ("gate", "classes", "said"),
    [
        ("f1_macro@a=b > 0", "xy", "`f1_macro` of 2 classes is not kept for slices; kept are accuracy, precision, "),
        ("roc_auc@a=b > 0", "xyz", "`roc_auc` of 3 classes is not kept for slices; kept are accuracy, balanced_accura"),
        ("roc_auc[x]@a=b > 0", "xyz", "`roc_auc` of a class of 3 is not kept for slices; kept are precision, recall,"),
        ("recall[x]@a=b > 0", "xyzabcdefghijklmnopqrst", "slices keep metrics of a class for up to 20 classes; there"),
    ],
)
def test_a_metric_that_slices_of_these_classes_do_not_have_is_refused(gate, classes, said):
    with pytest.raises(ValueError, match="slices") as caught:
        check_class(Gate.parse(gate), tuple(classes))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("classes", [2, 3, 20, 21])
@pytest.mark.parametrize("of_class", [True, False])
def test_what_slices_keep_are_known_metrics(classes, of_class):
    assert set(sliced(classes, of_class=of_class)) <= KNOWN


def test_columns_of_a_slice_have_no_order():
    check_slice(Gate.parse("accuracy@b=1,a=2 > 0"), [["x"], ["a", "b"]])


def test_gates_without_their_job_may_be_about_any_slice(tmp_path):
    (tmp_path / "gates.yaml").write_text("gates: ['accuracy@country=DE >= 0.5']\n")
    assert load_gates(tmp_path / "gates.yaml") == stored_gates(["accuracy@country=DE >= 0.5"])


def test_a_stored_job_with_slices_is_read_back(load, digits):
    job = load(f"{digits}{SLICES}gates: ['accuracy@country=DE >= 0.5']\n")
    assert Job.from_mapping(job.resolved(), job.folder) == job


def test_a_job_built_by_hand_is_checked_before_it_runs():
    # Without a file there is no context: `prepare` checks the gates again.
    with pytest.raises(JobError, match="the job has no slices by a"):
        Job.from_mapping({"name": "n", "model": "m", "data": {"path": "d", "label": "y"}, "gates": ["f1@a=b > 0"]})
