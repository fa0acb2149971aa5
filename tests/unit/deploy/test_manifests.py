"""The manifests are what Kubernetes and KubeRay take, and let nobody do more than they must."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deployed import DEPLOY, MANIFESTS, containers, manifests, pods, the
from tests.kuberay import LONGEST_NAME, RAY_JOB
from tests.kubernetes import VERSIONS, problems

BUILT_IN = [manifest for manifest in manifests() if manifest["kind"] != "RayJob"]
PARTS = {"app.kubernetes.io/part-of": "ortbatch"}


def names(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", BUILT_IN, ids=names)
def test_kubernetes_takes_every_manifest(manifest: dict[str, Any], version: str) -> None:
    assert problems(manifest, version) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(pods()))
def test_kubernetes_takes_every_pod(name: str, version: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | pods()[name]["metadata"]}
    assert problems(pod | {"spec": pods()[name]["spec"]}, version) == []


@pytest.mark.parametrize(("field", "value"), [("restartpolicy", "Never"), ("containers", {}), ("hostNetwork", "no")])
def test_the_schemas_refuse_a_wrong_field(field: str, value: object) -> None:
    manifest = the("CronJob")
    manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"][field] = value
    [said] = problems(manifest, "1.32")
    assert field in said


def test_kuberay_has_every_field_of_the_rayjob() -> None:
    job = the("RayJob")
    assert job["apiVersion"] == "ray.io/v1"
    jsonschema.validate(job["spec"], RAY_JOB)


def test_a_rayjob_of_a_day_has_a_name_that_kuberay_takes() -> None:
    name = the("RayJob")["metadata"]["name"] + "-2026-11-27"
    assert len(name) <= LONGEST_NAME
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)


@pytest.mark.parametrize("manifest", manifests(), ids=names)
def test_everything_is_labelled_and_in_one_namespace(manifest: dict[str, Any]) -> None:
    assert manifest["metadata"]["labels"].items() >= PARTS.items()
    assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "ortbatch"


def test_kustomize_takes_every_file_but_the_one_evaluation() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    assert {*kustomization["resources"], "rayjob.yaml"} == set(MANIFESTS)
    files = [file for generator in kustomization["configMapGenerator"] for file in generator["files"]]
    assert all((DEPLOY / file).is_file() for file in files)
    assert kustomization["generatorOptions"]["disableNameSuffixHash"] is True


def test_every_config_map_that_is_mounted_is_made() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    made = {generator["name"] for generator in kustomization["configMapGenerator"]}
    mounted = {v["configMap"]["name"] for pod in pods().values() for v in pod["spec"]["volumes"] if "configMap" in v}
    assert mounted == made


def test_every_service_account_is_there() -> None:
    accounts = {m["metadata"]["name"] for m in manifests() if m["kind"] == "ServiceAccount"}
    assert {pod["spec"]["serviceAccountName"] for pod in pods().values()} == accounts


@pytest.mark.parametrize("name", sorted(pods()))
def test_no_pod_is_root(name: str) -> None:
    context = pods()[name]["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 1000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize(("name", "container"), list(containers()))
def test_no_container_can_gain_rights_or_change_its_image(name: str, container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_the_nightly_pod_speaks_to_the_api_and_only_of_rayjobs() -> None:
    tokens = {name for name, pod in pods().items() if pod["spec"]["automountServiceAccountToken"]}
    assert tokens == {"nightly"}
    rule = {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    assert the("Role")["rules"] == [rule]


@pytest.mark.parametrize(("name", "container"), list(containers()))
def test_every_container_asks_for_the_memory_that_it_may_take(name: str, container: dict[str, Any]) -> None:
    asked, most = container["resources"]["requests"], container["resources"]["limits"]
    assert asked["memory"] == most["memory"]
    assert {"cpu"} <= asked.keys() & most.keys()


def test_workers_have_whole_cpus_of_their_own() -> None:
    resources = pods()["cpu"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"] == str(int(resources["limits"]["cpu"]))


def test_ray_asks_for_a_token_that_the_operator_makes() -> None:
    assert the("RayJob")["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "Secret" not in {manifest["kind"] for manifest in manifests()}


def test_the_head_has_no_work_and_no_door() -> None:
    head = the("RayJob")["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert (head["serviceType"], head["enableIngress"]) == ("ClusterIP", False)
    assert not {manifest["kind"] for manifest in manifests()} & {"Service", "Ingress"}


def test_the_fleet_is_fixed() -> None:
    # ortbatch lays out its workers once, by the nodes that it finds.
    cluster = the("RayJob")["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is False
    for group in cluster["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]


def test_a_verdict_is_never_tried_again() -> None:
    assert the("RayJob")["spec"]["backoffLimit"] == 0
    rules = the("CronJob")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[0] == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2, 3, 4, 5]}}


def test_the_night_waits_longer_than_its_rayjob_may_take() -> None:
    waits = the("CronJob")["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    job = the("RayJob")["spec"]
    assert waits > job["activeDeadlineSeconds"] > job["preRunningDeadlineSeconds"]


def test_two_nights_never_overlap() -> None:
    assert the("CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_cluster_is_removed_after_its_job() -> None:
    spec = the("RayJob")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0


def test_the_quota_has_room_for_two_clusters() -> None:
    spec = the("RayJob")["spec"]["rayClusterSpec"]
    [group] = spec["workerGroupSpecs"]
    asked = [pods()[name]["spec"]["containers"][0]["resources"]["requests"] for name in ("head", "cpu")]
    hard = the("ResourceQuota")["spec"]["hard"]
    head, worker = (int(resources["memory"].removesuffix("Gi")) for resources in asked)
    assert 2 * (head + group["replicas"] * worker) <= int(hard["requests.memory"].removesuffix("Gi"))
    assert 2 * (int(asked[0]["cpu"]) + group["replicas"] * int(asked[1]["cpu"])) <= int(hard["requests.cpu"])
