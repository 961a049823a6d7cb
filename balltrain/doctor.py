"""`balltrain doctor`: what this machine has, what is wrong with it, and what to do. Starts nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from balltrain.execution import machine

if TYPE_CHECKING:
    from rich.console import Console

OK, WARN, FAIL = "ok", "warn", "fail"
PYTHON_FROM, PYTHON_BEFORE = (3, 11), (3, 14)  # as in pyproject.toml
RAY_FROM = (2, 55)
GIB = 2**30
MEMORY_WARN_BYTES = 2 * GIB
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5 * GIB, GIB // 2
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_WARN_BYTES = GIB
TIMEOUT_S = 1.5  # of each question to another process
STYLE = {OK: "green", WARN: "yellow", FAIL: "bold red"}


@dataclass(frozen=True)
class Check:
    """One thing looked at. `advice` says what to do where `status` is not ok, else it is empty."""

    name: str
    status: str  # "ok", "warn" or "fail"
    detail: str
    advice: str = ""


def examine(storage: Path, data_dir: Path) -> list[Check]:
    """All checks, in the order in which they are shown. A check that breaks is a failed one."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", check_python),
        ("torch", check_torch),
        ("CUDA", check_cuda),
        ("CPUs", check_cpus),
        ("memory", check_memory),
        ("shared memory", lambda: check_shared_memory(SHARED_MEMORY)),
        ("open files", check_open_files),
        ("temporary files", check_temporary),
        ("home", lambda: check_home(Path(os.path.expanduser("~")))),
        ("output", check_output),
        ("Ray", check_ray),
        ("Ray cluster", check_cluster),
        ("Ray token", check_token),
        ("W&B", check_wandb),
        ("storage", lambda: check_folder("storage", storage)),
        ("data", lambda: check_folder("data", data_dir)),
    ]
    found: list[Check] = []
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            found.append(Check(name, FAIL, reason, "report this as a bug of balltrain"))
    return found


def print_checks(checks: list[Check], console: Console) -> None:
    """A line a check, its advice below it."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for check in checks:
        table.add_row(f"[{STYLE[check.status]}]{check.status}[/]", check.name, escape(check.detail))
        if check.advice:
            table.add_row("", "", f"[{STYLE[check.status]}]→[/] {escape(check.advice)}")
    console.print(table, highlight=False)


def check_python() -> Check:
    detail = f"{sys.version.split()[0]}, {sys.executable}"
    if PYTHON_FROM <= sys.version_info[:2] < PYTHON_BEFORE:
        return Check("Python", OK, detail)
    return Check("Python", FAIL, detail, "use Python 3.11, 3.12 or 3.13")


def check_torch() -> Check:
    try:
        import torch
    except Exception as error:  # a broken build raises OSError, ImportError or RuntimeError
        reason = " ".join(str(error).split())[:200]
        return Check("torch", FAIL, f"does not import: {reason}", "install it again: pip install 'torch>=2.10'")
    built_for = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
    return Check("torch", OK, f"{torch.__version__}, {built_for}, {torch.get_num_threads()} threads")


def check_cuda() -> Check:
    """The GPUs as the driver lists them, and whether torch can use them."""
    gpus = _nvidia_smi()
    try:
        import torch

        usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
        built = torch.version.cuda is not None
    except Exception:
        usable, built = 0, False
    if not gpus and not usable:
        return Check("CUDA", OK, "none, training on CPUs")
    if not usable:
        advice = (
            f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides them, unset it"
            if "CUDA_VISIBLE_DEVICES" in os.environ
            else "update the driver, or install a torch built for its CUDA version"
            if built
            else "this torch is a CPU build: install one for CUDA, see https://pytorch.org/get-started"
        )
        return Check("CUDA", WARN, f"{len(gpus)} GPU{'s' * (len(gpus) != 1)}, but torch cannot use them", advice)
    if not gpus:
        return Check("CUDA", OK, f"{usable} devices; no nvidia-smi to say more")
    names = [f"{gpu['name']}, {gpu['used']} of {gpu['total']} MiB used" for gpu in gpus]
    driver = f"driver {gpus[0]['driver']}"
    return Check("CUDA", OK, f"{usable} of {len(gpus)} GPUs usable, {driver}: {'; '.join(names)}")


def check_cpus() -> Check:
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = _cgroup_cpus()
    limits = [f"{usable} usable"] if usable < there else []
    limits += [f"container limit {quota:g}"] if quota is not None else []
    return Check("CPUs", OK, ", ".join([str(there), *limits]))


def check_memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = _available_bytes()
    limit = _cgroup_number("memory.max", "memory/memory.limit_in_bytes")
    if limit is not None and limit < total:
        used = _cgroup_number("memory.current", "memory/memory.usage_in_bytes") or 0
        total, available = limit, limit - used
    if available is None:
        return Check("memory", OK, _gib(total))
    detail = f"{_gib(total)}, {_gib(available)} available"
    if available < MEMORY_WARN_BYTES:
        return Check("memory", WARN, detail, "end other programs: Ray and one trial take about 2 GiB")
    return Check("memory", OK, detail)


def check_shared_memory(path: Path) -> Check:
    """Ray keeps its object store there, and falls back to the disk where it is small."""
    if not path.is_dir():
        return Check("shared memory", OK, f"no {path} on this system")
    usage = shutil.disk_usage(path)
    detail = f"{path}: {_gib(usage.total)}, {_gib(usage.free)} free"
    if usage.free < SHARED_MEMORY_WARN_BYTES:
        return Check("shared memory", WARN, detail, "in a container: start it with --shm-size=2g; else empty it")
    return Check("shared memory", OK, detail)


def check_open_files() -> Check:
    """How many files a process may have open: Ray's have dozens, and one for each connection."""
    limits = machine.open_files()
    if limits is None:
        return Check("open files", OK, "no limit is known on this system")
    soft, hard = limits
    detail = f"{soft} a process" if soft < sys.maxsize else "no limit"
    if hard > soft:
        detail += ", raised by a sweep where it needs more"
    if hard < machine.ENOUGH_FILES:
        status = FAIL if hard < machine.FEWEST_FILES else WARN
        return Check("open files", status, detail, f"`ulimit -n {machine.ENOUGH_FILES}` before a large sweep")
    return Check("open files", OK, detail)


def check_temporary() -> Check:
    """Whether sockets of Ray have room in the names of its temporary folder."""
    name, (folder, variable) = "temporary files", machine.ray_folder()
    detail = f"{folder}" + (f" ({variable})" if variable else "")
    if (wrong := machine.wrong_with(folder)) is None:
        return Check(name, OK, detail)
    if variable == "TMPDIR" and machine.wrong_with(machine.SHORT_FOLDER) is None:
        return Check(name, OK, f"{detail} {wrong}; a sweep takes {machine.SHORT_FOLDER} in its place")
    return Check(name, FAIL, f"{detail} {wrong}", "set RAY_TMPDIR to a short folder that can be written")


def check_home(home: Path) -> Check:
    """Whether Ray's token and decoded data can be kept there."""
    if machine.cannot_write(home) is None:
        return Check("home", OK, str(home))
    detail = f"{home} cannot be written: a sweep makes a token for itself alone"
    if "XDG_CACHE_HOME" in os.environ:
        return Check("home", OK, f"{detail}; data is kept in XDG_CACHE_HOME")
    return Check("home", WARN, detail, "give --data-dir, or set XDG_CACHE_HOME to a folder for decoded data")


def check_output() -> Check:
    """Whether standard output has the letters that tables use."""
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding is None:
        return Check("output", OK, "is closed")
    try:
        "·─±é→".encode(encoding)
    except UnicodeEncodeError:
        return Check("output", WARN, f"{encoding}: what it lacks is shown as ?", "set PYTHONIOENCODING=utf-8")
    return Check("output", OK, encoding)


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


def check_folder(name: str, folder: Path) -> Check:
    """Whether a file can be written there, and how much room there is."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    where = str(folder) if there == folder.absolute() else f"{folder} (to be made in {there})"
    option = "--storage" if name == "storage" else "--data-dir"
    if not there.is_dir():
        return Check(name, FAIL, f"{where}: {there} is a file", f"choose another folder by {option}")
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".balltrain-doctor-") as file:
            file.write(b"balltrain doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        advice = f"make it writable, or choose another folder by {option}"
        return Check(name, FAIL, f"{where} cannot be written: {error.strerror or error}", advice)
    free = shutil.disk_usage(there).free
    detail = f"{where}: {_gib(free)} free"
    if free < DISK_WARN_BYTES:
        status = FAIL if free < DISK_FAIL_BYTES else WARN
        return Check(name, status, detail, f"make room, or choose another folder by {option}")
    return Check(name, OK, detail)


def _nvidia_smi() -> list[dict[str, str]]:
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.used,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=2 * TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]
    return [dict(zip(("name", "used", "total", "driver"), row, strict=False)) for row in rows if len(row) == 4]


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


def _available_bytes() -> int | None:
    """Memory that a program can have without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _cgroup_cpus() -> float | None:
    """CPUs that a container may use, of cgroup v2 (`cpu.max` is quota and period in microseconds) or v1."""
    for text in _cgroup_texts("cpu.max"):
        quota, _, period = text.partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    quota_us = _cgroup_number("cpu/cpu.cfs_quota_us")
    period_us = _cgroup_number("cpu/cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def _cgroup_number(*names: str) -> int | None:
    for text in _cgroup_texts(*names):
        return None if text == "max" else int(text)
    return None


def _cgroup_texts(*names: str) -> Iterator[str]:
    for name in names:
        try:
            yield (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB"
