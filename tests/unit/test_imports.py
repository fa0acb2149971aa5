"""What is imported when: nothing heavy before it is needed, and no layer from below."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ortbatch.report.report import Report
from tests.unit.report.made import multiclass

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"ray", "torch", "onnxruntime"}
LEARNING = {"sklearn", "scipy", "pandas"}


def loaded(code: str, *arguments: object) -> set[str]:
    """Top-level modules that a fresh Python has loaded after running `code`."""
    tell = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-c", code + tell, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stored report."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "report.json").write_text(Report(multiclass("accuracy >= 0.5")).encode())
    (folder / "gates.yaml").write_text("gates: [accuracy >= 0.5]")
    return folder


COMMAND = """
import sys
from ortbatch.cli import main
try:
    main()
except SystemExit as left:
    assert left.code == 0, left.code
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded("import ortbatch") & (HEAVY | LEARNING | {"numpy", "pyarrow"})


def test_the_help_loads_nothing_heavy() -> None:
    assert not loaded(COMMAND, "--help") & (HEAVY | LEARNING | {"numpy", "pyarrow", "pydantic"})


def test_loading_a_job_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("{name: a, model: m.onnx, data: {path: d, label: y}}")
    assert not loaded("import sys, ortbatch; ortbatch.load_job(sys.argv[1])", tmp_path / "job.yaml") & (
        HEAVY | LEARNING
    )


@pytest.mark.parametrize(
    "arguments",
    [("report",), ("report", "--json"), ("gate",), ("gate", "--gates", "gates.yaml")],
    ids=["report", "json", "gate", "other gates"],
)
def test_printing_and_judging_a_stored_report_needs_no_model(stored: Path, arguments: tuple[str, ...]) -> None:
    verb, *options = (str(stored / argument) if "." in argument else argument for argument in arguments)
    assert not loaded(COMMAND, verb, stored, *options) & HEAVY


def test_reading_a_report_from_python_needs_no_model(stored: Path) -> None:
    assert not loaded("import sys, ortbatch; ortbatch.read_report(sys.argv[1]).quality", stored) & (HEAVY | LEARNING)


def test_building_a_report_needs_no_model() -> None:
    assert not loaded("from tests.unit.report.made import binary\nbinary('accuracy >= 0.5')") & HEAVY


def test_layers_import_only_from_below() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_numbers_leave_arrow_without_importing_pandas(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise ImportError\n")
    code = (
        "import pyarrow as pa\n"
        "from ortbatch.data.columns import Cast, take_scalars\n"
        "from ortbatch.data.labels import Labels\n"
        "def column(kind, content):\n"
        "    size = len(content) * 8 // kind.bit_width\n"
        "    return pa.chunked_array([pa.Array.from_buffers(kind, size, [None, pa.py_buffer(content)])])\n"
        "print(take_scalars(column(pa.float32(), bytes(8)), Cast('float32')).values.tolist())\n"
        "print(take_scalars(column(pa.int16(), bytes(4)), Cast('float32')).values.tolist())\n"
        "print(Labels('y', ('0', '1'), 'name').take(column(pa.int64(), bytes(16)))[0].tolist())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:3]) == (0, ["[0.0, 0.0]", "[0.0, 0.0]", "[0, 0]"]), done.stderr
    assert not (tmp_path / "imported").exists()
