"""The nodes of a Ray cluster: those there are, and those that an autoscaler may add."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from balltrain.errors import UsageError
from balltrain.execution.placement import Node, Placement

BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")  # where Ray's launcher puts its configuration on a head
EXAMPLE_NODES = '[{"max_workers": 8, "resources": {"CPU": 4, "GPU": 1}}]'


def nodes_expected() -> list[Node]:
    """The resources of each node: those there are or, where an autoscaler adds nodes, all that it may."""
    there, possible = nodes_there(), _possible_nodes()
    return possible if _amount(possible) > _amount(there) else there


def nodes_there() -> list[Node]:
    """The resources of each node that lives."""
    return [node["Resources"] for node in living_nodes()]


def living_nodes() -> list[dict[str, Any]]:
    """What Ray tells of each node that lives: NodeID, NodeManagerAddress, Resources, …"""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own


def wait_for_first_trial(placement: Placement, on_phase: Callable[[str], None]) -> None:
    """Wait until the autoscaler has started what one trial needs, and say for what; return at once where it is there.

    The other trials wait in Ray's queue, which is what makes the autoscaler start their nodes.
    """
    if placement.on(nodes_there()).concurrency:
        return
    from ray.util.placement_group import placement_group, remove_placement_group

    bundle = placement.worker_resources
    what = " and ".join(f"{amount:g} {name}" for name, amount in bundle.items() if ":" not in name)
    needs = f"{placement.workers} x ({what})" if placement.workers > 1 else what
    waiting = placement_group([bundle] * placement.workers, strategy=placement.strategy)
    try:
        start = time.monotonic()
        while not waiting.wait(1):
            gpus, cpus = _amount(nodes_there())
            on_phase(
                f"waiting for a node with {needs}: the cluster has {cpus:g} CPU and {gpus:g} GPU and may grow "
                f"({time.monotonic() - start:.0f} s)"
            )
    finally:
        remove_placement_group(waiting)


def names_of_nodes() -> dict[str, str]:
    """The host names of nodes that live, by their ids."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in living_nodes()}


def what_is_missing(placement: Placement) -> str:
    """What a trial waits for, in words that end a sentence: "1 CPU: 0 of 4 are free"."""
    import ray

    there, free = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]  # Ray's own
    needed = {name: amount for name, amount in placement.worker_resources.items() if ":" not in name}
    needs = " and ".join(f"{placement.workers * amount:g} {name}" for name, amount in needed.items())
    has = ", ".join(f"{free.get(name, 0.0):g} of {there.get(name, 0.0):g} {name} are free" for name in needed)
    grows = _amount(nodes_expected()) > _amount(nodes_there())
    return f"{needs}: {has}" + ", and the cluster, which may grow, has started no node" * grows


def _possible_nodes() -> list[Node]:
    """What the cluster has when its autoscaler has started all it may; nothing where there is none.

    Ray does not tell. On a head that `ray up` started it is in the launcher's file; elsewhere BALLTRAIN_NODES says
    it, as cluster/kuberay.yaml does: [{"max_workers": 8, "resources": {"CPU": 4, "GPU": 1}}].
    """
    if text := os.environ.get("BALLTRAIN_NODES"):
        try:
            return [group["resources"] for group in json.loads(text) for _ in range(group["max_workers"])]
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"BALLTRAIN_NODES is {text!r}, but must be a list such as {EXAMPLE_NODES}") from error
    import yaml

    try:
        config = yaml.safe_load(BOOTSTRAP_FILE.expanduser().read_text())
    except (OSError, yaml.YAMLError):
        return []
    most = config.get("max_workers", 0)
    return [
        node_type["resources"]
        for name, node_type in config.get("available_node_types", {}).items()
        for _ in range(1 if name == config.get("head_node_type") else min(most, node_type.get("max_workers", 0)))
        if node_type.get("resources")
    ]


def _amount(nodes: list[Node]) -> tuple[float, float]:
    gpus, cpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("GPU", "CPU"))
    return gpus, cpus
