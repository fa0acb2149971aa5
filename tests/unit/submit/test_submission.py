"""One name for one evaluation, and a command that a shell reads as it is meant."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.submit.submission import Submission, attempt_id, attempts_of, newest_of

ONE = Submission("fraud", "job.yaml", "d" * 64, ("--var=date=2026-11-27",), "s3://bucket/runs/{id}")


def test_the_same_is_the_same() -> None:
    assert replace(ONE).base == ONE.base


@pytest.mark.parametrize(
    "change",
    [
        {"name": "fraud2"}, {"job_file": "other.yaml"}, {"package": "e" * 64}, {"settings": ()},
        {"settings": ("--set=date=2026-11-27",)}, {"run_dir": "s3://bucket/other/{id}"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_another_evaluation_has_another_name(change: dict[str, str]) -> None:
    assert replace(ONE, **change).base != ONE.base  # type: ignore[arg-type]


def test_starting_over_is_the_same_evaluation() -> None:
    assert replace(ONE, force=True).base == ONE.base
    assert "--force" in shlex.split(replace(ONE, force=True).command("python"))


def test_settings_do_not_run_into_each_other() -> None:
    assert replace(ONE, settings=("--set=a=1", "--set=b=2")).base != replace(ONE, settings=("--set=a=1--set=b=2",)).base


@given(st.text(st.characters(exclude_characters="\0"), min_size=1), st.text(st.characters(exclude_characters="\0")))
def test_words_come_through_a_shell_as_they_are(name: str, setting: str) -> None:
    words = shlex.split(replace(ONE, job_file=name, settings=(f"--set={setting}",)).command("python"))
    assert words[:3] == ["python", "-m", "ortbatch.submitted"]
    assert (words[4], words[-1]) == (f"./{name}", f"--set={setting}")


def test_the_folder_is_named_after_the_evaluation_not_the_attempt() -> None:
    assert ONE.folder == f"s3://bucket/runs/{ONE.base}"


@given(st.text(min_size=1, max_size=30))
def test_a_name_is_made_of_what_ray_and_files_take(name: str) -> None:
    base = replace(ONE, name=name).base
    assert base.isascii()
    assert not set(base) & set("/ \\:'\"{}$")
    assert base[0] not in "-."


@given(st.sets(st.integers(1, 40)))
def test_attempts_are_found_among_others_in_their_order(numbers: set[int]) -> None:
    names = [attempt_id(ONE.base, number) for number in numbers]
    others = [None, "raysubmit_1", f"{ONE.base}0", f"x{ONE.base}", f"{ONE.base}-", f"{ONE.base}-2-2"]
    assert attempts_of(ONE.base, [*others, *names]) == {n: attempt_id(ONE.base, n) for n in sorted(numbers)}


def test_a_user_means_the_newest_attempt_unless_he_gives_its_number() -> None:
    names = [attempt_id(ONE.base, number) for number in (1, 2, 11)]
    assert newest_of(ONE.base, names) == f"{ONE.base}-11"
    assert newest_of(f"{ONE.base}-2", names) == f"{ONE.base}-2"
    assert newest_of("raysubmit_1", ["raysubmit_1"]) == "raysubmit_1"
    assert newest_of("gone", names) is None
