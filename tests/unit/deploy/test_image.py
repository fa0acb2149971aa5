"""The image: small rights, the versions of the project, the same name everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployed import CLUSTER, DEPLOY, DOCKERFILE, PINS, PROJECT, ROOT, cluster, containers, the

FILES = [CLUSTER, DOCKERFILE, ROOT / ".dockerignore", *sorted(DEPLOY.iterdir())]
TEXT = DOCKERFILE.read_text()
LAST_STAGE = TEXT[TEXT.rindex("\nFROM ") :]
# Only names that are set apart for examples, and those of the services themselves.
HOSTS = {"registry.example.com", "kubernetes.default.svc"}


def images() -> set[str]:
    return {cluster()["docker"]["image"], *(container["image"] for _, container in containers())}


def test_a_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_there_is_one_image_and_it_has_the_version_of_the_project() -> None:
    assert images() == {f"registry.example.com/ortbatch:{PROJECT['version']}"}


def test_every_file_that_names_the_image_names_that_one() -> None:
    named = {tag for file in FILES for tag in re.findall(r"registry\.example\.com/ortbatch:([\w.]+)", file.read_text())}
    assert named == {PROJECT["version"]}


def test_ray_has_one_version() -> None:
    assert the("RayJob")["spec"]["rayClusterSpec"]["rayVersion"] == PINS["ray"]
    minor = PINS["ray"].rpartition(".")[0]
    assert f"Ray {minor};" in CLUSTER.read_text()


def test_packages_are_wheels_of_the_pinned_versions() -> None:
    [install] = re.findall(r"pip install (.*)", TEXT)
    assert "--only-binary=:all:" in install
    assert "--constraint constraints.txt" in install
    assert "ray==" not in TEXT


def test_python_is_the_one_that_the_pins_hold_on() -> None:
    pinned = re.findall(r"on Python (3\.\d+)", (ROOT / "constraints.txt").read_text())
    assert pinned == re.findall(r"ARG BASE=python:(3\.\d+)-", TEXT)


def test_both_stages_start_from_the_same_base() -> None:
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_the_last_stage_compiles_and_installs_no_python() -> None:
    assert not re.search(r"\b(gcc|g\+\+|build-essential|cmake|pip)\b", LAST_STAGE)


def test_it_runs_as_the_user_of_the_manifests() -> None:
    assert re.findall(r"^USER (.*)", LAST_STAGE, re.MULTILINE) == ["1000:1000"]
    assert "--uid 1000" in LAST_STAGE


def test_ray_up_finds_home_and_programs() -> None:
    # It reads HOME out of the image's environment, and runs commands in login shells.
    assert "ENV HOME=/home/ortbatch" in LAST_STAGE
    assert "/etc/profile.d/" in LAST_STAGE
    assert all(program in LAST_STAGE for program in ("openssh-client", "rsync", "wget"))
    assert "ENTRYPOINT" not in TEXT


def test_an_embedded_ray_can_start_in_it() -> None:
    # With the mode set and no token there, Ray would end at once.
    assert not re.search(r"^[^#]*RAY_AUTH", TEXT, re.MULTILINE)


def test_nothing_goes_into_the_image_but_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {word for words in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for word in words.split()}
    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied


def test_the_extra_of_the_image_is_pinned() -> None:
    for requirement in PROJECT["optional-dependencies"]["cluster"]:
        assert re.split(r"[\[>]", requirement)[0] in PINS
    # botocore refuses a newer one, and pip would then look for an older boto3 for ever.
    assert PINS["python-dateutil"].startswith("2.")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_no_host_of_ours_and_nothing_that_moves(file: Path) -> None:
    text = file.read_text()
    hosts = set(re.findall(r"(?:https?://|registry\.)([\w.-]+)", text)) | set(re.findall(r"registry\.[\w.]+\w", text))
    assert hosts <= HOSTS | {"example.com", "www.googleapis.com"}
    assert not re.search(r":latest\b|AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text)
    assert not re.search(
        r"(?i)(password|secret|auth_token)['\"]?\s*[:=]\s*['\"]?\w", text.replace("~/.ray/auth_token", "")
    )
