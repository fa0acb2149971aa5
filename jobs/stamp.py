"""The stamp that a preparation leaves: what made the files of a job, and what they were when it left them.

A preparation looks at the stamp first and does nothing while sources, packages, settings and every output are as they
were. The stamp is written last, so a preparation that was cut off is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Stamp:
    """data/prepared.json in the folder `out`. made_by: whatever decides the content of the outputs."""

    out: Path
    made_by: Mapping[str, str]

    @property
    def path(self) -> Path:
        return self.out / "data" / "prepared.json"

    def is_current(self) -> bool:
        """Whether the stamp was left by the same makers, and every output is byte for byte as it was made."""
        try:
            made = json.loads(self.path.read_text(encoding="utf-8"))
            same = made["made_by"] == self.made_by
            return same and all(sha256(self.out / name) == is_ for name, is_ in made["files"].items())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def write(self, files: Iterable[Path]) -> None:
        hashes = {path.relative_to(self.out).as_posix(): sha256(path) for path in files}
        with replacing(self.path) as temporary:
            content = json.dumps({"made_by": self.made_by, "files": hashes}, indent=2)
            temporary.write_text(content + "\n", encoding="utf-8")


def makers(sources: Iterable[Path], packages: Iterable[str], extra: str) -> dict[str, str]:
    """The sha256 of each source, by folder and name, and the version of each package; `extra` installs them all."""
    try:
        return {f"{path.parent.name}/{path.name}": sha256(path) for path in sources} | {
            name: version(name) for name in packages
        }
    except PackageNotFoundError as error:
        raise SystemExit(
            f'the package {error.name} is missing; install it with pip install -e ".[{extra}]", then prepare again'
        ) from None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last name is kept, only the folder is temporary: torch writes the name of the file into the file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".prepare-") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)
