"""Text from data, models and file names is shown and does nothing: no command for a terminal, no markup, no other line.

Stored values are the values: report.json and metrics.csv hold what the data hold.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from rich.console import Console
from rich.text import Text

from ortbatch import terminal
from ortbatch.api import check
from ortbatch.data.transform import read_transform
from ortbatch.errors import DataError
from ortbatch.job import load_job
from ortbatch.preflight_text import print_prepared
from ortbatch.report.summary import print_summary
from tests.command_line import Done, call
from tests.models import linear_model
from tests.tables import write_table
from tests.unit.report.made import binary

CLASSES = (
    "=cmd|'/c calc'!A1", "[bold red]x[/]", "\x1b]0;owned\x07", "two\nlines", "\u202egnp.exe", "<script>x</script>",
    "\x9b2J", 'a,b"c\r', "nul\0", "{braces} {0}", "\u2066isolated", "日本\u3000語", "👩\u200d💻",
)  # fmt: skip
CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x2028, *range(0x202A, 0x202F), 0x2066, 0xFEFF)
NAME = "in\x1b[2J\n[red]\u202e=1+1"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
HARMLESS = "\n\u200c\u200d"


def commands_in(text: str) -> list[str]:
    """Characters that a terminal may obey, or that turn the direction of writing, by Unicode's own classes."""
    return [c for c in text if c not in HARMLESS and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")]


def model(path: Path) -> None:
    """x, by another name, → a ZipMap of text classes, in a file that says odd things of itself."""
    made = onnx.load(str(linear_model(path, 4, len(CLASSES), end="Softmax", inputs=("x",))))
    made.graph.node.append(helper.make_node("ZipMap", ["out"], ["m\x1b[1m"], domain="ai.onnx.ml",
                                            classlabels_strings=list(CLASSES)))  # fmt: skip
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    made.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("m\x1b[1m", TensorProto.FLOAT, None))
    made.graph.input[0].name = made.graph.node[0].input[0] = NAME
    made.producer_name = "\x1b]8;;http://x\x07click\u202e"
    path.write_bytes(made.SerializeToString())


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job whose columns, classes, file names and model are named by somebody who means no good."""
    folder = tmp_path_factory.mktemp("odd")
    model(folder / "m.onnx")
    rng = np.random.default_rng(0)
    columns = {f"{NAME}{i}": rng.normal(size=130).astype(np.float32) for i in range(4)}
    labels = [*CLASSES[:10] * 11, *["\x1b[31mno class\x07"] * 20]
    write_table(folder / "data" / "a\x1b]0;x\x07\n[b]\u202e.parquet", {**columns, "label": labels})
    (folder / "job.yaml").write_text(
        "name: odd\nmodel: m.onnx\ndata: {path: data, label: label, max_bad_rows: 20}\nlatency: {max_seconds: 0.01}\n"
    )
    return folder / "job.yaml"


@pytest.fixture(scope="module")
def done(job: Path) -> Done:
    """The job was run."""
    return call("run", job, "--run-dir", job.parent / "run", "--engine", "inline")


def test_a_run_prints_no_command(done: Done) -> None:
    assert done.code == 0, done.err
    assert commands_in(done.out + done.err) == []
    assert "[bold red]x[/]" in done.out


@pytest.mark.parametrize("arguments", [("report",), ("gate",)])
def test_a_stored_report_prints_no_command(done: Done, job: Path, arguments: tuple[str, ...]) -> None:
    shown = call(*arguments, job.parent / "run")
    assert (shown.code, commands_in(shown.out + shown.err)) == (0, [])


def test_a_check_prints_no_command(job: Path) -> None:
    shown = call("check", job)
    assert shown.code == 0, shown.err
    assert commands_in(shown.out + shown.err) == []
    assert "\\x1b]8;;http://x" in shown.out
    assert "130 read, 110 good, 20 unknown_label" in shown.out


def test_what_a_check_prints_is_inert_by_itself(job: Path) -> None:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_prepared(check(load_job(job)), console)
    assert commands_in(console.file.getvalue()) == []  # type: ignore[attr-defined]


WRONG = {
    "a missing label": "data.label=gone",
    "labels of no class": "data.classes=[q, r, s, t, u, v, w, x, y, z, '1', '2', '3']",
    "no such column": "model.inputs.x=gone",
    "features that are none": "model.inputs.x=label",
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_prints_no_command(job: Path, what: str) -> None:
    shown = call("check", job, "--set", WRONG[what])
    assert (shown.code, shown.out) == (2, "")
    assert len(shown.err) > 50
    assert commands_in(shown.err) == []


def test_a_broken_file_of_a_bad_name_prints_no_command(job: Path, tmp_path: Path) -> None:
    (tmp_path / "x\x1b]0;y\x07\x9b.parquet").write_bytes(b"\x1b[2J" * 10)
    shown = call("check", job, "--set", f"data.path={tmp_path}")
    assert (shown.code, commands_in(shown.err)) == (2, [])
    assert "x\\x1b]0;y\\x07\\x9b.parquet: not a readable Parquet file" in shown.err


def test_the_report_holds_the_names_as_they_are(done: Done, job: Path) -> None:
    report = json.loads((job.parent / "run" / "report.json").read_text())
    assert tuple(report["quality"]["classes"]) == CLASSES
    assert report["provenance"]["binding"]["inputs"][0]["columns"] == [f"{NAME}{i}" for i in range(4)]


def test_the_table_holds_the_names_as_they_are(done: Done, job: Path) -> None:
    """A spreadsheet may take `=...` for a formula; a mark in front of it would make it another class."""
    with (job.parent / "run" / "metrics.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(line["class"] for line in lines if line["metric"] == "recall" and line["class"]) == CLASSES
    assert all(None not in line for line in lines)


def test_unforeseen_errors_print_no_command(monkeypatch: pytest.MonkeyPatch, job: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("\x1b]0;x\x07\u202e")

    monkeypatch.setattr("ortbatch.job.load_job", fail)
    shown = call("--debug", "check", job)
    assert (shown.code, commands_in(shown.err)) == (5, [])
    assert "\\x1b]0;x\\x07\\u202e" in shown.err


@pytest.mark.parametrize("text", ["plain", "two\nlines", "日本\u3000語", "👩\u200d💻", "a\tb", "é ü – …", "a\u00a0b"])
def test_text_that_does_nothing_is_said_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(text)
    assert capsys.readouterr().err == f"{text}\n"


@pytest.mark.parametrize(
    "code", [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x2028, *range(0x202A, 0x202F), 0x2066, 0xFEFF]
)
def test_every_control_character_but_a_line_break_is_spelt_out(code: int) -> None:
    shown = terminal.inert(f"a{chr(code)}b")
    assert shown == (f"a{chr(code)}b" if chr(code) in "\n\t" else f"a{chr(code).encode('unicode_escape').decode()}b")


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_what_is_drawn_for_a_terminal_holds_styles_and_no_other_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Screen())
    shown = terminal.drawn(lambda console: console.print(Text("a\x1b]0;b\x07\x1b[2Jc\x9b\u202e", "bold red")))
    assert STYLE.search(shown)
    assert commands_in(STYLE.sub("", shown)) == []


def hostile(report: dict[str, Any]) -> dict[str, Any]:
    """A stored report in which everything that is free text holds a command."""
    evil = "\x1b]0;x\x07\u202e"
    report["coverage"]["rows"]["rejected"] = {evil: 3}
    report["provenance"]["engine"]["engine"] = evil
    report["throughput"]["seconds"] = {evil: 1.0}
    report["findings"] = [{"severity": "warning", "code": "x", "text": evil}]
    report["run"]["name"] = evil
    report["latency"]["single"]["p99_ms"] = {"value": None, "ci": None, "reason": evil}
    return report


def test_a_summary_is_inert_by_itself() -> None:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_summary(hostile(binary()), console)
    assert commands_in(console.file.getvalue()) == []  # type: ignore[attr-defined]


def test_what_a_transform_says_of_a_row_is_short_and_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text("def f(batch):\n    raise ValueError(batch.column(0)[0].as_py())\n")
    batch = pa.record_batch({"a": ["\x1b[2J\n" + "x" * 100_000]})
    said = read_transform("prep:f", ["a"], [], tmp_path).first_error(batch)
    assert said.isprintable()
    assert 20 < len(said) <= 500


def test_what_a_module_says_when_it_is_imported_is_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("raise RuntimeError('\\x1b[2J\\nerror: all is well')\n")
    with pytest.raises(DataError, match=r"odd\.py cannot be imported: RuntimeError: .*error: all is well") as caught:
        read_transform("odd:f", ["a"], [], tmp_path)
    assert str(caught.value).isprintable()
