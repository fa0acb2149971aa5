"""The command line: what it prints where, what it writes, and the exit code that it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ortbatch
from ortbatch.job import job_schema
from ortbatch.report.schema import REPORT_SCHEMA
from tests.command_line import JOB, Done, call, files_of, make_job, process

COMMANDS = ["run", "check", "report", "gate", "thresholds", "schema"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the small job; do not write beside it."""
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def run(job: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The folder of a finished run, and what the process that made it printed; read only."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, process("run", job, "--run-dir", folder, "--engine", "inline")


@pytest.fixture(scope="module")
def folder(run: tuple[Path, Done]) -> Path:
    return run[0]


def failing(job: Path, folder: Path, *options: str) -> Done:
    """A run with a gate that fails."""
    return call("run", job, "--run-dir", folder, "--engine", "inline", "--set", "gates=[accuracy >= 0.99]", *options)


def gates_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    return path


def test_a_run_that_passes_ends_with_0_and_prints_its_verdict_first(run: tuple[Path, Done]) -> None:
    folder, done = run
    assert done.code == 0
    assert done.out.startswith(" PASSED   small: 2 passed of 2 gates\n")
    assert done.out.endswith(f"report: {folder}/report.json\n")


def test_progress_goes_to_stderr_and_its_last_line_ends(run: tuple[Path, Done]) -> None:
    _, done = run
    assert done.err.splitlines()[-1].startswith("100%, 3 of 3 shards, ")
    assert done.err.endswith("\n")
    assert "%, " not in done.out.splitlines()[-1]


def test_a_run_leaves_plan_table_report_and_page(folder: Path) -> None:
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["metrics.csv", "plan.json", "report.html", "report.json"]


def test_json_on_stdout_is_exactly_report_json(job: Path, tmp_path: Path) -> None:
    done = call("run", job, "--run-dir", tmp_path, "--engine", "inline", "--json")
    assert done.out == (tmp_path / "report.json").read_text()
    assert done.err.endswith(f"report: {tmp_path}/report.json\n")


def test_a_report_below_the_working_folder_is_named_without_it(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("run", job, "--run-dir", "here", "--engine", "inline")
    assert done.out.endswith("\nreport: here/report.json\n")


def test_the_default_folder_is_beside_the_job_and_named_by_name_and_time(tmp_path: Path) -> None:
    call("run", make_job(tmp_path / "job"), "--engine", "inline")
    (report,) = tmp_path.glob("job/runs/small/*/report.json")
    assert report.parent.name[8] == "T"


def test_two_runs_that_start_in_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    for _ in range(3):
        call("run", job, "--engine", "inline")
    assert len(list(tmp_path.glob("job/runs/small/*/report.json"))) == 3


def test_a_job_without_gates_ends_with_0(job: Path, tmp_path: Path) -> None:
    done = call("run", job, "--run-dir", tmp_path, "--engine", "inline", "--set", "gates=[]")
    assert done.code == 0
    assert done.out.startswith(" UNGATED   small: the job has no gates, nothing was judged\n")


def test_a_gate_that_fails_ends_with_1(job: Path, tmp_path: Path) -> None:
    assert failing(job, tmp_path).code == 1


INCONCLUSIVE = ("--set", "gates=[latency.batch.p99_ms <= 1000]")


@pytest.mark.parametrize(
    ("options", "code"), [((), 4), (("--inconclusive", "pass"), 0), (("--inconclusive", "fail"), 1)]
)
def test_a_gate_that_cannot_be_decided_ends_with_4_or_as_told(
    job: Path, tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    done = call("run", job, "--run-dir", tmp_path, "--engine", "inline", *INCONCLUSIVE, *options)
    assert done.code == code
    assert json.loads((tmp_path / "report.json").read_text())["exit_code"] == 4


def test_variables_fill_the_job_and_are_recorded(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("path: data,", "path: '{where}',"))
    done = call("run", job, "--var", "where=data/part-0.parquet", "--run-dir", tmp_path / "run", "--engine", "inline")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert done.code == 0
    assert (report["run"]["vars"], report["quality"]["rows"]) == ({"where": "data/part-0.parquet"}, 40)


def test_set_overrides_a_key(job: Path, tmp_path: Path) -> None:
    call("run", job, "--run-dir", tmp_path, "--engine", "inline", "--set", "model.batch_size=7", "--set", "name=other")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["latency"]["batch"]["batch_size"], report["run"]["name"]) == (7, "other")


def test_check_says_how_the_job_fits_and_writes_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    before = files_of(tmp_path)
    done = call("check", job)
    assert done.code == 0
    assert done.out.startswith("OK small can run\ndata: 120 rows in 3 files, 3 shards\n")
    assert files_of(tmp_path) == before


def test_check_shows_each_input_with_its_columns_and_what_they_hold(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("x: [f0, f1, f2, f3]", "x: {columns: [f0, f1, f2, f3], null: 0}"))
    table = [line.split() for line in call("check", job).out.splitlines()]
    header = next(number for number, line in enumerate(table) if line[:1] == ["input"])
    assert table[header] == ["input", "type", "row", "columns", "of", "type", "cast", "null", "how"]
    assert table[header + 2] == ["x", "float32", "4", "f0,", "f1,", "f2,", "f3", "float", "exact", "0", "job"]


def test_check_names_every_problem_of_job_model_and_data_at_once(tmp_path: Path) -> None:
    text = JOB.replace("f3]}", "g3], y: f0}").replace("label: label", "label: lable, filter: [[day, ==, x]]")
    job = make_job(tmp_path / "job", text.replace("model.onnx,", "model.onnx, output: {name: probs},"))
    (tmp_path / "job" / "data" / "broken.parquet").write_bytes(b"no Parquet, but long enough")
    done = call("check", job)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: 6 problems:\n* ")
    for said in ("no output `probs`", "broken.parquet: not a readable", "column `lable` is missing", "no input `y`",
                 "names column `g3`, which", "data.filter names column `day`"):  # fmt: skip
        assert said in done.err


def test_check_names_what_is_wrong_with_the_data_though_the_model_cannot_be_loaded(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("label: label", "label: lable"))
    (tmp_path / "job" / "model.onnx").write_bytes(b"no model")
    done = call("check", job)
    assert done.code == 2
    assert "model.onnx: not an ONNX" in done.err
    assert "column `lable` is missing" in done.err


def test_check_shows_odd_names_of_columns_inert(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("label: label", 'label: "[b]la\\x1b[31mbel"'))
    for part in (tmp_path / "job" / "data").iterdir():
        table = pq.read_table(part)
        pq.write_table(table.rename_columns([*table.column_names[:-1], "[b]la\x1b[31mbel"]), part)
    assert "label: column [b]la\\x1b[31mbel, by name" in call("check", job).out


def test_report_prints_what_the_run_printed(run: tuple[Path, Done]) -> None:
    folder, done = run
    assert call("report", folder).out + f"report: {folder}/report.json\n" == done.out


@pytest.mark.parametrize("end", ["", "/", "/report.json"])
def test_report_as_json_is_exactly_report_json(folder: Path, end: str) -> None:
    assert call("report", f"{folder}{end}", "--json").out == (folder / "report.json").read_text()


def test_gate_judges_by_the_gates_of_the_run(folder: Path) -> None:
    before = files_of(folder)
    done = call("gate", folder)
    assert (done.code, done.out.splitlines()[0]) == (0, " PASSED   small: 2 passed of 2 gates")
    assert files_of(folder) == before


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        ("gates: ['recall[1] >= 0.5']", 0),
        ("gates: [accuracy >= 0.99]", 1),
        ("gates: [latency.batch.p99_ms <= 1000]", 4),
        ("gates: []", 0),
        ("gates: [{metric: recall, class: 1, max: 0.1}]\nanything: else", 1),
    ],
)
def test_gate_judges_by_the_gates_of_a_file(folder: Path, tmp_path: Path, gates: str, code: int) -> None:
    assert call("gate", folder, "--gates", gates_file(tmp_path, gates)).code == code


def test_gate_takes_another_job_file_and_looks_at_its_gates_only(folder: Path, tmp_path: Path) -> None:
    other = gates_file(tmp_path, JOB.replace("accuracy >= 0.5", "accuracy >= 0.99").replace("path: data", "path: gone"))
    assert call("gate", folder, "--gates", other).code == 1


def test_gate_as_json_has_status_exit_code_and_gates(folder: Path, tmp_path: Path) -> None:
    done = call("gate", folder, "--json", "--gates", gates_file(tmp_path, "gates: [accuracy >= 0.99]"))
    verdict = json.loads(done.out)
    assert (verdict["status"], verdict["exit_code"], done.code) == ("failed", 1, 1)
    assert [gate["gate"] for gate in verdict["gates"]] == ["accuracy >= 0.99"]


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ("gates: [acuracy >= 0.5]", "gates.yaml:1: gates[0]: unknown metric `acuracy`; did you mean `accuracy`?"),
        ("gates: ['recall[7] >= 0.5']", '"7" (text) is none of the classes 0, 1, 2'),
        ("gates: [recall >= 0.5]", "`recall` needs a class where there are 3: `recall[0]`"),
        ("gate: [accuracy >= 0.5]", "gates.yaml: gates: missing; expected a list of gates"),
        ("gates: {a: 1", "gates.yaml:1: not valid YAML"),
    ],
)
def test_gates_that_are_wrong_end_with_2_and_say_where(folder: Path, tmp_path: Path, gates: str, message: str) -> None:
    done = call("gate", folder, "--gates", gates_file(tmp_path, gates))
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_gates_on_classes_with_braces_are_judged_again(tmp_path: Path) -> None:
    text = JOB.replace("label: label", "label: label, label_is: index, classes: ['{{a}}', b, c]")
    job = make_job(tmp_path / "job", text.replace("accuracy >= 0.5", "'specificity[{{a}}] >= 0.5'"))
    assert call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline").code == 0
    assert call("gate", tmp_path / "run").code == 0


def test_schema_prints_both_schemas() -> None:
    assert json.loads(call("schema", "job").out) == job_schema()
    assert json.loads(call("schema", "report").out) == REPORT_SCHEMA


def test_version_is_that_of_the_package() -> None:
    assert call("--version").out == f"ortbatch {ortbatch.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(command: str, option: str) -> None:
    done = call(command, option)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: ortbatch {command} [OPTIONS] ")


def test_the_help_lists_every_command_and_the_exit_codes() -> None:
    done = call("-h")
    assert all(f"\n  {command} " in done.out for command in COMMANDS)
    assert "Exit codes: 0 passed or no gates, 1 a gate failed" in done.out


def test_without_a_command_the_help_is_shown_with_2() -> None:
    done = call()
    assert (done.code, done.out) == (2, "")
    assert "Usage: ortbatch [OPTIONS] COMMAND" in done.err


def test_an_odd_encoding_of_stdout_changes_characters_and_nothing_else(folder: Path) -> None:
    done = process("gate", folder, PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert "\\u2013" in done.out
    assert process("report", folder, "--json", PYTHONIOENCODING="ascii").out == (folder / "report.json").read_text()
