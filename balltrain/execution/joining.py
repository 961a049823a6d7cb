"""How a Ray that was there before is reached, and what it takes to be let in."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from pathlib import Path

from balltrain.errors import BalltrainError, UsageError
from balltrain.execution import ray_internals
from balltrain.execution.ray_internals import ANSWERS, REFUSES, ask

CONNECT_TIMEOUT_S = 5.0


def token_file() -> Path:
    """Where Ray looks for the token when RAY_AUTH_TOKEN does not hold it."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path(os.path.expanduser("~")) / ".ray" / "auth_token")


def make_token() -> None:
    """The token of a Ray of our own, where it is missing: Ray's own would be readable by everyone on this machine."""
    file = token_file()
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    try:
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
    except OSError:
        if _token() is None:  # no home that can be written: a token for this sweep alone
            os.environ["RAY_AUTH_TOKEN"] = uuid.uuid4().hex + uuid.uuid4().hex


def join(address: str) -> str:
    """Authenticate as the Ray at an address wants it; returns its host:port.

    Ray does so by itself only for an address that it found itself, and a process in token mode cannot start actors
    on a cluster without. Raises BalltrainError where no Ray answers, or refuses our token; Ray would wait a minute.
    """
    if address == "auto":
        found = ray_internals.find_local_ray()
        if not found:
            raise BalltrainError("no Ray runs on this machine: start one with `ray start --head`, or give host:port")
        address = found
    check_reachable(address)
    answer = ask(address, None)
    if answer == REFUSES:
        token = _token()
        if ask(address, token) != ANSWERS:
            raise BalltrainError(
                f"the Ray at {address} wants its token, this machine has {'another' if token else 'none'}: copy the "
                f"file ~/.ray/auth_token of its head to {token_file()}, with chmod 600"
            )
    elif answer != ANSWERS:
        raise BalltrainError(f"what answers at {address} is no Ray: {answer}")
    os.environ["RAY_AUTH_MODE"] = "token" if answer == REFUSES else "disabled"
    ray_internals.read_environment_again()  # a sweep file has imported ray, which has read it
    return address


def check_reachable(address: str) -> None:
    """Raises BalltrainError where nothing answers at host:port."""
    if address.startswith("ray://"):
        raise UsageError(f"--address {address}: start the sweep on the cluster, or give its GCS address host:6379")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address is {address!r}, but must be host:port, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise BalltrainError(
            f"no Ray answers at {address} ({error.strerror or error}): start one with `ray start --head`, "
            "or leave --address out"
        ) from error


def _token() -> str | None:
    """The token that this machine has."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    try:
        return token_file().read_text().strip() or None
    except OSError:
        return None
