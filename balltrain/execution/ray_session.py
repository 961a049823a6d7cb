"""The Ray that a sweep runs on: one of its own, one that is joined, or that of this process; and what trials hold."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from balltrain.background import every
from balltrain.errors import BalltrainError
from balltrain.execution import ray_internals
from balltrain.execution.interrupts import Interrupts
from balltrain.execution.joining import CONNECT_TIMEOUT_S, join, make_token
from balltrain.execution.machine import allow_open_files, make_ray_folder
from balltrain.execution.nodes import nodes_expected, nodes_there
from balltrain.execution.placement import Node, NotEnoughGpus, Placement, local_resources
from balltrain.execution.reaper import Reaping, reaped
from balltrain.execution.resources import Resources

LOOK_EVERY_S = 0.5  # whether Ray is still there
TIMES_SILENT = 2  # in a row, after which a Ray of one's own, on this machine, is gone
RECONNECT_VARIABLE = "RAY_gcs_rpc_server_reconnect_timeout_s"  # Ray's own, for clusters whose head comes back
RECONNECT_S = 10.0

# set before Ray is imported where it can be, and put back after the sweep
RAY_ENVIRONMENT = {
    # Tune's own bookkeeping, which the journal replaces
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # titles of Ray's processes leave their environment to be read: by it `reaper` knows them
    "SPT_NOENV": "1",
    # what nobody reads, and is waited for at the end where nobody takes it: 5 s
    "RAY_task_events_shutdown_flush_timeout_ms": "300",
}
# by `joining` and `machine`; by `ray.init`, which would take the process's later `breakpoint()` for its own
ALSO_PUT_BACK = (
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_TMPDIR",
    "TMPDIR",
    "PYTHONBREAKPOINT",
    "RAY_USAGE_STATS_ENABLED",
)
LOGGERS = ("ray", "ray.tune", "ray.air")


@dataclass
class RaySession:
    """A Ray that is there. `gone` says in words that it no longer is."""

    address: str  # host:port of its GCS
    is_own: bool  # ends with the sweep
    is_guest: bool = False  # of somebody who goes on with it after the sweep
    gone: str | None = None
    _silent: int = field(default=0, repr=False)
    _answered: float = field(default_factory=time.monotonic, repr=False)

    def look(self) -> None:
        """Whether it is still there: Ray itself would wait for a minute, and then end the process."""
        if self.is_own and (dead := ray_internals.dead_process()) is not None:
            self.gone = f"Ray has ended: its {dead} is gone"
            return
        if self.answers():
            self._silent, self._answered = 0, time.monotonic()
            return
        self._silent += 1
        silent_s = time.monotonic() - self._answered
        if self.is_own and self._silent >= TIMES_SILENT:
            self.gone = "Ray has ended"
        elif silent_s > float(os.environ.get(RECONNECT_VARIABLE, RECONNECT_S)):
            self.gone = f"the Ray at {self.address} has not answered for {silent_s:.0f} s"

    def leave(self, why: str) -> None:
        """Have the sweep leave it, as if it were gone."""
        self.gone = why

    def answers(self) -> bool:
        """Whether its port is open; asks nothing of it."""
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            return error.errno in (errno.EMFILE, errno.ENFILE)  # of this process's files, which says nothing of Ray
        return True


def ray_is_up() -> bool:
    """Whether this process has called `ray.init`: a sweep runs on that Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def is_local(resources: Resources) -> bool:
    """Whether a sweep starts a Ray of its own, on this machine."""
    return not (resources.joins or ray_is_up())


@contextlib.contextmanager
def ray_session(resources: Resources, interrupts: Interrupts) -> Iterator[RaySession]:
    """A Ray to run on: that of this process, else that at `address`, else one of this machine's that ends with it.

    Environment and logging are put back at the end. Raises BalltrainError where Ray cannot be started or joined, or
    this process is on another one.
    """
    own = contextlib.nullcontext(Reaping()) if ray_is_up() or resources.joins else reaped()
    with own as reaping, _environment_put_back():
        session = _guest(resources) if ray_is_up() else _connected(resources, interrupts)
        with ray_internals.errors_not_printed() if session.is_own else contextlib.nullcontext():
            try:
                with every(LOOK_EVERY_S, session.look):
                    yield session
            finally:
                reaping.in_order = (
                    session.gone is None
                )  # agents of a dead GCS or raylet would look for it for a minute
                # from a dead one too, which Ray would end this process for
                if not session.is_guest or session.gone:
                    import ray

                    with interrupts.deferred():
                        ray.shutdown()


def placement_of(resources: Resources) -> tuple[Placement, Sequence[Node]]:
    """What trials would hold, and the nodes there are, without starting a Ray of one's own."""
    if is_local(resources):
        here: Sequence[Node] = [local_resources()]
        return resources.place(here), here
    with ray_session(resources, Interrupts()):
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


def check_state_api() -> None:
    """Raises BalltrainError where a stopped trial of several workers would keep the next one waiting for ever."""
    from ray.util.state import list_nodes

    try:
        list_nodes(limit=1, timeout=10)
    except Exception as error:
        raise BalltrainError(
            "trials of several workers need Ray's State API, which this Ray lacks: start it with "
            "ray.init(include_dashboard=True)"
        ) from error


def _guest(resources: Resources) -> RaySession:
    """On the Ray that this process has."""
    import ray
    from ray.util.client import ray as client

    if client.is_connected():  # type: ignore[no-untyped-call]  # Ray's own
        raise BalltrainError(
            "this process uses Ray by a client (ray://), from which no sweep runs: run it on the cluster itself, or "
            "call ray.shutdown() and give address='host:6379'"
        )
    address = ray.get_runtime_context().gcs_address
    if resources.address not in (None, "auto", address):
        raise BalltrainError(
            f"this process is on the Ray at {address} already: leave out --address {resources.address}, or call "
            "ray.shutdown() first"
        )
    session = RaySession(address, is_own=False, is_guest=True)
    if not session.answers():
        raise BalltrainError(f"the Ray of this process, at {address}, has ended: call ray.shutdown(), then try again")
    for name in LOGGERS[1:]:  # what goes wrong with trials is told by the sweep
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return session


def _connected(resources: Resources, interrupts: Interrupts) -> RaySession:
    interrupts.check()
    if not resources.joins:
        make_ray_folder()
        allow_open_files()
        make_token()
    import ray

    address = resources.address
    # its errors reach us as values, and a user as one line
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with interrupts.deferred(), ray_internals.sigterm_left_alone():
            if resources.joins and address:
                ray.init(address=join(address), **quiet)
            else:
                ray_internals.read_environment_again()
                # a stopped data-parallel trial gives its placement group back only where the State API runs
                several = (resources.workers_per_trial or 1) > 1 or (resources.gpus_per_trial or 0) > 1
                local: dict[str, Any] = {"include_dashboard": several, "dashboard_host": "127.0.0.1"}
                ray.init(address="local", **local, **quiet)
    except KeyboardInterrupt:
        ray.shutdown()
        raise
    except BalltrainError:
        raise
    except Exception as error:  # of Ray's processes, whatever kept one from starting: some are plain Exceptions
        where = f"at {address}" if address else "on this machine"
        reason = " ".join(str(error).split())[:200]
        raise BalltrainError(f"cannot reach or start Ray {where}: {reason}") from error
    return RaySession(ray.get_runtime_context().gcs_address, is_own=not resources.joins)


@contextlib.contextmanager
def _environment_put_back() -> Iterator[None]:
    """RAY_ENVIRONMENT holds in the block, where the user has not set it."""
    before = {name: os.environ.get(name) for name in (*RAY_ENVIRONMENT, *ALSO_PUT_BACK)}
    loggers = {name: logging.getLogger(name).level for name in LOGGERS}
    os.environ.update({name: value for name, value in RAY_ENVIRONMENT.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)
        if "ray" in sys.modules and not ray_is_up():
            ray_internals.read_environment_again()
