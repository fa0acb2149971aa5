"""Shared by all tests: the digits job, one Ray for the whole session, and nothing from the user's environment."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.digits import prepare_digits
from tests.mlflow_server import Mlflow, running_mlflow
from tests.s3 import S3, running_s3

CLUSTER_CPUS = 4

# The same examples each time, and no deadline: a busy machine is no defect.
settings.register_profile(
    "tests",
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Faults are told apart by what happens when: nothing else takes the processors meanwhile."""
    for item in items:
        if "faults" in item.path.relative_to(Path(__file__).parent.parent).parts:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster that the environment names is not ours to test on, and few people's Python writes without a buffer."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_JOB_ID", "PYTHONUNBUFFERED"):
            patch.delenv(name, raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # An embedded Ray writes its token below HOME.
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the digits job, prepared once a session; do not write beside it."""
    return prepare_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A real S3 server with one bucket, shared by all tests that need one; each keeps to a folder of its own."""
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[Mlflow]:
    """A real MLflow server, shared by all tests that need one; each keeps to an experiment of its own."""
    with running_mlflow() as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """An embedded Ray of four CPUs, shared by all tests that need one; ortbatch joins the Ray that is running."""
    import ray

    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=CLUSTER_CPUS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=256 << 20,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        try:
            yield ray
        finally:
            ray.shutdown()
