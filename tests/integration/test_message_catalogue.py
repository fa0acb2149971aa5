"""The catalogue of messages: all that ortbatch says when something is wrong, provoked by its command line.

Each message says where, what was got, and what to do; no traceback, no exception as Python shows it, no secret, no
flood. A place in the source that raises a message of its own must be provoked here, or be quoted by another test: a new
one that is neither is found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.command_line import JOB, call, make_job
from tests.message_cases import CASES, Case, write_wrong_things
from tests.messages import PLACE, RAW, Site, is_quoted, says_what_to_do, sites

MOST_CHARACTERS = 600
MOST_LINES = 12
# Raised where no command line gets to: in a worker, by a store or by Ray, or by a defect; each with its test.
ELSEWHERE = {
    "click does not complete in": "click knows bash, zsh and fish; the command takes no other",
    "the report breaks its own schema": "a defect",
    "the curve breaks its own schema": "a defect",
    "the job file is not read back": "a defect",
    "rows were lost or counted twice": "a defect",
    "a worker could not start": "faults/test_driver_on_ray.py starts workers that fail",
    "unexpected error of worker": "an error of Ray that nobody knows yet",
    "cannot reach Ray at": "integration/test_command_line_ray.py",
    "this node has onnxruntime": "a cluster whose nodes differ",
    "asked for {}; the session runs on": "a provider that ONNX Runtime leaves out in silence",
    "no rows to tune the batch size with": "a row group that is empty though its footer is not",
    "baseline {}: {} rows of": "a baseline whose rows change after preflight",
    "shard {}: {} rows planned": "a decoder that leaves rows out",
    "more than {} MiB in {} files": "files of over 100 MiB beside a transform",
    "{}: {} rows, where the old run has": "integration/test_compare_runs.py changes predictions",
    "{}: {} rows, not {}.": "the same",
    "is no mask of `{}`": "a graph whose mask has a length of its own",
    "model.transform did {} rows before": "a transform that changes its mind between two calls",
    "{}class `{}`: {}": "unit/report/test_choose.py",
    "checks.training_data: {}: model.transform reads": "training data without a column of the transform",
    "no file of predictions": "integration/test_compare_runs.py removes one",
    "lists {} rows of {} planned": "integration/test_compare_runs.py changes a manifest",
    "say which run is to go on": "two unfinished runs of one job on a store",
    "this version cannot judge its gates": "unit/report/test_gates.py",
}
# Under construction elsewhere, with tests of their own.
OTHERS = (
    "report/displays.py",
    "report/frames.py",
    "mlflow_client.py",
    "model/registry.py",
    "tracking/",
    "track_command.py",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small job, a finished run of it, and things that are wrong in all ways."""
    job = make_job(tmp_path_factory.mktemp("catalogue") / "job", JOB)
    assert call("run", job, "--engine", "inline", "--run-dir", job.parent / "run").code == 0
    write_wrong_things(job.parent)
    return job.parent


SAID: dict[str, str] = {}


@pytest.fixture(params=CASES, ids=str)
def said(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a case prints on stderr; each is run once."""
    case: Case = request.param
    if str(case) not in SAID:
        monkeypatch.chdir(folder)
        done = call(*case.words)
        assert (done.code in (2, 3, 5), done.out) == (True, ""), (done.code, done.out, done.err)
        SAID[str(case)] = done.err
    return SAID[str(case)]


def messages_in(text: str) -> list[str]:
    """Each of the messages that were told at once."""
    if text.startswith("Usage:"):
        return [text]
    bullet = r"\* |" if re.match(r"error: \d+ problems:", text) else ""
    parts = re.split(rf"\n(?={bullet}\S+\.yaml:\d+: |--set |--var )", text.removeprefix("error: "))
    return [part for part in parts if not re.fullmatch(r"(the job has )?\d+ problems?:\s*", part)]


def test_a_message_says_where_what_and_what_to_do(said: str) -> None:
    for message in messages_in(said):
        assert PLACE.search(message), message
        assert says_what_to_do(message), message


def test_a_message_is_for_people(said: str) -> None:
    assert not RAW.search(said), said
    assert "hush" not in said
    assert "This is a defect of ortbatch" not in said
    assert said.count("\n") <= MOST_LINES, said
    for message in messages_in(said):
        assert len(message) <= MOST_CHARACTERS, message


def test_every_message_of_the_source_is_provoked_here_or_quoted_by_a_test(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for case in CASES:
        if str(case) not in SAID:
            SAID[str(case)] = call(*case.words).err
    told = [" ".join(text.split()) for text in SAID.values()]
    missing = [site for site in sites() if not _is_known(site, told)]
    assert not missing, "\n".join(map(str, missing))


def _is_known(site: Site, told: Sequence[str]) -> bool:
    if any(fragment in site.template for fragment in ELSEWHERE) or site.place.startswith(OTHERS):
        return True
    return any(site.pattern.search(text) for text in told) or is_quoted(site.template)


def test_the_source_is_read_as_a_whole() -> None:
    assert len(sites()) > 200
    assert {site.place.partition(":")[0] for site in sites()} >= {"cli.py", "data/plan.py", "model/outputs.py"}


def test_what_is_listed_as_raised_elsewhere_is_in_the_source() -> None:
    for fragment in ELSEWHERE:
        assert any(fragment in site.template for site in sites()), fragment


# What hands on what another says, which says what to do.
HANDS_ON = re.compile(r"\{\}[.)]?$|^\{\}: \{\}: |: \{\}\. \{\}$")


@pytest.mark.parametrize("site", [s for s in sites() if not s.place.startswith(OTHERS) and not s.is_a_defect], ids=str)
def test_a_message_of_the_source_has_a_next_step(site: Site) -> None:
    assert says_what_to_do(site.template) or HANDS_ON.search(site.template), site.template
