"""Fetching a public file once: resumed where it broke off, checked by its SHA-256, put in its place by a rename."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from balltrain import durable
from balltrain.errors import BalltrainError
from balltrain.tasks.base import Download

PAUSES_S = (1.0, 3.0, 10.0)  # before each new try; they start anew when something has arrived
TIMEOUT_S = 30.0  # without a byte
CHUNK_BYTES = 1 << 18


class _BrokenOff(Exception):
    """The server said no more before the file was whole."""


# the other OSErrors are those of the disk
_OF_THE_NETWORK = (
    _BrokenOff,
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def downloaded(what: Download, folder: Path, task: str, *, fetch: bool) -> Path:
    """The file in `folder`, fetched first where it is not there and `fetch` allows it.

    Raises BalltrainError where it is not there, cannot be fetched or written, or is another one than that of the
    SHA-256. What arrived of a transfer that broke off stays in `<name>.part`, for the next call.
    """
    path = folder / what.filename
    by_hand = f"--source FILE, or put {what.filename} into {folder}"
    if not path.exists():
        if not fetch:
            size = f"{what.num_bytes / 1e6:.0f} MB"
            raise BalltrainError(
                f"{task} has no data yet: `balltrain data build {task}` downloads {size}; or {by_hand}"
            )
        try:
            durable.make_folder(folder)
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    _fetch(what, path, by_hand)
                    return path
        except OSError as error:
            raise BalltrainError(f"cannot write {path}: {error.strerror or error}") from error
    if sha256_of(path) != what.sha256:
        raise BalltrainError(f"{path} is not the file of {what.url}, its SHA-256 is another: delete it")
    return path


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(what: Download, path: Path, by_hand: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with _progress(what) as advance:
        pauses = iter(PAUSES_S)
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _transfer(what, part, advance)
                break
            except _OF_THE_NETWORK as error:
                if part.exists() and part.stat().st_size > before:
                    pauses = iter(PAUSES_S)
                pause = None if _is_final(error) else next(pauses, None)
                if pause is None:
                    raise BalltrainError(f"cannot download {what.url}: {_reason(error)}; {by_hand}") from error
                time.sleep(pause)
    found = sha256_of(part)
    if found != what.sha256:
        part.unlink()  # to resume it would give the same
        raise BalltrainError(
            f"{what.url} gave a file with the SHA-256 {found}, not {what.sha256}: try again later, or {by_hand}"
        )
    durable.rename(part, path)


def _transfer(what: Download, part: Path, advance: Callable[[int], None]) -> None:
    """Appends the rest of the file to `part`, or starts it anew where the server knows no ranges."""
    start = part.stat().st_size if part.exists() else 0
    if start >= what.num_bytes:  # whole, but not renamed; or of another file, which the checksum tells
        return
    request = urllib.request.Request(what.url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with open(part, "ab" if resumed else "wb") as file:
            _copy(response, file, what.num_bytes, advance)
            if file.tell() < what.num_bytes:
                raise _BrokenOff(f"it broke off after {file.tell()} of {what.num_bytes} bytes")


def _copy(response: http.client.HTTPResponse, file: BinaryIO, most: int, advance: Callable[[int], None]) -> None:
    advance(file.tell())
    while file.tell() <= most and (chunk := response.read1(CHUNK_BYTES)):
        file.write(chunk)
        advance(file.tell())


def _is_final(error: Exception) -> bool:
    """No such file, or no right to it: to ask again is vain."""
    return isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"there is no way to the server ({getattr(error.reason, 'strerror', None) or error.reason})"
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _progress(what: Download) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, told how many bytes there are."""
    if not sys.stderr.isatty():
        yield lambda num_bytes: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn(what.filename), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=what.num_bytes)
        yield lambda num_bytes: progress.update(bar, completed=num_bytes)
