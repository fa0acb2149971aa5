"""One name for one evaluation: the same files, settings and folder are the same submission, whoever sends them again.

fraud-3f2a9c1b7d42        name of the job, and a digest of all that decides what is evaluated
fraud-3f2a9c1b7d42-2      the same again, after an attempt that brought no report
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ortbatch.version import VERSION

_DIGITS = 12
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")
_ID = re.compile(r"(?P<base>.+-[0-9a-f]{12})(-(?P<number>[0-9]{1,6}))?")


@dataclass(frozen=True)
class Submission:
    """What is asked of a cluster.

    Args:
        name: of the job.
        job_file: its name in the package.
        package: digest of the files that travel.
        settings: words of `--var` and `--set`, as they were given.
        run_dir: folder of the run, with `{id}` where the name of this evaluation goes.
        force: run even if the folder holds a finished run.
    """

    name: str
    job_file: str
    package: str
    settings: tuple[str, ...]
    run_dir: str
    force: bool = False

    @property
    def base(self) -> str:
        """The name of this evaluation."""
        parts = [VERSION, self.job_file, self.package, *self.settings, self.run_dir]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
        return f"{_ODD.sub('-', self.name).strip('-.') or 'job'}-{digest}"

    @property
    def folder(self) -> str:
        """The folder of the run, the same of each attempt: what an attempt did is not done again."""
        return self.run_dir.replace("{id}", self.base)

    def command(self, python: str) -> str:
        """What the cluster runs, as a line of a shell."""
        words = [python, "-m", "ortbatch.submitted", "run", f"./{self.job_file}", "--run-dir", self.folder]
        words += ["--engine", "ray", "--json", *self.settings, *(["--force"] if self.force else [])]
        return shlex.join(words)


def attempt_id(base: str, number: int) -> str:
    """The name of an attempt, counted from 1.

    >>> attempt_id("fraud-3f2a9c1b7d42", 1), attempt_id("fraud-3f2a9c1b7d42", 2)
    ('fraud-3f2a9c1b7d42', 'fraud-3f2a9c1b7d42-2')
    """
    return base if number == 1 else f"{base}-{number}"


def attempts_of(base: str, names: Iterable[str | None]) -> dict[int, str]:
    """Attempts of an evaluation among names of submissions, by their numbers, in order.

    >>> attempts_of("a-3f2a9c1b7d42", ["a-3f2a9c1b7d42-2", "b", None, "a-3f2a9c1b7d42"])
    {1: 'a-3f2a9c1b7d42', 2: 'a-3f2a9c1b7d42-2'}
    """
    found = {}
    for name in names:
        match = _ID.fullmatch(name or "")
        if match is not None and name is not None and match["base"] == base:
            found[int(match["number"] or 1)] = name
    return dict(sorted(found.items()))


def newest_of(name: str, names: Sequence[str | None]) -> str | None:
    """The submission that a user means by a name: that very one if it has a number, else the newest attempt.

    >>> newest_of("a-3f2a9c1b7d42", ["a-3f2a9c1b7d42", "a-3f2a9c1b7d42-2"])
    'a-3f2a9c1b7d42-2'
    """
    attempts = attempts_of(name, names)
    if attempts:
        return attempts[max(attempts)]
    return name if name in names else None
