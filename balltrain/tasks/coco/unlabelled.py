"""Images without labels, as COCO's test sets are (`image_info_test….json`), and the form of results for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from balltrain.errors import BalltrainError
from balltrain.tasks.coco.annotations import ImageEntry, categories_of, read_images, read_results
from balltrain.tasks.coco.layout import IMAGES_ALONE, WITH_LABELS, split_name
from balltrain.vision.files import read_file
from balltrain.vision.predict import MAX_DRAWN, Input

MAX_DETECTIONS = 100  # of an image, with the largest scores, that COCO's figures count


def listed_inputs(file: Path) -> tuple[list[Input], list[int]]:
    """The images that a file of COCO's names, to predict from, and their ids. They lie in the folder of its name.

    Raises BalltrainError where the file is none of COCO's, or an image is not there.
    """
    images = read_images(file, _folder_of(file))
    if not images:
        raise BalltrainError(f"{file}: there are no images")
    if missing := [image.path for image in images if not image.path.is_file()]:
        raise BalltrainError(
            f"{missing[0]}: is not there; {len(missing)} of the {len(images)} images that {file} names are missing"
        )
    inputs = [
        Input(str(image.path), image.path.stem, partial(read_file, image.path), drawn=place < MAX_DRAWN)
        for place, image in enumerate(images)
    ]
    return inputs, [image.id for image in images]


def check_form(
    path: Path, source: Path | None, split: str | None, categories: Sequence[dict[str, Any]] | None
) -> dict[str, Any]:
    """What a file of COCO's results holds, where its form is right; no ground truth is needed.

    Images are compared with those that `source` names, a file of COCO's or a folder with `annotations`, of which
    `split` chooses some; categories with `categories`, or else with those of `source`.

    Returns:
        `results`, the numbers of `images` and `categories` they are of, `against`, what they were compared with,
        and `notes` on what is allowed and yet worth a look.

    Raises:
        BalltrainError: The form is wrong, naming the first entry that is; or `source` is none of COCO's.
    """
    files = [] if source is None else _files_of(source, split)
    images = {image.id: image for file in files for image in read_images(file, file.parent)}
    known = list(categories or ()) or [category for file in files for category in categories_of(file)]
    results = read_results(
        path,
        images if files else None,
        {category["id"] for category in known} if known else None,
        some=False,
        exact=True,
        where="among the images of " + ", ".join(file.name for file in files),
    )
    against = [str(file) for file in files]
    return {
        "results": len(results),
        "images": len({entry["image_id"] for entry in results}),
        "categories": len({entry["category_id"] for entry in results}),
        "against": against,
        "notes": _notes(results, images),
    }


def _notes(results: Sequence[dict[str, Any]], images: dict[int, ImageEntry]) -> list[str]:
    notes = []
    counts = Counter(entry["image_id"] for entry in results)
    if many := [number for number, count in counts.items() if count > MAX_DETECTIONS]:
        notes.append(
            f"{len(many)} images have more than {MAX_DETECTIONS} results, of which the figures count those with the "
            f"largest scores; image {many[0]} has {counts[many[0]]}"
        )
    outside = [
        entry
        for entry in results
        if (image := images.get(entry["image_id"])) is not None and _is_outside(entry["bbox"], image)
    ]
    if outside:
        notes.append(
            f"{len(outside)} boxes lie outside their image, as the box {outside[0]['bbox']} of image "
            f"{outside[0]['image_id']}"
        )
    if images and (without := len(images) - len(counts)):
        notes.append(f"{without} of {len(images)} images have no result")
    return notes


def _is_outside(box: Sequence[float], image: ImageEntry) -> bool:
    x, y, width, height = box
    return x >= image.width or y >= image.height or x + width <= 0 or y + height <= 0


def _files_of(source: Path, split: str | None) -> list[Path]:
    """The file itself; of a folder, those in its `annotations`, of the split where one is given."""
    if source.is_file():
        return [source]
    begins = tuple(f"{prefix}{split or ''}" for prefix in (WITH_LABELS, IMAGES_ALONE))
    files = [file for file in sorted((source / "annotations").glob("*.json")) if file.name.startswith(begins)]
    if not files:
        expected = " or ".join(f"{begin}*.json" for begin in begins)
        raise BalltrainError(f"{source}: has no annotations/{expected}; give such a file, or the folder with it")
    return files


def _folder_of(file: Path) -> Path:
    """Where the images lie. Those of image_info_test-dev2017.json are among those of test2017."""
    name = split_name(file)
    roots = [root for up in (file.parent.parent, file.parent) for root in (up, up / "images")]
    names = dict.fromkeys((name, name.replace("-dev", "")))
    for folder in (*(root / each for root in roots for each in names), *roots[1::2]):
        if folder.is_dir():
            return folder
    raise BalltrainError(f"{file}: the folder of its images is missing; it should be {file.parent.parent / name}")
