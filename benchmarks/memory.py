"""Resident memory of a trial that trains on 21 000 images, beyond what torch and Ray themselves take.

    python benchmarks/memory.py [--images 21000]

A trial's process is read at the end of its epochs from /proc, and compared with a process of Ray's that has
imported torch and the training loop, has run a step of a small convolution, and does nothing else.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.search.plan import make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest


def resident_mib(pid: int) -> float:
    """VmRSS, mapped files included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def baseline_mib() -> float:
    """An actor with the same imports, after one step of a small convolution."""
    import ray

    @ray.remote(num_cpus=1)
    class Bare:
        def measure(self) -> float:
            import torch
            from ray import tune  # noqa: F401
            from ray.train.torch import TorchTrainer  # noqa: F401

            torch.set_num_threads(1)
            layer = torch.nn.Conv2d(3, 8, 3)
            optimizer = torch.optim.AdamW(layer.parameters())
            layer(torch.zeros(2, 3, 16, 16)).mean().backward()
            optimizer.step()
            return resident_mib(os.getpid())

    ray.init(include_dashboard=False, log_to_driver=False)
    found = ray.get(Bare.remote().measure.remote())
    ray.shutdown()
    return found


def trial_mib(folder: Path, images: int) -> float:
    """The most that the trial's process held, read every 50 ms."""
    plan = make_plan(
        Sweep("detect", {}, trials=1, epochs=2, searcher="random", scheduler="none"),
        task_ref("detect"),
        name="memory",
        request=DataRequest(size=images),
    )
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if b"ray::Attempts" in (process / "cmdline").read_bytes():
                        peak[0] = max(peak[0], resident_mib(int(process.name)))
                except OSError:
                    continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    run_sweep(plan, folder, Resources(num_gpus=0), data_dir=folder / "data", resume=False)
    stop.set()
    thread.join()
    return peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=21_000)
    options = parser.parse_args()
    bare = baseline_mib()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trial = trial_mib(Path(folder) / "runs", options.images)
    print(f"bare     {bare:.0f} MiB: Ray, torch and one step")
    print(f"trial    {trial:.0f} MiB at most, {options.images} images ({time.monotonic() - start:.0f} s)")
    print(f"beyond   {trial - bare:.0f} MiB")
    print(json.dumps({"bare_mib": bare, "trial_mib": trial, "beyond_mib": trial - bare}))


if __name__ == "__main__":
    main()
