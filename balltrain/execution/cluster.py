"""A Ray that was there before: how it is joined, what its nodes have, and whether they can run a sweep's trials."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, NodeError, UsageError
from balltrain.execution.placement import Node, Placement

CONNECT_TIMEOUT_S = 5.0
NODE_TIMEOUT_S = 120.0  # for a node's first process, which imports torch, on a busy machine
PACKAGES = ("balltrain", "torch", "ray", "numpy")  # that must be the same on all nodes
BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")  # where Ray's launcher puts its configuration on a head
EXAMPLE_NODES = '[{"max_workers": 8, "resources": {"CPU": 4, "GPU": 1}}]'
# what a trial on another node needs of the environment that the sweep was started in
PASSED_ON = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)


def token_file() -> Path:
    """Where Ray looks for the token when RAY_AUTH_TOKEN does not hold it."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def make_token() -> None:
    """The token of a Ray of our own, where it is missing: Ray's own would be readable by everyone on this machine."""
    file = token_file()
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    with contextlib.suppress(OSError):  # Ray then says what is wrong
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            # linked into place: another sweep that starts now must not read half a token
            new = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                opened.write(uuid.uuid4().hex + uuid.uuid4().hex)
            with contextlib.suppress(FileExistsError):
                os.link(new, file)
            new.unlink()
        file.chmod(0o600)


def join(address: str) -> str:
    """Authenticate as the Ray at an address wants it; returns its host:port.

    Ray does so by itself only for an address that it found itself, and a process in token mode cannot start actors
    on a cluster without. Raises BalltrainError where no Ray answers, or refuses our token; Ray would wait a minute.
    """
    from ray._raylet import Config  # type: ignore[attr-defined]

    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        found = canonicalize_bootstrap_address("auto")
        if not found:
            raise BalltrainError("no Ray runs on this machine: start one with `ray start --head`, or give host:port")
        address = found
    check_reachable(address)
    answer = ask(address, None)
    if answer == REFUSED:
        token = _token()
        if ask(address, token) != OK:
            raise BalltrainError(
                f"the Ray at {address} wants its token, this machine has {'another' if token else 'none'}: copy the "
                f"file ~/.ray/auth_token of its head to {token_file()}, with chmod 600"
            )
    elif answer != OK:
        raise BalltrainError(f"what answers at {address} is no Ray: {answer}")
    os.environ["RAY_AUTH_MODE"] = "token" if answer == REFUSED else "disabled"
    Config.initialize("")  # a sweep file has imported ray, which has read the environment
    return address


def check_reachable(address: str) -> None:
    """Raises BalltrainError where nothing answers at host:port."""
    if address.startswith("ray://"):
        raise UsageError(f"--address {address}: start the sweep on the cluster, or give its GCS address host:6379")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address!r} is not host:port, such as 10.0.0.1:6379, nor auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise BalltrainError(
            f"no Ray answers at {address} ({error.strerror or error}): start one with `ray start --head`, "
            "or leave --address out"
        ) from error


OK, REFUSED = "ok", "refused"


def ask(address: str, token: str | None) -> str:
    """Whether a Ray answers at host:port: OK, REFUSED for another token than its own, or else what is wrong."""
    # by gRPC itself: Ray's own client writes warnings of its own, or ends the process
    import grpc
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined]
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            NodeInfoGcsServiceStub(channel).CheckAlive(
                CheckAliveRequest(), timeout=CONNECT_TIMEOUT_S, metadata=metadata
            )
        except grpc.RpcError as error:
            return REFUSED if error.code() == grpc.StatusCode.UNAUTHENTICATED else str(error.details())
    return OK


def _token() -> str | None:
    """The token that this machine has."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    try:
        return token_file().read_text().strip() or None
    except OSError:
        return None


def nodes() -> list[Node]:
    """The resources of each node: those there are or, where an autoscaler adds nodes, all that it may."""
    there, possible = nodes_there(), _possible_nodes()
    return possible if _amount(possible) > _amount(there) else there


def nodes_there() -> list[Node]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


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


@functools.cache
def versions() -> dict[str, str]:
    """Of what must be the same on all nodes. Local builds of a version (+cpu, +cu128) count as the same."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package).split("+")[0]
    return found


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """What differs, in words; empty where nothing does."""
    return ", ".join(
        f"{name} {theirs.get(name, 'missing')} instead of {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    )


def check_nodes(folder: Path, remote: str | None, source: str | None) -> None:
    """Ask every node: has it our versions, the source, and a storage where each reads what the others write?

    Raises BalltrainError that says which node, and why.
    """
    _check_packages()
    if source is not None:
        _check_source(source)
    _check_storage(folder, remote)


def _on_all_nodes(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a function returns on each node, under the node's name.

    A function in a function travels as its code, which a node that lacks balltrain can run.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here, refs, found = ray.get_runtime_context().get_node_id(), {}, {}
    for node in ray.nodes():
        if node["Alive"]:
            strategy: Any = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task: Any = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(function)
            address = f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
            while address in refs:  # several nodes of one machine, as tests have them
                address += "'"
            refs[address + ", this machine" * (node["NodeID"] == here)] = task.remote(*arguments)
    for name, ref in refs.items():
        try:
            found[name] = ray.get(ref, timeout=NODE_TIMEOUT_S)
        except Exception as error:
            reason = " ".join(str(error).split())[-200:]
            raise BalltrainError(f"the node {name} runs nothing: {type(error).__name__}: {reason}") from error
    return found


def _check_packages() -> None:
    packages = PACKAGES

    def look() -> dict[str, str]:
        from importlib.metadata import PackageNotFoundError, version
        from platform import python_version_tuple

        found = {"python": ".".join(python_version_tuple()[:2])}
        for package in packages:
            try:
                found[package] = version(package).split("+")[0]
            except PackageNotFoundError:
                continue
        return found

    wrong = [
        f"{name} has {text}"
        for name, theirs in _on_all_nodes(look).items()
        if (text := differences(theirs, versions()))
    ]
    if wrong:
        raise BalltrainError(
            f"the nodes differ in their packages: {'; '.join(wrong)}: install the same on all, "
            "pip install -c constraints.txt balltrain"
        )


def _check_source(source: str) -> None:
    def look() -> bool:
        from pathlib import Path

        return Path(source).exists()

    if without := [name for name, there in _on_all_nodes(look).items() if not there]:
        raise BalltrainError(
            f"--source {source} is not on the node {', '.join(without)}: it must be on all nodes, at the same path"
        )


def _check_storage(folder: Path, remote: str | None) -> None:
    """Each node writes a file, and each must then read all of them."""
    import ray

    probe = f".nodes-{uuid.uuid4().hex[:8]}"
    path = str(folder.resolve() / probe)
    keys = environment()

    def write(node: str) -> str | None:
        """Why it cannot."""
        import os
        from pathlib import Path

        try:
            if remote is not None:
                from balltrain.storage import Remote

                os.environ.update(keys)
                Remote(remote).push(node.encode(), f"{probe}/{node}")
            else:
                (Path(path) / node).write_text(node)
        except Exception as error:
            return " ".join(str(error).split())[:200]
        return None

    def write_as_this_node() -> tuple[str, str | None]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        return node, write(node)

    def read() -> list[str]:
        from pathlib import Path

        if remote is None:
            return [file.name for file in Path(path).glob("*")]
        import os
        import tempfile

        from balltrain.storage import Remote

        os.environ.update(keys)  # perhaps another process of the node than the one that wrote
        with tempfile.TemporaryDirectory() as fetched:
            Remote(remote).pull(Path(fetched), probe)
            return [file.name for file in Path(fetched).glob("*")]

    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    storage = remote.rpartition("/")[0] if remote else str(folder.parent)
    advice = "use a folder that all nodes see at the same path (NFS), or s3://bucket/prefix, which they may write"
    existed = folder.exists()
    try:
        if remote is None:
            Path(path).mkdir(parents=True)
        written = _on_all_nodes(write_as_this_node)
        for name, (_, reason) in written.items():
            if reason:
                raise BalltrainError(f"the node {name} cannot write to --storage {storage} ({reason}): {advice}")
        for name, found in _on_all_nodes(read).items():
            for other, (node, _) in written.items():
                if node not in found:
                    raise BalltrainError(
                        f"the node {name} does not see what {other} wrote to --storage {storage}: {advice}"
                    )
    except OSError as error:
        raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        if remote is not None:
            from balltrain.storage import Remote

            with contextlib.suppress(BalltrainError):
                Remote(remote).delete(probe)
        else:
            shutil.rmtree(path if existed else folder, ignore_errors=True)


def check_this_node(theirs: Mapping[str, str], folder: Path, remote: str | None) -> None:
    """What `check_nodes` asks, asked by a trial: its node may have joined later. Raises NodeError."""
    if text := differences(versions(), theirs):
        raise NodeError(f"{socket.gethostname()} has {text}: install the same on all nodes, or take it away")
    if remote is None and not (folder / "sweep.json").exists():
        raise NodeError(
            f"{socket.gethostname()} does not see {folder}: --storage must be a folder that all nodes see at the "
            "same path, or object storage"
        )


def environment() -> dict[str, str]:
    """Keys of object storage in this process that trials on other nodes need; never written anywhere."""
    return {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
