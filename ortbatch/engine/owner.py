"""Who works in a run folder, and whether that process is still there."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process.

    Args:
        host: name of its machine.
        machine: what tells one start of a machine, and one set of process ids on it, from all others; may be empty.
        pid: its id there.
        began: what tells it from a later process of the same id; may be empty.
        since: when it took the folder, RFC 3339, UTC.
    """

    host: str
    machine: str
    pid: int
    began: str
    since: str

    @classmethod
    def here(cls) -> Owner:
        """The process that asks."""
        pid = os.getpid()
        return cls(platform.node(), _machine(), pid, _began(pid), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def lives(self) -> bool | None:
        """Is it still there? None if that cannot be seen from here."""
        if not self.machine or self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return not self.began or _began(self.pid) == self.began

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if it cannot be seen."""
    try:
        # The name, in brackets, may hold spaces; what follows it does not.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
