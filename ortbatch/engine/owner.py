"""Who works in a run folder, and whether that process is still there."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LARGEST_PID = 2**31 - 1


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
    def of(cls, kept: Mapping[str, Any]) -> Owner:
        """What was kept of one; raises ValueError or TypeError if it is none."""
        owner = cls(**kept)
        if not isinstance(owner.pid, int) or not 0 < owner.pid <= _LARGEST_PID:
            raise ValueError(f"{owner.pid!r} is no id of a process")
        return owner

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
            # Somebody else's; where /proc hides it, it cannot be told from a later one of the same id.
            if not _began(self.pid):
                return None
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
    """When a process began, in ticks since the machine did; empty if it cannot be seen, or has ended and lies about."""
    try:
        # The name, in brackets, may hold spaces; what follows it does not.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    except (OSError, IndexError, ValueError):
        return ""
