"""The version of ortbatch, and of what it stands on; where its code travelled to a cluster, nothing else knows it."""

from __future__ import annotations

from collections.abc import Sequence

VERSION = "0.1.0"


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Versions of installed packages, by their names; of `ortbatch`, the one that runs."""
    from importlib import metadata

    return {name: VERSION if name == "ortbatch" else metadata.version(name) for name in packages}
