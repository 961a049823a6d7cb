"""Processors, GPUs and memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from balltrain.doctor.check import GIB, OK, TIMEOUT_S, WARN, Check, in_gib

MEMORY_WARN_BYTES = 2 * GIB
BUSY_CORES = 0.8  # in the mean of a minute, from which a part of OpenMP's threads has no core of its own
WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # how OpenMP's threads wait, where a user says it
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_WARN_BYTES = GIB


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
    """How many there are, and whether other programs have them: threads that wait by spinning take their time."""
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = _cgroup_cpus()
    limits = [f"{usable} usable"] if usable < there else []
    limits += [f"container limit {quota:g}"] if quota is not None else []
    detail = ", ".join([str(there), *limits])
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY_CORES or WAITING & set(os.environ):
        return Check("CPUs", OK, detail)
    advice = "if others keep them busy: export OMP_WAIT_POLICY=passive before a training of several threads"
    return Check("CPUs", WARN, f"{detail}, {load:.1f} of them busy in the last minute", advice)


def check_memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = _available_bytes()
    limit = _cgroup_number("memory.max", "memory/memory.limit_in_bytes")
    if limit is not None and limit < total:
        used = _cgroup_number("memory.current", "memory/memory.usage_in_bytes") or 0
        total, available = limit, limit - used
    if available is None:
        return Check("memory", OK, in_gib(total))
    detail = f"{in_gib(total)}, {in_gib(available)} available"
    if available < MEMORY_WARN_BYTES:
        return Check("memory", WARN, detail, "end other programs: Ray and one trial take about 2 GiB")
    return Check("memory", OK, detail)


def check_shared_memory(path: Path) -> Check:
    """Ray keeps its object store there, and falls back to the disk where it is small."""
    if not path.is_dir():
        return Check("shared memory", OK, f"no {path} on this system")
    usage = shutil.disk_usage(path)
    detail = f"{path}: {in_gib(usage.total)}, {in_gib(usage.free)} free"
    if usage.free < SHARED_MEMORY_WARN_BYTES:
        return Check("shared memory", WARN, detail, "in a container: start it with --shm-size=2g; else empty it")
    return Check("shared memory", OK, detail)


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


def _available_bytes() -> int | None:
    """Memory that a program can have without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


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
