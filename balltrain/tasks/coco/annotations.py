"""COCO's annotation files, read and checked: https://cocodataset.org/#format-data.

Everything that is wrong with a file is a BalltrainError that names it and the entry.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from balltrain.errors import BalltrainError, UsageError
from balltrain.pictures import size_of
from balltrain.tasks.coco.layout import IMAGES_ALONE, WITH_LABELS, Pictures, split_name
from balltrain.tasks.coco.values import area_of, as_number, as_whole, box_of, crowd_of, is_missing, whole_number
from balltrain.vision.files import read_file

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


def read_annotations(files: Sequence[Path], source: Path, chosen: Sequence[str] | None) -> list[AnnotationFile]:
    """Each of the annotation files of a source with all its images, in its own order, and the annotations of the
    chosen categories (all where None).

    A box that reaches beyond its image is clipped for training; one without extent stays for the figures and is
    not trained. A category that is but the root of others, and no annotation's, is left out. Raises BalltrainError
    where a file is not COCO's, an entry names what is not there, a box is of negative size or lies outside its image;
    UsageError where a chosen category is unknown.
    """
    contents = {path: _read_json(path) for path in files}
    unused = _unused_roots(contents)
    return [_read_file(path, content, source, chosen, unused) for path, content in contents.items()]


def _read_file(
    path: Path, content: dict[str, Any], source: Path, chosen: Sequence[str] | None, unused: set[int]
) -> AnnotationFile:
    all_categories = _categories(path, content["categories"])
    categories = [category for category in all_categories if category["id"] not in unused]
    _check_names_differ(path, categories)
    chosen_categories = _choose(path, categories, chosen)
    label_of = {category["id"]: label for label, category in enumerate(chosen_categories)}
    known = {category["id"] for category in all_categories}
    images = _images(path, content["images"], source)
    seen: set[int] = set()
    clipped, empty = [], []
    for entry in content["annotations"]:
        number, image_id, category_id = (whole_number(path, entry, key) for key in ("id", "image_id", "category_id"))
        where = f"{path}: annotation {number}"
        if number in seen:
            raise BalltrainError(f"{path}: the annotation id {number} is there twice; ids must differ")
        seen.add(number)
        if image_id not in images:
            raise BalltrainError(f"{where} is of image {image_id}, which is not in the file")
        if category_id not in known:
            raise BalltrainError(f"{where} is of category {category_id}, which is not in the file")
        if category_id not in label_of:
            continue
        image = images[image_id]
        annotation = _annotation(where, entry, image, label_of[category_id])
        if min(annotation.clipped[2:]) <= 0:
            empty.append(number)
        elif _reaches_beyond(annotation, image):
            clipped.append(number)
        image.annotations.append(annotation)
    notes = _note(path, clipped, "reach beyond their image: clipped for training")
    notes += _note(path, empty, "have no extent in their image: not trained")
    return AnnotationFile(path, chosen_categories, list(images.values()), notes)


def image_ids(folder: Path) -> dict[str, int]:
    """Ids by file name of the images in a folder as COCO or Roboflow has it, from its file of labels or, of images
    without, of their names; else none.
    """
    above = (folder.parent, folder.parent.parent)
    kinds = (WITH_LABELS, IMAGES_ALONE)
    of_coco = (root / "annotations" / f"{kind}{folder.name}.json" for root in above for kind in kinds)
    for file in (*of_coco, folder / "_annotations.coco.json"):
        if file.is_file():
            return {image.path.name: image.id for image in read_images(file, folder)}
    return {}


def read_images(path: Path, image_folder: Path) -> list[ImageEntry]:
    """The images that a file names, with labels or without. Raises BalltrainError where it is not COCO's."""
    images = []
    for entry in _read_json(path, ("images",))["images"]:
        number = whole_number(path, entry, "id", "an image")
        name = PurePosixPath(_file_name(path, entry, f"image {number}").replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise BalltrainError(f"{path}: image {number} has the file_name '{name}', which lies outside its folder")
        images.append(_image(path, number, entry, image_folder / name))
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
    exact: bool = False,
    where: str = "in the split that is evaluated",
) -> list[Any]:
    """COCO's results, a list of image_id, category_id, bbox (x, y, width, height) and score.

    With `some` those of other categories are left out, else refused; with `exact` numbers that are given as text are
    refused, as others refuse them. None for ids is any; `where` says in an error where those of images are. Raises
    BalltrainError naming the entry that is wrong.
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
        if exact:
            _check_plain(which, entry)
        image_id, category_id = (
            whole_number(path, entry, key, f"result {number}") for key in ("image_id", "category_id")
        )
        if known_images is not None and image_id not in known_images:
            raise BalltrainError(f"{which} is of image {image_id}, which is not {where}")
        if known_categories is not None and category_id not in known_categories:
            if some:
                continue
            raise BalltrainError(f"{which} is of category {category_id}, which the data does not have")
        score = as_number(entry.get("score"))
        if score is None:
            raise BalltrainError(f"{which} has the score {entry.get('score')!r}, but it must be a number")
        box = box_of(which, entry.get("bbox"))
        if min(box[2:]) < 0:
            raise BalltrainError(f"{which} has a box of negative size {list(box)}")
        results.append({"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score})
    return results


def _check_plain(which: str, entry: Mapping[str, Any]) -> None:
    for key in ("image_id", "category_id"):
        if key in entry and type(entry[key]) is not int:
            raise BalltrainError(f"{which} has the {key} {entry[key]!r}, but it must be a whole number")
    box = entry.get("bbox")
    for key, value in [("score", entry.get("score")), *(("bbox", x) for x in (box if isinstance(box, list) else ()))]:
        if isinstance(value, str):
            raise BalltrainError(f"{which} has a {key} with the text {value!r}, but it must be a number")


def _read_json(path: Path, keys: Sequence[str] = ("images", "annotations", "categories")) -> dict[str, Any]:
    content: Any = _load(path)
    for key in keys:
        if isinstance(content, dict) and key in content and content[key] is None:
            content[key] = []
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


def _unused_roots(contents: Mapping[Path, dict[str, Any]]) -> set[int]:
    """Ids of categories that no annotation uses and that are no classes: Roboflow's, which is above all others and
    may have the name of one, and those that are there twice.
    """
    used = {as_whole(entry.get("category_id")) for content in contents.values() for entry in content["annotations"]}
    roots: set[int] = set()
    for path, content in contents.items():
        categories = _categories(path, content["categories"])
        for category in categories:
            number, name = category["id"], category["name"]
            others = [other for other in categories if other["id"] != number]
            is_above = bool(others) and all(other["supercategory"] == name for other in others)
            alike = [other["id"] for other in others if other["name"] == name]
            is_again = any(other in used or other > number for other in alike)
            if number not in used and (is_above or is_again):
                roots.add(number)
    return roots


def _categories(path: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    categories = []
    for entry in entries:
        number = whole_number(path, entry, "id", "a category")
        name = entry.get("name")
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str):
            raise BalltrainError(f"{path}: category {number} has no name")
        above = entry.get("supercategory")
        categories.append({"id": number, "name": _composed(name), "supercategory": _composed(str(above))})
    ids = [category["id"] for category in categories]
    if twice := [value for value in ids if ids.count(value) > 1]:
        raise BalltrainError(f"{path}: the category id {twice[0]!r} is there twice; they must differ")
    if not categories:
        raise BalltrainError(f"{path}: has no categories")
    return sorted(categories, key=lambda category: category["id"])


def _check_names_differ(path: Path, categories: list[dict[str, Any]]) -> None:
    id_of: dict[str, int] = {}
    for category in categories:
        name, number = category["name"], category["id"]
        if name in id_of:
            raise BalltrainError(
                f"{path}: the category name {name!r} is there twice, with annotations of both ids, {id_of[name]} and "
                f"{number}; rename one, or give its annotations the other's id"
            )
        id_of[name] = number


def _choose(path: Path, categories: list[dict[str, Any]], chosen: Sequence[str] | None) -> list[dict[str, Any]]:
    facts = [{"id": category["id"], "name": category["name"]} for category in categories]
    if chosen is None:
        return facts
    names = _named(path, [category["name"] for category in facts], list(chosen))
    return [category for category in facts if category["name"] in names]


def _named(path: Path, known: list[str], chosen: list[str]) -> set[str]:
    """The categories that were chosen. Pieces of a list that was split at commas are put together where a name has
    commas itself.
    """
    name_of = {_normal(name): name for name in known}
    found: set[str] = set()
    start = 0
    while start < len(chosen):
        ends = [start + 1, *range(len(chosen), start + 1, -1)]
        matching = [end for end in ends if _normal(",".join(chosen[start:end])) in name_of]
        if not matching:
            name = chosen[start]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known[:10])}{' …' * (len(known) > 10)}"
            raise UsageError(f"--data categories: {path.name} has no category {name!r}: {hint}")
        found.add(name_of[_normal(",".join(chosen[start : matching[0]]))])
        start = matching[0]
    return found


def _composed(name: str) -> str:
    """In one of Unicode's forms: a name that was typed on another system is the same name."""
    return unicodedata.normalize("NFC", name)


def _normal(name: str) -> str:
    return re.sub(r"\s*,\s*", ",", _composed(unquote(name))).strip()


def _images(path: Path, entries: list[dict[str, Any]], source: Path) -> dict[int, ImageEntry]:
    """By id. Raises BalltrainError where the pictures are not to be found."""
    numbers = [whole_number(path, entry, "id", "an image") for entry in entries]
    names = [_file_name(path, entry, f"image {number}") for entry, number in zip(entries, numbers, strict=True)]
    pictures = Pictures(path, source, names)
    images: dict[int, ImageEntry] = {}
    num_missing = 0
    name_of: dict[Path, str] = {}
    for number, entry, name in zip(numbers, entries, names, strict=True):
        if number in images:
            raise BalltrainError(f"{path}: the image id {number} is there twice; ids must differ")
        found = pictures.find(name)
        num_missing += found is None
        if found is None and ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise BalltrainError(f"{path}: image {number} has the file_name {name!r}, which lies outside its folder")
        place = found or pictures.expected(name)
        if name_of.setdefault(place, name) != name:
            raise BalltrainError(f"{path}: {name!r} and {name_of[place]!r} are both taken for {place}; rename them")
        images[number] = _image(path, number, entry, place)
    if images and num_missing == len(images):
        raise BalltrainError(
            f"{path}: none of its images is there, such as {names[0]}; put their folder at "
            f"{path.parent.parent / split_name(path)}, or the images beside the file"
        )
    return images


def _image(path: Path, number: int, entry: Mapping[str, Any], place: Path) -> ImageEntry:
    if is_missing(entry.get("width")) or is_missing(entry.get("height")):
        width, height = size_of(read_file(place), place)
    else:
        width, height = (whole_number(path, entry, key, f"image {number}") for key in ("width", "height"))
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise BalltrainError(f"{path}: image {number} is {width} x {height} px; correct it")
    return ImageEntry(number, place, width, height)


def _file_name(path: Path, entry: Mapping[str, Any], of: str) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name:
        raise BalltrainError(f"{path}: {of} has no file_name")
    return name


def _annotation(where: str, entry: Mapping[str, Any], image: ImageEntry, label: int) -> Annotation:
    box = box_of(where, entry.get("bbox"))
    x, y, width, height = box
    if width < 0 or height < 0:
        raise BalltrainError(f"{where} has a box of negative size {list(box)}; correct it")
    if x > image.width or y > image.height or x + width < 0 or y + height < 0:
        raise BalltrainError(
            f"{where} has the box {list(box)} outside its image {image.id} of {image.width} x {image.height} px; "
            "correct or remove it"
        )
    left, top = max(0.0, x), max(0.0, y)
    inside = (left, top, min(image.width, x + width) - left, min(image.height, y + height) - top)
    return Annotation(
        label, box, inside, area_of(where, entry.get("area"), box), crowd_of(where, entry.get("iscrowd"))
    )


def _reaches_beyond(annotation: Annotation, image: ImageEntry) -> bool:
    x, y, width, height = annotation.box
    return x < 0 or y < 0 or x + width > image.width or y + height > image.height


def _note(path: Path, numbers: list[int], what: str) -> list[str]:
    if not numbers:
        return []
    named = ", ".join(str(number) for number in numbers[:NUM_NAMED]) + " …" * (len(numbers) > NUM_NAMED)
    return [f"{path.name}: {len(numbers)} boxes {what}; annotations {named}"]
