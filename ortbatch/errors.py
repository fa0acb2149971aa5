"""Every error that ortbatch raises on purpose.

    OrtbatchError                 exit code
    ├── JobError                  2   the job file: every problem at once, with file and line
    ├── ModelError                2   the model cannot be loaded, or does not fit the job
    ├── DataError                 2   the data cannot be planned, or does not fit the job
    ├── RunFolderError            2   the run folder cannot be written, or holds another run
    ├── ReportError               2   a stored report cannot be read
    ├── ShardError                3   a shard failed during the run
    ├── MergeError                5   two values of unlike layouts were merged (a defect of ortbatch)
    ├── StorageError              5   storage failed, another attempt may pass
    └── ClusterError              5   Ray failed, another attempt may pass

A message says what happened and where, what was got, what was expected, and what to do next. An exception that is not
in this tree is a defect of ortbatch and ends with exit code 5.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class RunFolderError(OrtbatchError):
    """The run folder cannot be written, or holds another run."""

    exit_code = 2


class ReportError(OrtbatchError):
    """A stored report cannot be read."""

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
