"""Whether the nodes of a cluster can run a sweep's trials: packages, source, storage."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError, NodeError
from balltrain.execution.nodes import living_nodes
from balltrain.storage import Remote

NODE_TIMEOUT_S = 120.0  # for a node's first process, which imports torch, on a busy machine
PACKAGES = ("balltrain", "torch", "ray", "numpy")  # that must be the same on all nodes
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


def check_nodes(folder: Path, remote: str | None, source: str | None) -> None:
    """Ask every node: has it our versions, the source, and a storage where each reads what the others write?

    Raises BalltrainError that says which node, and why.
    """
    _check_packages()
    if source is not None:
        _check_source(source)
    _check_storage(folder, remote)


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


def _on_all_nodes(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a function returns on each node, under the node's name.

    A function in a function travels as its code, which a node that lacks balltrain can run.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here, refs, found = ray.get_runtime_context().get_node_id(), {}, {}
    for node in living_nodes():
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
    if len(living_nodes()) < 2:
        return
    probe, keys = f".nodes-{uuid.uuid4().hex[:8]}", environment()
    path = str(folder.resolve() / probe)
    storage = remote.rpartition("/")[0] if remote else str(folder.parent)
    advice = "use a folder that all nodes see at the same path (NFS), or s3://bucket/prefix, which they may write"
    existed = folder.exists()
    try:
        if remote is None:
            Path(path).mkdir(parents=True)
        written = _on_all_nodes(_writer(path, remote, probe, keys))
        for name, (_, reason) in written.items():
            if reason:
                raise BalltrainError(f"the node {name} cannot write to --storage {storage} ({reason}): {advice}")
        for name, found in _on_all_nodes(_reader(path, remote, probe, keys)).items():
            for other, (node, _) in written.items():
                if node not in found:
                    raise BalltrainError(
                        f"the node {name} does not see what {other} wrote to --storage {storage}: {advice}"
                    )
    except OSError as error:
        raise BalltrainError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        if remote is not None:
            with contextlib.suppress(BalltrainError):
                Remote(remote).delete(probe)
        else:
            shutil.rmtree(path if existed else folder, ignore_errors=True)


def _writer(
    path: str, remote: str | None, probe: str, keys: Mapping[str, str]
) -> Callable[[], tuple[str, str | None]]:
    """What writes a file named by its node; returns the name, and why it cannot."""

    def write() -> tuple[str, str | None]:
        import os
        from pathlib import Path

        import ray

        node = ray.get_runtime_context().get_node_id()
        try:
            if remote is not None:
                from balltrain.storage import Remote

                os.environ.update(keys)
                Remote(remote).push(node.encode(), f"{probe}/{node}")
            else:
                (Path(path) / node).write_text(node)
        except Exception as error:
            return node, " ".join(str(error).split())[:200]
        return node, None

    return write


def _reader(path: str, remote: str | None, probe: str, keys: Mapping[str, str]) -> Callable[[], list[str]]:
    """What lists the files that all nodes have written."""

    def read() -> list[str]:
        import os
        import tempfile
        from pathlib import Path

        if remote is None:
            return [file.name for file in Path(path).glob("*")]
        from balltrain.storage import Remote

        os.environ.update(keys)  # perhaps another process of the node than the one that wrote
        with tempfile.TemporaryDirectory() as fetched:
            Remote(remote).pull(Path(fetched), probe)
            return [file.name for file in Path(fetched).glob("*")]

    return read
