"""The package is typed for its users: what they write is checked against the package as it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIGHT = """
import ortbatch

def night(path: str) -> int:
    options = ortbatch.Options(engine="inline", run_dir="runs/night")
    report: ortbatch.Report = ortbatch.run(path, variables={"date": "2026-11-23"}, options=options, progress=True)
    accuracy: float | None = report.quality["accuracy"].value
    ci: tuple[float, float] | None = report.per_class["fraud"]["recall"].ci
    rows: int = int(report.confusion_matrix.sum())
    print(report.status, accuracy, ci, rows, report.to_pandas("gates").shape)
    report.roc_curve_display("fraud").plot()
    page: str = report._repr_html_()
    return report.exit_code + len(page)

def read(folder: str) -> list[str]:
    try:
        return ortbatch.read_report(folder).classes
    except ortbatch.OrtbatchError as error:
        raise SystemExit(error.exit_code) from None
"""
WRONG = """
import ortbatch

ortbatch.run(3)
ortbatch.run("job.yaml", progress="yes")
ortbatch.Options(engine=3)
text: str = ortbatch.read_report("a").exit_code
ortbatch.read_report("a").to_pandas(3)
ortbatch.runn("job.yaml")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has ortbatch from a wheel, and the packages of this one."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(ROOT / "ortbatch", source / "ortbatch", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site, mine = (
        subprocess.run([each, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
        for each in (str(python), sys.executable)
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    Path(site, "beside.pth").write_text(f"{mine}\n")
    return python


def checked(python: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What `mypy --strict` says of a file beside nothing of ours."""
    (folder / "user.py").write_text(text)
    cache = python.parents[2] / "cache"
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--cache-dir", str(cache)]
    return subprocess.run([*command, "user.py"], cwd=folder, capture_output=True, text=True, check=False)


def test_a_script_that_uses_it_right_passes_the_strict_check(python: Path, tmp_path: Path) -> None:
    done = checked(python, tmp_path, RIGHT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_mistake_of_a_script_is_found(python: Path, tmp_path: Path) -> None:
    done = checked(python, tmp_path, WRONG)
    lines = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert lines == set(range(4, 10)), done.stdout + done.stderr
