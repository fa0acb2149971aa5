"""Workers, streams and the engine for machines that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine import host
from ortbatch.engine.layout import (
    RAY_SECONDS,
    SESSIONS_SHARE,
    USEFUL_STREAMS,
    Layout,
    Need,
    Node,
    Work,
    ends_first,
    gpus_asked,
    lay_out,
    places,
    with_gpus,
    worker_bytes,
)
from ortbatch.errors import ClusterError
from ortbatch.job.execution_spec import ExecutionSpec

GB = 10**9
AUTO = ExecutionSpec()
SMALL = 1_000_000
LAPTOP, SERVER = Node(2, 8 * GB), Node(64, 128 * GB)


def asked(workers: int | str = "auto", cpus: int | str = "auto") -> ExecutionSpec:
    return ExecutionSpec(workers=workers, cpus_per_worker=cpus)


def at_most(workers: int) -> ExecutionSpec:
    return ExecutionSpec(max_workers=workers)


def on_gpus(gpus: float, cpus: int | str = "auto") -> ExecutionSpec:
    return ExecutionSpec(gpus_per_worker=gpus, cpus_per_worker=cpus)


CASES = {
    "a laptop of 2 cores": ([LAPTOP], SMALL, 64, AUTO, (1, 2)),
    "one core": ([Node(1, 2 * GB)], SMALL, 64, AUTO, (1, 1)),
    "three cores leave none idle": ([Node(3, 8 * GB)], SMALL, 64, AUTO, (1, 3)),
    "64 cores, a small model": ([SERVER], SMALL, 1_000, AUTO, (32, 2)),
    "64 cores, a model of 2 GB": ([SERVER], 2 * GB, 1_000, AUTO, (8, 8)),
    "64 cores, a model of 12 GB": ([SERVER], 12 * GB, 1_000, AUTO, (1, 64)),
    "a model that takes more than half of the memory": ([Node(8, 10 * GB)], 3 * GB, 64, AUTO, (1, 8)),
    "10 nodes of 16 cores": ([Node(16, 64 * GB)] * 10, SMALL, 10_000, AUTO, (80, 2)),
    "10 nodes of 16 cores, a model of 2 GB": ([Node(16, 64 * GB)] * 10, 2 * GB, 10_000, AUTO, (40, 4)),
    "a head without CPUs": ([Node(0, 8 * GB), Node(4, 8 * GB)], SMALL, 64, AUTO, (2, 2)),
    "one shard": ([SERVER], SMALL, 1, AUTO, (1, 1)),
    "fewer shards than cores": ([SERVER], SMALL, 5, AUTO, (3, 2)),
    "memory that is not known": ([Node(64, None)], 2 * GB, 1_000, AUTO, (32, 2)),
    "the job's workers": ([LAPTOP], SMALL, 64, asked(5), (5, 1)),
    "the job's two workers on two cores": ([LAPTOP], SMALL, 64, asked(2), (2, 1)),
    "the job's two workers on many cores": ([SERVER], SMALL, 1_000, asked(2), (2, 32)),
    "the job's CPUs": ([SERVER], SMALL, 1_000, asked(cpus=4), (16, 4)),
    "the job's CPUs, and memory for few workers": ([SERVER], 2 * GB, 1_000, asked(cpus=1), (9, 1)),
    "the job's workers and CPUs": ([SERVER], 2 * GB, 1_000, asked(32, 3), (32, 3)),
    "at most three share what there is": ([SERVER], SMALL, 1_000, at_most(3), (3, 21)),
    "at most more than there is room for": ([SERVER], SMALL, 1_000, at_most(50), (32, 2)),
    "one GPU": ([Node(8, 32 * GB, 1)], SMALL, 1_000, on_gpus(1), (1, 8)),
    "a quarter of a GPU": ([Node(8, 32 * GB, 1)], SMALL, 1_000, on_gpus(0.25), (4, 2)),
    "a third of a GPU leaves a rest": ([Node(8, 32 * GB, 2)], SMALL, 1_000, on_gpus(0.4, 1), (4, 1)),
    "a tenth is a tenth": ([Node(64, 128 * GB, 1)], SMALL, 1_000, on_gpus(0.1, 1), (10, 1)),
    "four GPUs": ([Node(64, 128 * GB, 4)], SMALL, 1_000, on_gpus(1), (4, 16)),
    "two GPUs a worker": ([Node(64, 128 * GB, 5)], SMALL, 1_000, on_gpus(2, 4), (2, 4)),
    "nodes without GPUs": ([Node(4, 8 * GB), Node(8, 32 * GB, 1)], SMALL, 1_000, on_gpus(1), (1, 8)),
    "no GPU asked for where there is one": ([Node(8, 32 * GB, 1)], SMALL, 1_000, on_gpus(0), (4, 2)),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "model", "shards", "execution", "expected"), CASES.values(), ids=CASES)
def test_workers_and_streams(
    nodes: list[Node], model: int, shards: int, execution: ExecutionSpec, expected: tuple[int, int]
) -> None:
    assert lay_out(nodes, model, shards, execution) == Layout(*expected)


@pytest.mark.parametrize(
    ("node", "shards", "execution", "streams"),
    [(LAPTOP, 64, AUTO, 2), (SERVER, 1_000, AUTO, 64), (SERVER, 3, AUTO, 3), (LAPTOP, 64, asked(cpus=5), 5)],
)
def test_one_process_has_a_stream_for_each_cpu(node: Node, shards: int, execution: ExecutionSpec, streams: int) -> None:
    assert lay_out([node], SMALL, shards, execution, one_process=True) == Layout(1, streams)


@pytest.mark.parametrize("one_process", [False, True])
def test_memory_too_small_for_the_model_is_told_with_what_to_do(one_process: bool) -> None:
    with pytest.raises(ClusterError, match=r"takes 9\.0 GB and the largest node has 8\.0 GB .* free some, take a node"):
        lay_out([LAPTOP, Node(2, 4 * GB)], 9 * GB, 64, AUTO, one_process=one_process)


NODES = st.lists(
    st.builds(Node, st.integers(0, 130), st.none() | st.integers(10 * GB, 500 * GB)), min_size=1, max_size=6
)
PROVIDERS = {
    "CUDA": (["CUDAExecutionProvider", "CPUExecutionProvider"], 1.0),
    "TensorRT": (["TensorrtExecutionProvider"], 1.0),
    "CPU": (["CPUExecutionProvider"], 0.0),
    "OpenVINO on the CPU": (["OpenVINOExecutionProvider", "CPUExecutionProvider"], 0.0),
}


@pytest.mark.parametrize(("providers", "gpus"), PROVIDERS.values(), ids=PROVIDERS)
def test_a_provider_that_needs_a_gpu_gets_one(providers: list[str], gpus: float) -> None:
    assert gpus_asked(with_gpus(AUTO, providers)) == gpus


@pytest.mark.parametrize("gpus", [0.0, 0.25, 2.0])
def test_the_jobs_gpus_win(gpus: float) -> None:
    assert gpus_asked(with_gpus(on_gpus(gpus), ["CUDAExecutionProvider"])) == gpus


GPU_NODES = st.lists(st.builds(Node, st.integers(0, 64), st.none(), st.integers(0, 8)), min_size=1, max_size=5)


@given(GPU_NODES, st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0, 2.0, 3.0]), st.integers(1, 8))
def test_shares_of_a_gpu_never_add_up_to_more_than_it(nodes: list[Node], gpus: float, cpus: int) -> None:
    for node in nodes:
        there = places([node], Need(cpus, gpus, 0))
        assert there * cpus <= node.cpus
        assert there * gpus <= node.gpus + 1e-9


@given(NODES, st.integers(1, 50))
def test_never_more_workers_than_the_jobs_most(nodes: list[Node], most: int) -> None:
    assert 1 <= lay_out(nodes, SMALL, 10_000, at_most(most)).workers <= most


@given(NODES, NODES, st.integers(1, 8), st.integers(0, 10 * GB))
def test_room_of_nodes_is_the_sum_of_their_rooms(some: list[Node], others: list[Node], cpus: int, model: int) -> None:
    need = Need(cpus, 0, model)
    assert places([*some, *others], need) == places(some, need) + places(others, need)


def test_a_node_without_the_memory_for_the_model_is_no_room() -> None:
    assert places([Node(8, 4 * GB), Node(8, 50 * GB)], Need(8, 0, 5 * GB)) == 1


MODELS, SHARDS = st.integers(0, 10 * GB), st.integers(1, 5_000)


@given(NODES, MODELS, SHARDS)
def test_never_more_cpus_than_there_are_and_at_least_one_worker(nodes: list[Node], model: int, shards: int) -> None:
    found = lay_out(nodes, model, shards, AUTO)
    assert found.workers >= 1
    assert found.streams >= 1
    assert found.threads == 1
    cpus = [node.cpus for node in nodes]
    assert found.streams <= max(1, *cpus)
    assert found.workers <= max(1, sum(count // found.streams for count in cpus))
    assert found.workers * found.streams <= shards + found.streams - 1


@given(NODES, MODELS)
def test_sessions_never_take_more_than_their_share_of_a_node_unless_it_has_one(nodes: list[Node], model: int) -> None:
    found = lay_out(nodes, model, 100_000, AUTO)
    for node in nodes:
        there = node.cpus // found.streams
        if node.memory is not None and there > 1:
            assert there * worker_bytes(model) <= SESSIONS_SHARE * node.memory


@given(NODES, MODELS, SHARDS, st.integers(1, 200), st.integers(1, 64))
def test_the_job_wins(nodes: list[Node], model: int, shards: int, workers: int, cpus: int) -> None:
    assert lay_out(nodes, model, shards, asked(workers, cpus)) == Layout(workers, cpus)
    assert lay_out(nodes, model, shards, asked(workers)).workers == workers
    assert lay_out(nodes, model, shards, asked(cpus=cpus)).streams == cpus


@given(st.integers(1, 128), st.integers(1, 200 * GB), MODELS, st.integers(0, 10 * GB))
def test_a_larger_model_has_no_more_workers(cpus: int, memory: int, model: int, more: int) -> None:
    nodes = [Node(cpus, memory + model + more)]
    assert lay_out(nodes, model + more, 10_000, AUTO).workers <= lay_out(nodes, model, 10_000, AUTO).workers or cpus < 2


@pytest.mark.parametrize("cpus", range(1, USEFUL_STREAMS + 1))
@pytest.mark.parametrize("size", [0, GB, 10_000 * GB])
def test_one_process_ends_first_while_its_streams_do_not_wait_for_each_other(cpus: int, size: int) -> None:
    assert ends_first(Work(size, 10**9), cpus)[0] == "inline"


@pytest.mark.parametrize(
    ("work", "cpus", "engine"),
    [
        (Work(10 * GB, 10**8), 64, "inline"),
        (Work(100 * GB, 10**9), 64, "ray"),
        (Work(100 * GB, 10**9), 9, "inline"),
        # A model that takes a hundred times as long as reading leaves the lock alone.
        (Work(100 * GB, 10**9, rate=10**5), 64, "inline"),
    ],
)
def test_many_cores_are_worth_the_start_of_ray_for_much_data(work: Work, cpus: int, engine: str) -> None:
    assert ends_first(work, cpus)[0] == engine


def test_the_reason_names_both_times() -> None:
    assert ends_first(Work(4 * 10**8, 1), 1) == ("inline", "about 1 s in this process, 7 s on an embedded Ray")
    assert RAY_SECONDS == 6


GROUP = {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 500\nfile 200\n"}


@pytest.mark.parametrize(
    ("changed", "left"), [({}, 500), ({"memory.max": "max\n"}, None), ({"memory.max": "100\n"}, 0), (None, None)]
)
def test_a_control_group_leaves_what_is_not_used_and_what_can_be_given_back(
    tmp_path: Path, changed: dict[str, str] | None, left: int | None
) -> None:
    for name, text in ({} if changed is None else GROUP | changed).items():
        (tmp_path / name).write_text(text)
    assert host._group_memory(tmp_path) == left


def test_memory_is_known_here() -> None:
    assert (host.free_memory() or 0) > 1_000_000
