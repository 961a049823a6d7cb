"""Images a second of a sweep of reference detectors, against the usual training loop on the same images.

    python benchmarks/throughput.py [--images 3000] [--batch-size 32]

The usual loop: a Dataset that decodes one JPEG and loads one npy an item, a DataLoader, one model on two threads,
NCHW. The sweep trains two trials at a time, a thread each. Both count training images over the time of whole
epochs; the sweep's time also holds its validation, checkpoints and reports, from its first trial's start to its
last one's end.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from balltrain.data.cache import load_data
from balltrain.execution.resources import Resources
from balltrain.execution.runner import run_sweep
from balltrain.search.plan import make_plan
from balltrain.search.sweep import Sweep
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.tasks.detect.model import build_detector
from balltrain.tasks.detect.task import scaled

REFERENCE = {"model": "reference", "optimizer": "adam", "lr": 6.5e-4}


class Files(Dataset):
    """One JPEG and one label file an item, as in the original course's code."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = np.asarray(Image.open(self.folder / f"img_{n:05d}.jpg"), dtype=np.float32) / 255
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(
            np.load(self.folder / f"p_bb_{n:05d}.npy")
        )


def usual_loop(folder: Path, count: int, batch_size: int) -> float:
    """Images a second over one epoch."""
    torch.set_num_threads(2)
    hp = resolve(task_ref("detect").load(), REFERENCE)
    model = build_detector(hp)
    optimizer = torch.optim.Adam(model.parameters(), lr=hp.lr)
    loader = DataLoader(Files(folder, count), batch_size, shuffle=True, drop_last=True)
    layers = torch.nn.Sequential(model.features, torch.nn.Flatten(), model.head)
    start = time.perf_counter()
    for images, labels in loader:
        outputs = layers(images)
        boxes = outputs[:, 9:].view(-1, 9, 4)
        loss = 0.1 * F.binary_cross_entropy_with_logits(outputs[:, :9], labels[:, :, 0])
        loss = loss + F.mse_loss(boxes, scaled(labels[:, :, 1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return len(loader) * batch_size / (time.perf_counter() - start)


def sweep_of_two(folder: Path, count: int, batch_size: int, epochs: int) -> float:
    """Images a second of both trials together."""
    ref = task_ref("detect")
    budget = {"trials": 2, "epochs": epochs, "searcher": "random", "scheduler": "none"}
    sweep = Sweep("detect", {}, hyperparameters={**REFERENCE, "batch_size": batch_size}, **budget)
    plan = make_plan(sweep, ref, name="throughput", request=DataRequest(size=count))
    resources = Resources(num_gpus=0, cpus_per_trial=1)
    result = run_sweep(plan, folder, resources, data_dir=folder / "data", resume=False)
    trials = result.state.trials.values()
    dataset = load_data(ref, plan.task, plan.request, folder / "data")
    images = sum(trial.epochs for trial in trials) * len(dataset.splits["train"])
    # both trials start in new processes; what a sweep of hundreds pays once is left out
    first_row = max(trial.rows[0]["seconds"] for trial in trials)
    seconds = max(trial.ended_at for trial in trials) - min(trial.started_at for trial in trials)
    startup = seconds - max(sum(row["seconds"] for row in trial.rows) for trial in trials)
    print(f"  sweep: {seconds:.1f} s, {startup:.1f} s of them processes and reports; first epoch {first_row:.1f} s")
    return images / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = task_ref("detect").load()
        dataset = load_data(task_ref("detect"), task, DataRequest(size=options.images), folder / "data")
        task.export(dataset.request, folder / "files", dataset.arrays)
        usual = usual_loop(folder / "files", options.images, options.batch_size)
        ours = sweep_of_two(folder, options.images, options.batch_size, options.epochs)
    print(f"usual loop  {usual:.0f} images/s")
    print(f"sweep       {ours:.0f} images/s, two trials at a time")
    print(f"ratio       {ours / usual:.2f}")
    print(json.dumps({"usual": usual, "sweep": ours, "ratio": ours / usual}))


if __name__ == "__main__":
    main()
