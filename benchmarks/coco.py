"""Images a second of RetinaNet's training and its peak memory, by depth; and what reading the images costs.

    python benchmarks/coco.py [--source COCO] [--image-size 320] [--batch-size 4] [--batches 4] [--depths 18 34 …]
                              [--bfloat16]

Each depth trains in a process of its own, with the threads that torch takes: in turn a batch as the loop makes them,
read from the decoded arrays, cut, flipped and scaled, and one that is in memory already. The first of each does not
count. Without --source: balls in COCO's format, enlarged.
"""

import argparse
import dataclasses
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from balltrain.data.batches import Batches
from balltrain.data.cache import load_data
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.splits import SPLITS
from balltrain.training.schedules import build_optimizer

CPU = torch.device("cpu")
DEPTHS = (18, 34, 50, 101, 152)


def rate(
    source: str, image_size: int, depth: int, batch_size: int, num_batches: int, bfloat16: bool, data: Path
) -> dict[str, float]:
    """Images a second with and without reading, and the peak of the process's memory in MB."""
    ref = task_ref("coco")
    task = ref.load()
    dataset = load_data(ref, task, DataRequest(source, options={"image_size": image_size}), data)
    hp = resolve(task, {"depth": depth, "batch_size": batch_size})
    model = task.build_model(hp, dataset.facts).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(hp, model)

    def seconds(batches: Iterator[dict[str, torch.Tensor]]) -> float:
        """Of a step with the next batch."""
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = task.loss(model, next(batches), hp)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start

    # of one shape, the most frequent: batches of another would be of other work
    rows = dataset.splits["train"]
    bucket = dataset.arrays["bucket"][rows]
    alike = rows[bucket == np.bincount(bucket).argmax()]
    if len(alike) < (num_batches + 1) * batch_size:
        raise SystemExit(f"{source} has too few images of one shape for {num_batches + 1} batches of {batch_size}")
    same_shape = dataclasses.replace(dataset, splits={**dataset.splits, "train": alike})
    batches = Batches(same_shape, "train", batch_size, CPU, drop_last=True)
    first, _ = next(batches.shuffled(0, 1))
    repeated = task.augment(first, hp)
    shuffled = (task.augment(batch, hp) for batch, _ in batches.shuffled(0, 2))
    # in turn: what else the machine does is spread over both
    times = [(seconds(shuffled), seconds(itertools.repeat(repeated))) for _ in range(num_batches + 1)]
    with_reading, without = (num_batches * batch_size / sum(part) for part in zip(*times[1:], strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images_a_second": with_reading, "repeated": without, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--bfloat16", action="store_true", help="as --set precision=bfloat16")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the process of a depth: its folder of data
    options = parser.parse_args()
    if options.one is not None:
        sizes = (options.image_size, options.depths[0], options.batch_size, options.batches)
        print(json.dumps(rate(options.source, *sizes, options.bfloat16, options.one)))
        return
    with tempfile.TemporaryDirectory() as name:
        source = options.source or _balls(Path(name))
        print(f"{'depth':>5} {'images/s':>9} {'repeated':>9} {'part':>6} {'peak MB':>8}")
        for depth in options.depths:
            command = [sys.executable, __file__, "--one", name, "--source", source, "--depths", str(depth)]
            command += ["--bfloat16"] * options.bfloat16
            for option in ("image_size", "batch_size", "batches"):
                command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            part = found["images_a_second"] / found["repeated"]
            print(
                f"{depth:>5} {found['images_a_second']:>9.2f} {found['repeated']:>9.2f} {part:>6.3f} "
                f"{found['peak_mb']:>8.0f}"
            )


def _balls(folder: Path) -> str:
    ref = task_ref("detect")
    dataset = load_data(ref, ref.load(), DataRequest(size=120), folder)
    splits = {name: dataset.splits[name] for name in SPLITS}
    ref.load().export_as("coco", folder / "balls", dataset.arrays, splits)
    return str(folder / "balls")


if __name__ == "__main__":
    main()
