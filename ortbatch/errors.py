"""Every error that ortbatch raises on purpose.

    OrtbatchError                 exit code
    ├── JobError                  2   the job file: every problem at once, with file and line
    ├── ModelError                2   the model cannot be loaded, or does not fit the job
    ├── DataError                 2   the data cannot be planned, or does not fit the job
    ├── PreflightError            2   several of job, model and data are wrong: all of it at once
    ├── RunFolderError            2   the run folder cannot be written, or holds another run
    ├── ReportError               2   a stored report cannot be read, or cannot say what is asked of it
    ├── ShardError                3   a shard failed during the run
    ├── MergeError                5   two values of unlike layouts were merged (a defect of ortbatch)
    ├── StorageError              5   storage failed, another attempt may pass
    ├── ClusterError              5   Ray failed, another attempt may pass
    └── Interrupted             130   the run was told to stop; what it did is kept

A message says what happened and where, what was got, what was expected, and what to do next. An exception that is not
in this tree is a defect of ortbatch and ends with exit code 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class OrtbatchError(Exception):
    """An error with a message for people and an exit code for machines."""

    exit_code = 5


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a job file.

    Args:
        where: `file:line` if the value stands in a file, else what set it (`--set data.label`).
        key: dotted path of the key, `data.label`; empty for the file as a whole.
        message: what was got, what is allowed, what to do.
    """

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class JobError(OrtbatchError):
    """The job file is wrong; `problems` holds every reason, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[JobError], tuple[tuple[Problem, ...]]]:
        return JobError, (self.problems,)


class ModelError(OrtbatchError):
    """The model cannot be loaded, or does not fit the job."""

    exit_code = 2


class DataError(OrtbatchError):
    """The data cannot be planned or read, or does not fit the job."""

    exit_code = 2


class PreflightError(OrtbatchError):
    """Several things are wrong before a run: `errors` holds each, in the order in which they were found."""

    exit_code = 2

    def __init__(self, errors: Sequence[OrtbatchError]) -> None:
        self.errors = tuple(errors)
        super().__init__(f"{len(self.errors)} problems:\n" + "\n".join(f"* {error}" for error in self.errors))

    def __reduce__(self) -> tuple[type[PreflightError], tuple[tuple[OrtbatchError, ...]]]:
        return PreflightError, (self.errors,)


class RunFolderError(OrtbatchError):
    """The run folder cannot be written, or holds another run."""

    exit_code = 2


class ReportError(OrtbatchError):
    """A stored report cannot be read, or cannot say what is asked of it."""

    exit_code = 2


class ShardError(OrtbatchError):
    """A shard failed during the run; the message names the shard and its files."""

    exit_code = 3


class MergeError(OrtbatchError):
    """Two values of unlike layouts were merged."""


class StorageError(OrtbatchError):
    """Storage failed in a way that another attempt may survive."""


class ClusterError(OrtbatchError):
    """Ray failed in a way that another attempt may survive."""


class Interrupted(OrtbatchError):  # noqa: N818  (nothing went wrong)
    """The run was told to stop; what it did is kept in `folder`, by path or URI, and the same run goes on with it."""

    exit_code = 130

    def __init__(self, message: str, folder: str = "") -> None:
        super().__init__(message)
        self.folder = folder


class Complaints:
    """Errors of checks that do not need each other, raised together: who mends one should not meet the next."""

    def __init__(self) -> None:
        self._errors: dict[str, OrtbatchError] = {}

    def add(self, error: OrtbatchError) -> None:
        """Keep an error; one that says the same is kept once."""
        for each in error.errors if isinstance(error, PreflightError) else (error,):
            self._errors.setdefault(str(each), each)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Keep what the block raises about job, model, data or storage, and go on after it."""
        try:
            yield
        except (JobError, ModelError, DataError, StorageError, PreflightError) as error:
            self.add(error)

    def raise_all(self) -> None:
        """Raise what was kept: one error as it is, several as one PreflightError, nothing if there is none.

        Raises:
            OrtbatchError: as above. Where storage failed, only that: what is wrong besides cannot be told from it.
        """
        storage = [error for error in self._errors.values() if isinstance(error, StorageError)]
        errors = tuple(self._errors.values())
        if storage or len(errors) == 1:
            raise (storage or errors)[0] from None
        if errors:
            raise PreflightError(errors)
