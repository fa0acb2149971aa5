"""What cluster.yaml says of spot machines is what Ray's autoscaler does: its own scheduler is asked."""

from __future__ import annotations

from typing import Any

from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

from tests.deployed import cluster

ON_DEMAND, SPOT = "cpu", "cpu-spot"


def launched(workers: int, monitor: CloudResourceMonitor, on_demand: int = 0) -> dict[str, int]:
    """Machines of each type that Ray launches for so many workers of two CPUs each, where none is yet."""
    config = cluster()
    config["available_node_types"][ON_DEMAND]["min_workers"] = on_demand
    configs = AutoscalingConfig(config, skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=configs.get_node_type_configs(),
        max_num_nodes=configs.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make({"CPU": 2})] * workers),
        cloud_resource_availabilities=monitor.get_resource_availabilities(),
        recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
    )
    to_launch = ResourceDemandScheduler(_Silent()).schedule(request).to_launch
    return {launch.instance_type: launch.count for launch in to_launch if launch.instance_type != "head"}


class _Silent:
    """Ray's log of events, for nobody."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


def told(status: int) -> CloudResourceMonitor:
    """What Ray knows after a spot machine came to this."""
    monitor = CloudResourceMonitor()
    event = InstanceUpdateEvent(instance_id="i", new_instance_status=status, instance_type=SPOT)
    monitor.notify([event])
    return monitor


def test_spot_comes_first() -> None:
    assert launched(8, CloudResourceMonitor()) == {SPOT: 2}


def test_on_demand_comes_when_all_spot_is_taken() -> None:
    assert launched(40, CloudResourceMonitor()) == {SPOT: 8, ON_DEMAND: 2}


def test_a_refused_spot_request_is_not_passed_on() -> None:
    assert launched(8, told(Instance.ALLOCATION_FAILED)) == {SPOT: 2}


def test_a_spot_machine_that_never_starts_is_passed_on() -> None:
    assert launched(8, told(Instance.ALLOCATION_TIMEOUT)) == {ON_DEMAND: 2}


def test_more_min_workers_buy_what_spot_does_not_give() -> None:
    assert launched(0, CloudResourceMonitor(), on_demand=3) == {ON_DEMAND: 3}
