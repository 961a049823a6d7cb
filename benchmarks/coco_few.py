"""Whether RetinaNet learns: the first few training images of a COCO folder, to be found again on these images.

    python benchmarks/coco_few.py COCO [--images 8] [--repeats 10] [--epochs 60] [--image-size 192]

An epoch has each image so often, that it is not mostly evaluation. Prints the figures of `balltrain train`.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from balltrain.cli import main as balltrain

SETTINGS = {
    "batch_size": 8,
    "channels": 64,
    "head_convs": 2,
    "flip": "false",
    "scale_jitter": 0,
    "lr": 1.5e-3,
    "weight_decay": 0,
}


def few(source: Path, count: int, repeats: int, out: Path) -> None:
    """A COCO folder with the first images as validation split, and the same `repeats` times for training."""
    file = next((source / "annotations").glob("instances_train*.json"))
    content = json.loads(file.read_text())
    images = content["images"][:count]
    chosen = {image["id"] for image in images}
    annotations = [entry for entry in content["annotations"] if entry["image_id"] in chosen]
    (out / "annotations").mkdir(parents=True)
    for split, copies in (("train", repeats), ("val", 1)):
        shutil.copytree(
            source / file.stem.removeprefix("instances_"),
            out / split,
            ignore=lambda _, names: set(names) - {image["file_name"] for image in images},
        )
        again = {
            "images": [
                {**image, "id": number * repeats + copy}
                for number, image in enumerate(images)
                for copy in range(copies)
            ],
            "annotations": [],
            "categories": content["categories"],
        }
        number_of = {image["id"]: number for number, image in enumerate(images)}
        for entry in annotations:
            for copy in range(copies):
                image = number_of[entry["image_id"]] * repeats + copy
                again["annotations"].append({**entry, "id": len(again["annotations"]) + 1, "image_id": image})
        (out / "annotations" / f"instances_{split}.json").write_text(json.dumps(again))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--image-size", type=int, default=192)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few(options.source, options.images, options.repeats, folder / "few")
        command = ["train", "coco", "--source", str(folder / "few"), "--image-size", str(options.image_size)]
        command += ["--epochs", str(options.epochs), "--wandb", "off", "--data-dir", str(folder / "data")]
        for key, value in SETTINGS.items():
            command += ["--set", f"{key}={value}"]
        start = time.perf_counter()
        try:
            balltrain([*command, "--out", str(folder / "run")])
        finally:
            print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
