"""What is used of Ray that is not public: no other module does. Each name, and why no public one will do.

A Ray that renames one of them fails `tests/execution/test_ray_internals.py`, which says which.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

# module:name, and the reason
PRIVATE = {
    "ray._raylet:AuthenticationTokenLoader": "forgets the token of another Ray that this process was on: with it, "
    "a Ray without one could not ask this process for its actors, and would end them",
    "ray._raylet:Config": "has Ray read its environment again, which it does once, when it is imported",
    "ray._raylet:GcsClient": "asks a Ray for its dashboard, which only those hear who have joined it",
    "ray._private.services:canonicalize_bootstrap_address": "finds the Ray of this machine without joining it, which "
    "takes a minute where its token is another",
    "ray.core.generated.gcs_service_pb2:CheckAliveRequest": "asks whether a Ray wants a token: its own client "
    "prints warnings, or ends the process",
    "ray.core.generated.gcs_service_pb2_grpc:NodeInfoGcsServiceStub": "sends that question",
    "ray._private.utils:set_sigterm_handler": "`ray.init` takes SIGTERM for itself, by a handler that loses some",
    "ray._private.worker:print_to_stdstream": "prints the log of a raylet that died, past all loggers",
    "ray._private.worker:_global_node": "tells whether the processes live that `ray.init` has started",
    "ray._private.state:state": "tells on which node the process of an actor is, without asking the actor",
    "ray._private.auto_init_hook:enable_auto_connect": "keeps a call that comes after `ray.shutdown` from "
    "starting a new Ray: RAY_ENABLE_AUTO_CONNECT is read once, when Ray is imported",
    "ray.train.v2._internal.constants:ENV_VARS_TO_PROPAGATE": "has Train pass a variable on to a trial's workers",
    "ray.train.v2._internal.exceptions:UserExceptionWithTraceback": "holds the exception that a worker ended with",
    "ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError": "holds the death of a worker",
}
ANSWERS, REFUSES = "ok", "refused"
ASK_TIMEOUT_S = 5.0


def read_environment_again() -> None:
    """Of what Ray read of the environment when it was imported: RAY_AUTH_MODE, RAY_task_events_… And the token."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled, without types

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def find_local_ray() -> str | None:
    """host:port of a Ray that was started on this machine."""
    from ray._private.services import canonicalize_bootstrap_address

    return canonicalize_bootstrap_address("auto")


def ask(address: str, token: str | None, timeout_s: float = ASK_TIMEOUT_S) -> str:
    """Whether a Ray answers at host:port: ANSWERS, REFUSES for another token than its own, or else what is wrong."""
    import grpc
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined]  # generated
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = NodeInfoGcsServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        try:
            stub.CheckAlive(CheckAliveRequest(), timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            return REFUSES if error.code() == grpc.StatusCode.UNAUTHENTICATED else str(error.details())
    return ANSWERS


def dashboard_of(address: str, environment: Mapping[str, str], timeout_s: float) -> str | None:
    """host:port of the dashboard of the Ray at host:port, as it has it on record itself."""
    # in a process of its own: a client of another version, or without the token, may block or abort
    code = (
        "import sys; from ray._raylet import GcsClient\n"
        "found = GcsClient(address=sys.argv[1]).internal_kv_get(b'dashboard', namespace=b'dashboard', timeout=1)\n"
        "print(found.decode() if found else '')"
    )
    command = [sys.executable, "-c", code, address]
    try:
        answer = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def dead_process() -> str | None:
    """Which of the two processes that Ray cannot do without has ended, of a Ray that this process started."""
    from ray._private import worker

    if worker._global_node is None:
        return None
    processes: dict[str, list[Any]] = worker._global_node.all_processes
    for kind in ("gcs_server", "raylet"):
        if any(info.process.poll() is not None for info in processes.get(kind, ())):
            return kind
    return None


def node_of(actor: Any) -> str | None:
    """The id of the node that an actor's process is on; asks Ray, and not the actor, which may be busy."""
    from ray._private.state import state

    found: dict[str, Any] = state.actor_table(actor._actor_id.hex())
    where: dict[str, str] = found.get("Address", {})
    return where.get("NodeID")


@contextlib.contextmanager
def errors_not_printed() -> Iterator[None]:
    """In this block Ray prints none of the errors that it sends to drivers: forty lines where a raylet is killed."""
    from ray._private import worker

    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, ignore_prefix: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextlib.contextmanager
def sigterm_left_alone() -> Iterator[None]:
    """`ray.init` in this block sets no handler. Its own raises SystemExit, which is lost where Python ignores it."""
    from ray._private import utils

    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


def start_automatically(on: bool) -> bool:
    """Whether a call that comes after `ray.shutdown` starts a new Ray; returns what held before."""
    from ray._private import auto_init_hook

    before, auto_init_hook.enable_auto_connect = auto_init_hook.enable_auto_connect, on
    return before


def pass_on_to_workers(variable: str) -> None:
    """Have Ray Train give its workers an environment variable of this process."""
    from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE

    ENV_VARS_TO_PROPAGATE.add(variable)


def unwrapped(failure: BaseException) -> BaseException:
    """What ended a worker of Ray Train, out of what Train wraps around it."""
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

    if isinstance(failure, WorkerHealthCheckFailedError):
        failure = failure.health_check_failure
    if isinstance(failure, UserExceptionWithTraceback):
        failure = failure._base_exc
    return failure
