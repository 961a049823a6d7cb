"""COCO's annotation files, read and checked: https://cocodataset.org/#format-data.

Everything that is wrong with a file is a BalltrainError that names it and the entry.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from balltrain.errors import BalltrainError, UsageError

MAX_ID = 2**63 - 1
MAX_SIDE = 1_000_000  # pixels of an image
NUM_NAMED = 5  # of the annotations that a note is about


@dataclass(frozen=True)
class Annotation:
    """`box` is x, y, width, height in pixels of the image, as in the file; `clipped` lies within the image."""

    label: int  # place of the category among those chosen
    box: tuple[float, float, float, float]
    clipped: tuple[float, float, float, float]
    area: float  # of the object's mask where the file has one
    crowd: bool


@dataclass
class ImageEntry:
    id: int
    path: Path
    width: int
    height: int
    annotations: list[Annotation] = field(default_factory=list)


@dataclass(frozen=True)
class AnnotationFile:
    """`categories`: id and name of those chosen, by rising id. `notes`: what was done to annotations."""

    path: Path
    categories: list[dict[str, Any]]
    images: list[ImageEntry]
    notes: list[str]


def read_annotations(path: Path, image_folder: Path, chosen: Sequence[str] | None) -> AnnotationFile:
    """All images of a file, by its own order, with the annotations of the chosen categories (all where None).

    A box that reaches beyond its image is clipped for training; one without extent stays for the figures and is
    not trained. Raises BalltrainError where the file is not COCO's, an entry names what is not there, a box is of
    negative size or lies outside its image; UsageError where a chosen category is unknown.
    """
    content = _read_json(path)
    categories = _categories(path, content["categories"])
    chosen_categories = _choose(path, categories, chosen)
    label_of = {category["id"]: label for label, category in enumerate(chosen_categories)}
    known = {category["id"] for category in categories}
    images: dict[int, ImageEntry] = {}
    for entry in content["images"]:
        image = _image(path, entry, image_folder)
        if image.id in images:
            raise BalltrainError(f"{path}: the image id {image.id} is there twice; ids must differ")
        images[image.id] = image
    seen: set[int] = set()
    clipped, empty = [], []
    for entry in content["annotations"]:
        number, image_id, category_id = (_integer(path, entry, key) for key in ("id", "image_id", "category_id"))
        if number in seen:
            raise BalltrainError(f"{path}: the annotation id {number} is there twice; ids must differ")
        seen.add(number)
        if image_id not in images:
            raise BalltrainError(f"{path}: annotation {number} is of image {image_id}, which is not in the file")
        if category_id not in known:
            raise BalltrainError(
                f"{path}: annotation {number} is of category {category_id}, which is not in the file"
            )
        if category_id not in label_of:
            continue
        image = images[image_id]
        box = _box(f"{path}: annotation {number}", entry.get("bbox"))
        x, y, width, height = box
        if width < 0 or height < 0:
            raise BalltrainError(f"{path}: annotation {number} has a box of negative size {list(box)}; correct it")
        if x > image.width or y > image.height or x + width < 0 or y + height < 0:
            raise BalltrainError(
                f"{path}: annotation {number} has the box {list(box)} outside its image {image_id} of "
                f"{image.width} x {image.height} px; correct or remove it"
            )
        crowd = entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise BalltrainError(f"{path}: annotation {number} has iscrowd {crowd!r}, but it must be 0 or 1")
        left, top = max(0.0, x), max(0.0, y)
        inside = (left, top, min(image.width, x + width) - left, min(image.height, y + height) - top)
        if min(inside[2:]) <= 0:
            empty.append(number)
        elif (left, top) != (x, y) or x + width > image.width or y + height > image.height:
            clipped.append(number)
        image.annotations.append(
            Annotation(label_of[category_id], box, inside, _area(path, number, entry, box), bool(crowd))
        )
    notes = _note(path, clipped, "reach beyond their image: clipped for training")
    notes += _note(path, empty, "have no extent in their image: not trained")
    return AnnotationFile(path, chosen_categories, list(images.values()), notes)


def image_ids(folder: Path) -> dict[str, int]:
    """Ids by file name of the images in a folder that lies as COCO's do, from its file of labels or, of images
    without, of their names; else none.
    """
    for path in (folder.parent / "annotations", folder.parent.parent / "annotations"):
        for name in (f"instances_{folder.name}", f"image_info_{folder.name}"):
            file = path / f"{name}.json"
            if file.is_file():
                return {image.path.name: image.id for image in read_images(file, folder)}
    return {}


def read_images(path: Path, image_folder: Path) -> list[ImageEntry]:
    """The images that a file names, with labels or without. Raises BalltrainError where it is not COCO's."""
    images = [_image(path, entry, image_folder) for entry in _read_json(path, ("images",))["images"]]
    if len({image.id for image in images}) < len(images):
        twice = Counter(image.id for image in images).most_common(1)[0][0]
        raise BalltrainError(f"{path}: the image id {twice} is there twice; ids must differ")
    return images


def categories_of(path: Path) -> list[dict[str, Any]]:
    """Id and name of a file's categories, none where it has none. Raises BalltrainError where it is not COCO's."""
    content = _read_json(path, ("images",))
    return _categories(path, _read_json(path, ("categories",))["categories"]) if "categories" in content else []


def read_results(
    path: Path,
    image_ids: Iterable[int] | None,
    category_ids: Iterable[int] | None,
    *,
    some: bool,
    where: str = "in the split that is evaluated",
) -> list[Any]:
    """COCO's results, a list of image_id, category_id, bbox (x, y, width, height) and score.

    With `some` those of other categories are left out, else refused. None for ids is any; `where` says in an error
    where those of images are. Raises BalltrainError naming the entry that is wrong.
    """
    known_images = None if image_ids is None else set(image_ids)
    known_categories = None if category_ids is None else set(category_ids)
    content = _load(path)
    if not isinstance(content, list):
        raise BalltrainError(f"{path}: is no list of COCO results; each has image_id, category_id, bbox and score")
    results = []
    for number, entry in enumerate(content, 1):
        which = f"{path}: result {number}"
        if not isinstance(entry, dict):
            raise BalltrainError(f"{which} is no object with image_id, category_id, bbox and score")
        image_id, category_id = (
            _integer(path, entry, key, f"result {number}") for key in ("image_id", "category_id")
        )
        if known_images is not None and image_id not in known_images:
            raise BalltrainError(f"{which} is of image {image_id}, which is not {where}")
        if known_categories is not None and category_id not in known_categories:
            if some:
                continue
            raise BalltrainError(f"{which} is of category {category_id}, which the data does not have")
        score: Any = entry.get("score")
        if not _is_number(score):
            raise BalltrainError(f"{which} has the score {score!r}, but it must be a number")
        box = _box(which, entry.get("bbox"))
        if min(box[2:]) < 0:
            raise BalltrainError(f"{which} has a box of negative size {list(box)}")
        results.append({"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": float(score)})
    return results


def _read_json(path: Path, keys: Sequence[str] = ("images", "annotations", "categories")) -> dict[str, Any]:
    content: Any = _load(path)
    for key in keys:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise BalltrainError(f"{path}: is no COCO annotation file; it has no list of {key}")
        if not all(isinstance(entry, dict) for entry in content[key]):
            raise BalltrainError(f"{path}: is no COCO annotation file; its {key} must be objects")
    found: dict[str, Any] = content
    return found


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BalltrainError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BalltrainError(f"{path}: is not JSON, or is truncated ({error})") from error


def _categories(path: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    categories = []
    for entry in entries:
        number = _integer(path, entry, "id", "a category")
        if not isinstance(entry.get("name"), str):
            raise BalltrainError(f"{path}: category {number} has no name")
        categories.append({"id": number, "name": entry["name"]})
    for key in ("id", "name"):
        values = [category[key] for category in categories]
        if twice := [value for value in values if values.count(value) > 1]:
            raise BalltrainError(f"{path}: the category {key} {twice[0]!r} is there twice; they must differ")
    if not categories:
        raise BalltrainError(f"{path}: has no categories")
    return sorted(categories, key=lambda category: category["id"])


def _choose(path: Path, categories: list[dict[str, Any]], chosen: Sequence[str] | None) -> list[dict[str, Any]]:
    if chosen is None:
        return categories
    names = [category["name"] for category in categories]
    for name in chosen:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:10])}{' …' * (len(names) > 10)}"
            raise UsageError(f"--data categories: {path.name} has no category {name!r}: {hint}")
    return [category for category in categories if category["name"] in chosen]


def _image(path: Path, entry: Mapping[str, Any], folder: Path) -> ImageEntry:
    number = _integer(path, entry, "id", "an image")
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name:
        raise BalltrainError(f"{path}: image {number} has no file_name")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BalltrainError(f"{path}: image {number} has the file_name {name!r}, which lies outside its folder")
    width, height = (_integer(path, entry, key, f"image {number}") for key in ("width", "height"))
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise BalltrainError(f"{path}: image {number} is {width} x {height} px; correct it")
    return ImageEntry(number, folder / name, width, height)


def _integer(path: Path, entry: Mapping[str, Any], key: str, of: str = "an annotation") -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BalltrainError(f"{path}: {of} has the {key} {value!r}, but it must be a whole number")
    if abs(value) > MAX_ID:
        raise BalltrainError(f"{path}: {of} has the {key} {value}, which has more than 64 bits")
    return value


def _box(where: str, value: Any) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(number) for number in value):
        raise BalltrainError(f"{where} has the bbox {value!r}, but it must be four numbers: x, y, width, height")
    x, y, width, height = (float(number) for number in value)
    return x, y, width, height


def _area(path: Path, number: int, entry: Mapping[str, Any], box: tuple[float, float, float, float]) -> float:
    area = entry.get("area", box[2] * box[3])
    if not _is_number(area):
        raise BalltrainError(f"{path}: annotation {number} has the area {area!r}, but it must be a number")
    return float(area)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _note(path: Path, numbers: list[int], what: str) -> list[str]:
    if not numbers:
        return []
    named = ", ".join(str(number) for number in numbers[:NUM_NAMED]) + " …" * (len(numbers) > NUM_NAMED)
    return [f"{path.name}: {len(numbers)} boxes {what}; annotations {named}"]
