"""Who may speak to whom, worked out from the NetworkPolicies as Kubernetes does: rules add up, the rest is cut off."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.deployed import manifests, pods

POLICIES = [manifest["spec"] for manifest in manifests() if manifest["kind"] == "NetworkPolicy"]


@dataclass(frozen=True)
class Pod:
    """Where a pod is, and what it is called."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


def ours(name: str) -> Pod:
    return Pod("ortbatch", pods()[name]["metadata"]["labels"])


OPERATOR = Pod("kuberay-system", {"app.kubernetes.io/name": "kuberay-operator"})
PROMETHEUS = Pod("monitoring", {"app": "prometheus"})
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
STRANGER = Pod("default", {"ortbatch/role": "ray", "app.kubernetes.io/name": "kuberay-operator"})
NEIGHBOUR = Pod("ortbatch", {"app": "other"})


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "the test knows no other selectors"
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: dict[str, Any], other: Pod | str) -> bool:
    if isinstance(other, str):
        block = peer.get("ipBlock", {"cidr": "0.0.0.0/32"})
        inside = [ip_address(other) in ip_network(net) for net in (block["cidr"], *block.get("except", ()))]
        return inside[0] and not any(inside[1:])
    if "ipBlock" in peer:
        return False
    there = {"kubernetes.io/metadata.name": other.namespace}
    in_namespace = (
        matches(peer["namespaceSelector"], there) if "namespaceSelector" in peer else other.namespace == "ortbatch"
    )
    return in_namespace and matches(peer.get("podSelector", {}), other.labels)


def allowed(pod: Pod, way: str, other: Pod | str, port: int, protocol: str = "TCP") -> bool:
    """May traffic between a pod of ours and another, or an address, go this way on this port of the receiver?"""
    side = "from" if way == "Ingress" else "to"
    mine = [
        policy for policy in POLICIES if way in policy["policyTypes"] and matches(policy["podSelector"], pod.labels)
    ]
    assert mine, "without a policy everything would be allowed"
    rules = [rule for policy in mine for rule in policy.get(way.lower(), ())]
    wanted = {"port": port, "protocol": protocol}
    return any(
        any(is_peer(peer, other) for peer in rule[side]) and wanted in rule.get("ports", [wanted]) for rule in rules
    )


@pytest.mark.parametrize("port", [6379, 8265, 10002, 30000])
@pytest.mark.parametrize(("one", "other"), [("head", "cpu"), ("cpu", "head"), ("cpu", "cpu"), ("submitter", "head")])
def test_the_cluster_speaks_to_itself(one: str, other: str, port: int) -> None:
    assert allowed(ours(one), "Egress", ours(other), port)
    assert allowed(ours(other), "Ingress", ours(one), port)


@pytest.mark.parametrize("stranger", [STRANGER, NEIGHBOUR, PROMETHEUS, ours("nightly")], ids=str)
@pytest.mark.parametrize("port", [6379, 8265, 10001])
def test_nobody_else_reaches_ray_or_its_dashboard(stranger: Pod, port: int) -> None:
    assert not allowed(ours("head"), "Ingress", stranger, port)


def test_the_operator_reaches_the_jobs_api_and_nothing_else() -> None:
    assert allowed(ours("head"), "Ingress", OPERATOR, 8265)
    assert not allowed(ours("head"), "Ingress", OPERATOR, 6379)


def test_prometheus_reaches_the_metrics() -> None:
    assert allowed(ours("cpu"), "Ingress", PROMETHEUS, 8080)


@pytest.mark.parametrize("name", sorted(pods()))
def test_names_are_resolved(name: str) -> None:
    assert allowed(ours(name), "Egress", DNS, 53, "UDP")


@pytest.mark.parametrize("name", ["head", "cpu", "submitter"])
def test_the_object_store_is_reached_and_no_credentials_of_the_node(name: str) -> None:
    assert allowed(ours(name), "Egress", "52.218.0.1", 443)
    assert not allowed(ours(name), "Egress", "169.254.169.254", 443)
    assert not allowed(ours(name), "Egress", "169.254.169.254", 80)
    assert not allowed(ours(name), "Egress", "52.218.0.1", 22)


def test_the_nightly_pod_reaches_the_api_and_is_reached_by_nobody() -> None:
    assert allowed(ours("nightly"), "Egress", "10.96.0.1", 443)
    assert not allowed(ours("nightly"), "Egress", ours("head"), 8265)
    assert not allowed(ours("nightly"), "Ingress", OPERATOR, 443)


@pytest.mark.parametrize("way", ["Ingress", "Egress"])
def test_an_unknown_pod_of_the_namespace_is_cut_off(way: str) -> None:
    assert not allowed(NEIGHBOUR, way, ours("head"), 8265)
    assert not allowed(NEIGHBOUR, way, STRANGER, 443)
