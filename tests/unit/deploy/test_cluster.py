"""cluster.yaml is what Ray's launcher takes, and says what its comments say."""

from __future__ import annotations

import logging
import re
import shlex
from typing import Any

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.deployed import CLUSTER, cluster

WORKERS = ("cpu", "cpu-spot")


def prepared(kind: str = "aws") -> dict[str, Any]:
    # Ray says at level info that a head is no worker.
    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.WARNING)
    config: dict[str, Any] = prepare_config(cluster(kind))
    return config


def nodes(kind: str = "aws") -> dict[str, Any]:
    found: dict[str, Any] = cluster(kind)["available_node_types"]
    return found


@pytest.mark.parametrize("kind", ["aws", "gcp", "local"])
def test_ray_takes_it(kind: str) -> None:
    validate_config(prepared(kind))


def test_ray_refuses_a_misspelt_key() -> None:
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepared() | {"idle_timeout": 5})


def test_the_cluster_has_a_name_of_its_own() -> None:
    # A missing one would be filled with "default", whose machines `ray down` of somebody else would end.
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", cluster()["cluster_name"])
    assert cluster()["cluster_name"] != "default"


@pytest.mark.parametrize("kind", ["aws", "gcp", "local"])
def test_no_default_of_ray_installs_anything(kind: str) -> None:
    config = prepared(kind)
    for commands in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert config[commands] == []


@pytest.mark.parametrize("kind", ["aws", "gcp"])
def test_the_head_has_no_work(kind: str) -> None:
    assert nodes(kind)["head"]["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in start_of_head()


def start_of_head() -> list[str]:
    return shlex.split(cluster()["head_start_ray_commands"][-1])


def test_the_dashboard_hears_loopback_only() -> None:
    assert "--dashboard-host=127.0.0.1" in start_of_head()


def test_every_command_is_one_that_ray_has() -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    config = cluster()
    for command in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        words = shlex.split(command)
        assert words[:2] == ["ray", "start"]
        assert {word.partition("=")[0] for word in words[2:]} <= known


def test_all_of_ray_asks_for_a_token() -> None:
    assert "--env=RAY_AUTH_MODE=token" in cluster()["docker"]["run_options"]


def test_the_token_is_a_file_of_the_user_where_ray_looks_for_it() -> None:
    assert cluster()["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert "RAY_AUTH_TOKEN" not in CLUSTER.read_text()


def test_machines_have_roles_and_no_keys() -> None:
    for node in nodes().values():
        assert node["node_config"]["IamInstanceProfile"]
    assert not re.search(r"AKIA|aws_(access|secret)|-----BEGIN|password", CLUSTER.read_text(), re.IGNORECASE)


def test_no_group_of_ray_opens_ssh_to_the_world() -> None:
    # It makes one only for types that name none.
    for node in nodes().values():
        assert node["node_config"]["SecurityGroupIds"]


def test_disks_are_encrypted_and_go_with_the_machine() -> None:
    disks = [disk["Ebs"] for node in nodes().values() for disk in node["node_config"]["BlockDeviceMappings"]]
    assert all(disk["Encrypted"] and disk["DeleteOnTermination"] for disk in disks)
    assert cluster()["provider"]["cache_stopped_nodes"] is False


def test_credentials_of_a_machine_need_a_session() -> None:
    options = [node["node_config"]["MetadataOptions"] for node in nodes().values()]
    assert all(option == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1} for option in options)


@pytest.mark.parametrize("kind", ["aws", "gcp"])
def test_a_job_finds_a_worker_that_nobody_takes_away(kind: str) -> None:
    # `run` gives up after 30 s without any; a machine takes minutes.
    assert nodes(kind)["cpu"]["min_workers"] >= 1
    assert "InstanceMarketOptions" not in nodes()["cpu"]["node_config"]


@pytest.mark.parametrize("kind", ["aws", "gcp"])
def test_both_markets_have_the_same_machine(kind: str) -> None:
    machine = "InstanceType" if kind == "aws" else "machineType"
    assert len({nodes(kind)[name]["node_config"][machine] for name in WORKERS}) == 1
    assert nodes(kind)["cpu"]["resources"] == nodes(kind)["cpu-spot"]["resources"]


@pytest.mark.parametrize("kind", ["aws", "gcp"])
def test_all_workers_fit_into_the_cluster(kind: str) -> None:
    assert sum(nodes(kind)[name]["max_workers"] for name in WORKERS) == cluster(kind)["max_workers"]


def test_machines_that_idle_go() -> None:
    assert 1 <= cluster()["idle_timeout_minutes"] <= 15
