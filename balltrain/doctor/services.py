"""Ray, its cluster and its token, and W&B."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from balltrain.doctor.check import FAIL, OK, TIMEOUT_S, WARN, Check

RAY_FROM = (2, 55)


def check_ray() -> Check:
    try:
        found = version("ray")
    except PackageNotFoundError:
        return Check("Ray", FAIL, "is not installed", "pip install 'ray[default,train,tune]>=2.55'")
    if tuple(int(part) for part in found.split(".")[:2]) < RAY_FROM:
        return Check("Ray", FAIL, found, "pip install --upgrade 'ray[default,train,tune]>=2.55'")
    return Check("Ray", OK, found)


def check_cluster() -> Check:
    """The cluster that RAY_ADDRESS names, or that `ray start` left the address of on this machine."""
    name = "Ray cluster"
    address, source = _ray_address()
    if address is None:
        return Check(name, OK, "none: a sweep starts its own Ray and ends it")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return Check(name, FAIL, f"{source} is {address!r}", "make it host:port, such as 10.0.0.1:6379, or unset it")
    try:
        socket.create_connection((host, int(port)), TIMEOUT_S).close()
    except OSError as error:
        detail = f"{address} ({source}) does not answer: {error.strerror or error}"
        if source == "RAY_ADDRESS":
            return Check(name, FAIL, detail, "start it, or unset RAY_ADDRESS to run on this machine alone")
        return Check(name, OK, f"none that answers; {address} has ended ({source})")
    dashboard = _dashboard(address)
    if dashboard is None:
        return Check(name, OK, f"{address} ({source}); its dashboard is not known")
    detail = f"{address} ({source}), dashboard http://{dashboard}"
    if not _is_loopback(dashboard.rpartition(":")[0]):
        advice = "who reaches the dashboard runs code as you: ray start --head --dashboard-host=127.0.0.1"
        return Check(name, WARN, detail, advice)
    return Check(name, OK, detail)


def check_token() -> Check:
    """Whether a running Ray asks for a token, and whether others can read ours."""
    from balltrain.execution.joining import token_file
    from balltrain.execution.ray_internals import ANSWERS, ask

    name, file = "Ray token", token_file()
    address, _ = _ray_address()
    try:
        mode = file.stat().st_mode & 0o777
    except OSError:
        mode = None
    if mode is not None and mode & 0o077:
        return Check(
            name, WARN, f"{file} can be read by others (mode {mode:o})", f"chmod 600 {shlex.quote(str(file))}"
        )
    if address and ask(address, None) == ANSWERS:
        advice = "start it with RAY_AUTH_MODE=token on all nodes: docs/security.md"
        return Check(name, WARN, f"the Ray at {address} takes code from whoever reaches it: it has no token", advice)
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Check(name, OK, "in RAY_AUTH_TOKEN")
    return Check(name, OK, "none yet: a sweep makes one" if mode is None else f"{file}, read by its owner alone")


def check_page() -> Check:
    """Whether a page of `balltrain serve` is open to other machines."""
    from balltrain.serving.security import is_loopback
    from balltrain.serving.server import served_pages

    pages = served_pages()
    if not pages:
        return Check("live page", OK, "none is served")
    named = ", ".join(f"{host}:{port}" for host, port in pages)
    if all(is_loopback(host) for host, _ in pages):
        return Check("live page", OK, f"{named}, for this machine alone")
    advice = "leave out --host, and reach it by ssh -L 8765:127.0.0.1:8765 HOST: docs/security.md"
    return Check("live page", WARN, f"{named}: other machines reach it, and what is sent can be read", advice)


def check_wandb() -> Check:
    """Its version, and whether there is a key; asks no server."""
    from balltrain.tracking.wandb import has_key
    from balltrain.tracking.wandb_environment import told_mode

    try:
        found = version("wandb")
    except PackageNotFoundError:
        return Check("W&B", WARN, "is not installed", "pip install wandb, or use --wandb off")
    told = told_mode()
    if told is not None and told[0] != "online":
        what = {"off": "nothing is written for it", "offline": "runs stay on this machine"}[told[0]]
        return Check("W&B", OK, f"{found}, {told[1]}: {what}")
    if has_key():
        return Check("W&B", OK, f"{found}, logged in: runs go online")
    return Check("W&B", OK, f"{found}, no key: runs stay on this machine until `wandb login` and `wandb sync`")


def _ray_address() -> tuple[str | None, str]:
    """An address and where it is from. Ray writes the file at `ray start`, and at its end removes it."""
    if address := os.environ.get("RAY_ADDRESS"):
        if address == "local":
            return None, ""
        if address != "auto":
            return address.removeprefix("ray://"), "RAY_ADDRESS"
    file = Path(os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform != "win32" else tempfile.gettempdir()))
    file = file / "ray" / "ray_current_cluster"
    try:
        return file.read_text().strip() or None, str(file)
    except OSError:
        return None, ""


def _dashboard(address: str) -> str | None:
    """host:port of a cluster's dashboard, as the cluster itself has it on record."""
    from balltrain.execution.joining import token_file
    from balltrain.execution.ray_internals import dashboard_of

    environment = dict(os.environ)
    if os.environ.get("RAY_AUTH_TOKEN") or token_file().is_file():
        environment.setdefault("RAY_AUTH_MODE", "token")
    return dashboard_of(address, environment, 2 * TIMEOUT_S)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
