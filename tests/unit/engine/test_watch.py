"""What the watch makes of a cluster that stands here as a few values: room, waiting, and what it asks machines for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ortbatch.engine import watch
from ortbatch.engine.events import Room
from ortbatch.engine.layout import Need, Node
from ortbatch.engine.machines import Seen
from ortbatch.engine.watch import Watch
from ortbatch.errors import ClusterError, Interrupted
from ortbatch.job import ExecutionSpec

NODE = Node(4, None)


class Cluster:
    """Nodes that a test changes; `asked` is what the autoscaler was asked for."""

    def __init__(self, *nodes: Node, scales: bool = False) -> None:
        self.nodes, self.going, self.scales = list(nodes), frozenset[str](), scales
        self.asked: list[tuple[int, Need] | None] = []

    def look(self) -> Seen:
        return Seen(tuple(self.nodes), tuple(self.nodes), self.going)

    def ask(self, workers: int, need: Need) -> None:
        self.asked.append((workers, need))

    def take_back(self) -> None:
        self.asked.append(None)


Watching = Callable[..., Watch]


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watching:
    """A watch of a cluster, with shards and what the job says."""
    monkeypatch.setattr(watch, "_WAIT_SECONDS", 0.01)

    def made(cluster: Cluster, shards: int = 100, **execution: Any) -> Watch:
        monkeypatch.setattr(watch, "look", cluster.look)
        monkeypatch.setattr(watch, "scales", lambda: cluster.scales)
        monkeypatch.setattr(watch, "Request", lambda: cluster)
        return Watch(ExecutionSpec(**execution), 0, shards)

    return made


def test_room_follows_the_nodes(watching: Watching) -> None:
    cluster = Cluster(NODE)
    watched = watching(cluster)
    watched.lay_out(2)
    assert watched.room({}) == Room(2, 2)
    cluster.nodes.append(NODE)
    assert watched.room({}) == Room(4, 4)
    cluster.nodes.clear()
    assert watched.room({}) == Room(1, 1)


def test_workers_of_nodes_that_drain_are_leaving_and_their_nodes_no_room(watching: Watching) -> None:
    cluster = Cluster(NODE)
    cluster.going = frozenset({"b"})
    watched = watching(cluster)
    watched.lay_out(2)
    assert watched.room({0: "a", 1: "b", 2: "b"}) == Room(2, 2, frozenset({1, 2}))


def test_the_jobs_most_is_the_limit_of_room_and_of_machines(watching: Watching) -> None:
    watched = watching(Cluster(NODE, NODE, scales=True), max_workers=3)
    watched.lay_out(2)
    assert watched.room({}) == Room(3, 3)
    few = watching(Cluster(NODE, scales=True), max_workers=3)
    few.lay_out(2)
    assert few.room({}) == Room(2, 3)


def test_without_a_most_the_shards_are_the_limit_of_machines(watching: Watching) -> None:
    watched = watching(Cluster(NODE, scales=True), shards=7)
    watched.lay_out(4)
    assert watched.room({}) == Room(1, 7)


def test_a_fixed_number_is_room_for_so_many_whatever_there_is(watching: Watching) -> None:
    cluster = Cluster(NODE, scales=True)
    watched = watching(cluster, workers=9)
    watched.lay_out(2)
    assert watched.room({}) == Room(9, 9)
    assert cluster.asked == [(9, Need(2, 0, 0))]


def test_nobody_is_asked_where_nobody_listens(watching: Watching) -> None:
    cluster = Cluster(NODE)
    watched = watching(cluster, workers=9)
    watched.lay_out(2)
    watched.want(5)
    assert cluster.asked == []


def test_what_was_asked_is_taken_back_at_the_end(watching: Watching) -> None:
    cluster = Cluster(NODE, scales=True)
    watching(cluster).close()
    assert cluster.asked == [None]


def test_a_first_machine_is_asked_for_and_waited_for(watching: Watching) -> None:
    cluster = Cluster(Node(0, None), scales=True)
    watched = watching(cluster, cpus_per_worker=3, gpus_per_worker=0.5)

    def stopped() -> bool:
        cluster.nodes = [Node(4, None, 1)] if cluster.asked else cluster.nodes
        return False

    watched.await_node(lambda _: None, stopped)
    assert set(cluster.asked) == {(1, Need(3, 0.5, 0))}


def test_a_node_without_the_gpu_is_not_what_is_waited_for(watching: Watching) -> None:
    watched = watching(Cluster(NODE), gpus_per_worker=1, wait_for_workers_s=0.05)
    with pytest.raises(
        ClusterError, match=r"each asks for 1 CPU and 1 GPU; the cluster has 4, 4 of them free, and 0 G"
    ):
        watched.await_node(lambda _: None, lambda: False)


def test_a_head_that_does_not_answer_changes_nothing(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watching(Cluster(NODE))
    watched.lay_out(2)

    def fail() -> Seen:
        raise ConnectionError("no answer")

    monkeypatch.setattr(watch, "look", fail)
    assert watched.room({}) == Room(2, 2)


def test_nodes_are_looked_at_within_seconds_however_long_a_look_takes(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(NODE)
    watched = watching(cluster)

    def slow() -> Seen:
        time.sleep(0.3)
        return cluster.look()

    monkeypatch.setattr(watch, "look", slow)
    watched.room({})
    assert watched._look_at - time.monotonic() <= 5.0


def test_who_waits_can_be_stopped(watching: Watching) -> None:
    with pytest.raises(Interrupted):
        watching(Cluster()).await_node(lambda _: None, lambda: True)


def test_a_node_that_is_there_is_not_waited_for(watching: Watching) -> None:
    watching(Cluster(NODE)).await_node(lambda _: None, lambda: pytest.fail("asked while nothing is waited for"))
