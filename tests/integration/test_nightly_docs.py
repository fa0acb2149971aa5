"""What the page about nights shows is run: the readers' code, the cron line, and the commands of the Airflow DAG."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined

from tests.jobs import JOBS, prepare_nightly

PAGE = (JOBS.parent / "docs" / "how-to" / "nightly.md").read_text()
READERS, DAG = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(CRON,) = re.findall(r"^```cron\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = 24_000
LIMITS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with jobs/nightly, whose first night is yesterday and whose second is not run."""
    root = tmp_path_factory.mktemp("scoring")
    prepare_nightly(root / "jobs" / "nightly", ROWS, first=f"{yesterday()}")
    return root


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As cron and Airflow run it, with the environment's programs on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    environment = {"PATH": path, "HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    words = ["bash", "-c", command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def cron_parts() -> tuple[list[str], str]:
    """The five fields, and the command as cron hands it to the shell."""
    *fields, command = CRON.strip().split(maxsplit=5)
    assert re.search(r"(?<!\\)%", command) is None, "a newline to cron"
    return fields, command.replace(r"\%", "%")


def test_the_cron_line_is_one_line_with_five_fields_in_their_ranges() -> None:
    fields, _ = cron_parts()
    assert (len(CRON.strip().splitlines()), len(fields)) == (1, 5)
    for text, (low, high) in zip(fields, LIMITS, strict=True):
        assert text == "*" or low <= int(text) <= high, text


def test_the_cron_command_is_valid_shell() -> None:
    _, command = cron_parts()
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cron_command_scores_the_night_before(folder: Path) -> None:
    _, command = cron_parts()
    done = shell(command.replace("/srv/scoring", str(folder)), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "jobs" / "nightly" / "predictions" / f"dt={yesterday()}" / "_SUCCESS").exists()


@pytest.mark.parametrize(("codes", "tries", "last"), [
    ("5 0", 2, 0), ("130 130 5 0", 3, 5), ("3 0", 1, 3), ("1 0", 1, 1), ("4 0", 1, 4), ("2 0", 1, 2), ("0", 1, 0),
])  # fmt: skip
def test_cron_tries_again_what_may_pass_and_nothing_else(tmp_path: Path, codes: str, tries: int, last: int) -> None:
    """With a program that ends with one code after the other, and no time to wait."""
    program = tmp_path / "ortbatch"
    (tmp_path / "codes").write_text("\n".join(codes.split()) + "\n")
    program.write_text('#!/bin/bash\necho x >> tries\nexit "$(sed -n "$(wc -l < tries)p" codes)"\n')
    program.chmod(0o755)
    command = cron_parts()[1].replace("/srv/scoring", str(tmp_path)).replace("sleep 600", "sleep 0")
    done = shell(f"PATH={tmp_path}:$PATH; {command}", tmp_path)
    assert (done.returncode, len((tmp_path / "tries").read_text().split())) == (last, tries)


def dag_commands() -> dict[str, str]:
    """The templates that the DAG hands to Airflow, by name."""
    assigned = [node for node in ast.parse(DAG).body if isinstance(node, ast.Assign)]
    named = {
        node.targets[0].id: ast.literal_eval(node.value) for node in assigned if isinstance(node.targets[0], ast.Name)
    }
    return {name: value for name, value in named.items() if isinstance(value, str)}


class _Macros:
    """Of Airflow's `macros`, the one that is used."""

    @staticmethod
    def ds_add(ds: str, days: int) -> str:
        return f"{date.fromisoformat(ds) + timedelta(days=days)}"


def rendered(template: str, ds: date) -> str:
    return Environment(undefined=StrictUndefined).from_string(template).render(ds=f"{ds}", macros=_Macros)


def test_the_dag_compiles_and_has_two_commands() -> None:
    compile(DAG, "dag", "exec")
    assert set(dag_commands()) == {"SCORE", "JUDGE"}


def test_the_commands_of_the_dag_score_a_night_and_judge_it_four_weeks_later(folder: Path) -> None:
    commands = dag_commands()
    scored = shell(rendered(commands["SCORE"], yesterday() + timedelta(days=1)), folder)
    judged = shell(rendered(commands["JUDGE"], yesterday() + timedelta(days=29)), folder)
    assert [scored.returncode, judged.returncode] == [0, 0], scored.stderr + judged.stderr
    assert (folder / "jobs" / "nightly" / "runs" / "late" / f"dt={yesterday()}" / "report.json").exists()


def test_the_dag_tries_again_on_the_codes_that_may_pass() -> None:
    (again,) = re.findall(r"^AGAIN = (.*)$", DAG, re.MULTILINE)
    assert ast.literal_eval(again) == (5, 130)


def test_the_readers_code_runs_and_sees_every_row(folder: Path) -> None:
    shell(rendered(dag_commands()["SCORE"], yesterday() + timedelta(days=1)), folder)
    checks = f"""
assert [row[1:3] for row in by_night] == [({ROWS}, {ROWS})], by_night
assert len(whole) == {ROWS}
assert "dt" in frame.columns
"""
    code = [sys.executable, "-W", "error", "-c", READERS + checks]
    done = subprocess.run(code, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_shows_the_keys_of_the_job() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    job = (JOBS / "nightly" / "job.yaml").read_text()
    lines = [re.sub(r"\s+#.*", "", line).rstrip() for line in shown.splitlines()]
    kept = {re.sub(r"\s+#.*", "", line).rstrip() for line in job.splitlines()}
    assert [line for line in lines if line not in kept] == []
