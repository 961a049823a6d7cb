"""Pictures a second of a training with medium-low augmentation, against PIL's transforms in a DataLoader.

    python benchmarks/augmentation.py [--pictures 2000] [--widths 16,32] [--source trainset.zip]

The usual loop: an image folder whose JPEG files are opened, flipped, made grey, cropped and resized, or rotated by
Pillow, one by one, in a DataLoader with two workers, as torchvision's transforms do it; the same network, optimiser
and batches. Both count training pictures over the time of a second epoch, without validation. balltrain's loop is run
in the usual loop's float32, and in its own default, bfloat16 where the CPU has it. The network is narrow, for else it
is what both wait for: `--widths 32,64,128,256`.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from balltrain.data.cache import load_data
from balltrain.tasks import task_ref
from balltrain.tasks.base import DataRequest, resolve
from balltrain.training.loop import fit
from balltrain.training.schedules import build_optimizer
from balltrain.vision.augment import augmented
from balltrain.vision.files import list_classes

SIZE = 64


class Files(Dataset):
    """One JPEG file an item, and medium-low augmentation of it."""

    def __init__(self, trainset: Path):
        self.items = [
            (path, label) for label, name in enumerate(("Cat", "Dog")) for path in (trainset / name).iterdir()
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, n: int) -> tuple[torch.Tensor, int]:
        path, label = self.items[n]
        image = Image.open(path).convert("RGB")
        if random.random() < 0.4:
            image = image.convert("L").convert("RGB")
        match random.randrange(3):
            case 0 if random.random() < 0.75:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            case 1:
                area, ratio = random.uniform(0.95, 1), random.uniform(0.95, 1.05)
                width, height = (min(SIZE, SIZE * (area * r) ** 0.5) for r in (ratio, 1 / ratio))
                left, top = random.uniform(0, SIZE - width), random.uniform(0, SIZE - height)
                box = (left, top, left + width, top + height)
                image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box)
            case 2:
                image = image.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255), label


def write_pictures(trainset: Path, count: int, source: Path | None) -> None:
    """As JPEG files: those of `source`, or blurred noise, which takes about as long to decode."""
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    if source is not None:
        list_classes(source, ("Cat", "Dog"), count)[0].decode(images)
    else:
        coarse = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), np.uint8)
        for n in range(count):
            images[n] = np.asarray(Image.fromarray(coarse[n]).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    for n, image in enumerate(images):
        folder = trainset / ("Cat" if n < count - count // 2 else "Dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{n}.jpg", quality=92)


def usual_loop(trainset: Path, hp) -> float:
    """Pictures a second in the second epoch."""
    task = task_ref("catdogs").load()
    torch.manual_seed(0)
    model = task.build_model(hp, {})
    optimizer = build_optimizer(hp, model)
    loader = DataLoader(
        Files(trainset), hp.batch_size, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    for _ in range(2):
        start = time.perf_counter()
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels, label_smoothing=hp.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        seconds = time.perf_counter() - start
    return len(loader) * hp.batch_size / seconds


def our_loop(trainset: Path, folder: Path, hp) -> float:
    """Pictures a second in the second epoch."""
    ref = task_ref("catdogs")
    dataset = load_data(ref, ref.load(), DataRequest(str(trainset)), folder / "data")
    times: list[float] = []

    def on_batch(epoch: int, batch: int, num_batches: int) -> None:
        if batch == num_batches:
            times.append(time.perf_counter())

    def report(row: dict) -> None:
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory(dir=folder) as run:
        cpu = torch.device("cpu")
        fit(ref.load(), hp, dataset, seed=0, folder=Path(run), report=report, device=cpu, on_batch=on_batch)
    _, second_begins, second_ends, _ = times
    return len(dataset.splits["train"]) / (second_ends - second_begins)


def augmentation_alone(batch_size: int, threads: int) -> float:
    """Pictures a second."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (batch_size, SIZE, SIZE, 3), dtype=torch.uint8)
    augmented(images, "medium-low")
    start = time.perf_counter()
    for _ in range(20):
        augmented(images, "medium-low")
    torch.set_num_threads(threads)
    return 20 * batch_size / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--widths", default="16,32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--source", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    widths = [int(width) for width in options.widths.split(",")]
    task = task_ref("catdogs").load()
    same = {"widths": widths, "blocks": 1, "train_px": None, "epochs": 2, "augmentation": "medium-low"}
    hp, as_usual = resolve(task, same), resolve(task, {**same, "precision": "float32"})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "trainset", options.pictures, options.source)
        usual = usual_loop(folder / "trainset", hp)
        ours_float32 = our_loop(folder / "trainset", folder, as_usual)
        ours = our_loop(folder / "trainset", folder, hp)
    alone = augmentation_alone(hp.batch_size, options.threads)
    print(f"PIL in a DataLoader            {usual:.0f} pictures/s")
    print(f"batches on the device, float32 {ours_float32:.0f} pictures/s, ratio {ours_float32 / usual:.2f}")
    print(f"batches on the device          {ours:.0f} pictures/s, ratio {ours / usual:.2f}")
    print(f"augmentation alone             {alone:.0f} pictures/s on one thread")
    figures = {"usual": usual, "ours_float32": ours_float32, "ours": ours, "alone": alone}
    print(json.dumps({**figures, "ratio_float32": ours_float32 / usual, "ratio": ours / usual}))


if __name__ == "__main__":
    main()
