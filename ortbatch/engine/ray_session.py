"""The Ray that workers run on: the one that there is, or one of our own on this machine, which nobody else reaches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from ortbatch.engine.host import available_cpus
from ortbatch.engine.signals import starting_ray
from ortbatch.errors import ClusterError, JobError, Problem
from ortbatch.job import Job

_STORE_BYTES = 256 << 20
_UNPICKLES = "RAY_DATA_AUTOLOAD_CLOUDPICKLE_TENSOR_METADATA"
_CLUSTERS = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR


def connect(job: Job, address: str | None) -> tuple[bool, bool]:
    """Join the Ray that there is, or start a local one: is it ours to leave, and does all of it run on this machine?"""
    if os.environ.get(_UNPICKLES) == "1":
        said = "lets Ray Data unpickle what a Parquet file holds; unset it"
        raise JobError([Problem("environment", _UNPICKLES, said)])
    if ray.is_initialized():
        return False, False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            with starting_ray():
                ray.init(address=address or "auto", **quiet)
            return True, False
        # An embedded Ray reports to nobody.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        cpus = available_cpus()
        per_worker = job.execution.cpus_per_worker
        workers = job.execution.workers
        wanted = (1 if workers == "auto" else workers) * (1 if per_worker == "auto" else per_worker)
        with starting_ray(), _on_loopback():
            ray.init(
                address="local", num_cpus=max(cpus, wanted), include_dashboard=False,
                object_store_memory=_STORE_BYTES, **quiet,
            )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise ClusterError(
            f"cannot reach Ray at {address or 'this machine'}: {first_lines(error)}. Look at the address, and "
            "whether Ray runs there."
        ) from None
    return True, True


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that starts be reached from this machine only; it makes a token by itself if nobody speaks of one.

    By default its servers hear all interfaces, whatever address it is given; on desktops they do not.
    """
    before, here = os.environ.get(_CLUSTERS), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[_CLUSTERS], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
        # Ray lets all users of the machine read it.
        if (token := Path.home() / ".ray" / "auth_token").is_file():
            token.chmod(0o600)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = here
        if before is None:
            del os.environ[_CLUSTERS]
        else:
            os.environ[_CLUSTERS] = before


def first_lines(error: Exception) -> str:
    """The beginning of what an error says, on one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:397]}..."
