"""The Ray that a sweep runs on: one of its own, or one that is joined; and what trials hold of it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.execution.joining import join, make_token
from balltrain.execution.nodes import nodes_expected, nodes_there
from balltrain.execution.placement import Node, NotEnoughGpus, Placement, local_resources
from balltrain.execution.resources import Resources

# Tune's own bookkeeping, which the journal replaces; set before ray is imported
RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextlib.contextmanager
def ray_session(resources: Resources) -> Iterator[None]:
    """A Ray to run on: that at `address`, else one of this machine's that ends with the sweep."""
    os.environ.update({key: os.environ.get(key, value) for key, value in RAY_ENVIRONMENT.items()})
    if not resources.joins:
        make_token()
    import ray

    address = resources.address
    # its errors reach us as values, and a user as one line
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Ray asks the process group of its own for Ctrl-C; ours comes through the sweep's handler
    try:
        if resources.joins and address:
            ray.init(address=join(address), **quiet)
        else:
            # a stopped data-parallel trial gives its placement group back only where the State API runs
            several = (resources.workers_per_trial or 1) > 1 or (resources.gpus_per_trial or 0) > 1
            ray.init(address="local", include_dashboard=several, dashboard_host="127.0.0.1", **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = f"at {address}" if address else "on this machine"
        reason = " ".join(str(error).split())[:200]
        raise BalltrainError(f"cannot reach or start Ray {where}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def placement_of(resources: Resources) -> tuple[Placement, Sequence[Node]]:
    """What trials would hold, and the nodes there are, without starting a Ray of one's own."""
    if not resources.joins:
        here: Sequence[Node] = [local_resources()]
        return resources.place(here), here
    with ray_session(resources):
        return place_on_cluster(resources), nodes_expected()


def place_on_cluster(resources: Resources) -> Placement:
    """On the nodes there are, or that an autoscaler may add. Raises BalltrainError where that is not enough."""
    nodes = nodes_expected()
    try:
        return resources.place(nodes)
    except NotEnoughGpus as error:
        if len(nodes) > len(nodes_there()):
            raise BalltrainError(f"{error} (the autoscaler's maximum, max_workers in the cluster file)") from None
        raise
