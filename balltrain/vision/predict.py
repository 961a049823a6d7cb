"""Pictures to predict from, in files, folders and archives; and what was predicted, drawn beside them."""

from __future__ import annotations

import csv
import logging
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from balltrain.errors import BalltrainError
from balltrain.pictures import BadPicture, decode_picture, why_no_picture
from balltrain.vision.files import NUM_NAMED, Pictures, open_pictures, read_file

log = logging.getLogger(__name__)

BATCH = 256
MAX_DRAWN = 200  # of the pictures of one folder or archive, which may hold ten thousands
NUM_TOP = 5  # classes beside a picture
PICTURE_PX = 320  # height of a drawing
PANEL_PX = 280
FONT_PX = 16
RIGHT_RGB, WRONG_RGB = (43, 138, 62), (179, 38, 30)


@dataclass(frozen=True)
class Input:
    """A picture to predict from. `number` is that of a file N.jpg where its folder or archive holds only such."""

    name: str
    stem: str
    read: Callable[[], bytes]
    number: int | None = None
    drawn: bool = True


def list_inputs(paths: Sequence[Path]) -> list[Input]:
    """The files of `paths` and the pictures in their folders and zip archives, by number.

    Raises BalltrainError where one holds no picture, or where a number is there twice.
    """
    found: list[Input] = []
    for path in paths:
        if path.is_file() and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
            found.append(Input(str(path), path.stem, partial(read_file, path)))
            continue
        pictures = open_pictures(path)
        members = _pictures_among(pictures)
        numbered = all(member.stem.isascii() and member.stem.isdecimal() for member in members)
        for place, member in enumerate(members):
            number = int(member.stem) if numbered else None
            read = partial(pictures.read, member)
            found.append(Input(pictures.name(member), member.stem, read, number, place < MAX_DRAWN))
    counts = Counter(each.number for each in found if each.number is not None)
    twice = [number for number, count in counts.items() if count > 1]
    if twice:
        names = " and ".join(each.name for each in found if each.number == twice[0])
        raise BalltrainError(f"{names} have the same number; predict from one of them")
    return found


def _pictures_among(pictures: Pictures) -> list[PurePosixPath]:
    """Those that Pillow knows, whatever they are called; the others are counted and named.

    Raises BalltrainError where there are none.
    """
    reasons: dict[PurePosixPath, str] = {}
    for member in pictures.paths:
        try:
            reason = why_no_picture(pictures.read(member))
        except BadPicture as error:
            reason = error.reason
        if reason is not None:
            reasons[member] = reason
    members = [member for member in pictures.paths if member not in reasons]
    named = ", ".join(f"{member} ({reason})" for member, reason in list(reasons.items())[:NUM_NAMED])
    if not members:
        hint = f": {named}" if named else ""
        raise BalltrainError(f"{pictures.source} holds no pictures that can be read{hint}")
    if reasons:
        more = f" and {len(reasons) - NUM_NAMED} more" if len(reasons) > NUM_NAMED else ""
        log.warning(
            f"{len(reasons)} of {len(pictures.paths)} files of {pictures.source} are left out, as they are no "
            f"pictures: {named}{more}"
        )
    return members


def predict_pictures(
    inputs: Sequence[Input], size: int, keeps_shape: bool, predict: Callable[[Tensor], Tensor]
) -> Tensor:
    """(inputs, …), what `predict` says of batches (n, height, width, 3) uint8.

    Pictures are squashed to `size` x `size`, or, keeping their shape, scaled such that the shorter side is `size`;
    those whose longer side is `size` stay as they are.
    """
    outputs: dict[int, Tensor] = {}
    for rows, images in _batches(inputs, size, keeps_shape):
        outputs.update(zip(rows, predict(torch.from_numpy(images)), strict=True))
    return torch.stack([outputs[row] for row in range(len(inputs))])


def draw_classes(
    inputs: Sequence[Input], probabilities: Tensor, votes: Tensor | None, classes: Sequence[str], out: Path
) -> list[dict[str, Any]]:
    """A PNG a drawn input under `out`, with the likeliest classes beside it; returns what was found, as JSON.

    A picture in a folder that is called as a class is one of it. `probabilities`: (inputs, classes). `votes`:
    (inputs, members), the class that each of several models chose.
    """
    results = []
    for row, (each, picture) in enumerate(zip(inputs, picture_files(inputs, out), strict=True)):
        top = probabilities[row].topk(min(NUM_TOP, len(classes)))
        likeliest = [(int(number), float(value)) for value, number in zip(top.values, top.indices, strict=True)]
        found: dict[str, Any] = {"input": each.name}
        if each.number is not None:
            found["id"] = each.number
        truth = _truth(each.name, classes)
        if truth is not None:
            found["truth"] = truth
        if picture is not None:
            pixels, _ = decode_picture(each.read(), each.name)
            draw_one(pixels, [(classes[number], value) for number, value in likeliest], truth).save(picture)
            found["picture"] = str(picture)
        found |= {"label": likeliest[0][0], "class": classes[likeliest[0][0]]}
        found["top"] = [{"class": classes[number], "probability": round(value, 4)} for number, value in likeliest]
        if votes is not None:
            found["votes"] = [classes[int(number)] for number in votes[row]]
        results.append(found)
    return results


def _truth(name: str, classes: Sequence[str]) -> str | None:
    """The class that the folder of a file, or of an archive's member, is called after."""
    folder = PurePosixPath(name.rpartition(": ")[2].replace("\\", "/")).parent.name
    return folder if folder in classes else None


def picture_files(inputs: Sequence[Input], out: Path) -> list[Path | None]:
    """Where the drawing of each input goes, None for those that have none. No two are the same.

    Raises BalltrainError where an input would be overwritten.
    """
    used: Counter[str] = Counter()
    files: list[Path | None] = []
    for each in inputs:
        if not each.drawn:
            files.append(None)
            continue
        used[each.stem] += 1
        name = each.stem if used[each.stem] == 1 else f"{each.stem}-{used[each.stem]}"
        files.append(out / f"{name}.png")
    taken = {Path(each.name).resolve() for each in inputs}
    for file in files:
        if file is not None and file.resolve() in taken:
            raise BalltrainError(f"{file} is an input, and would be overwritten: choose another --out")
    return files


def draw_one(pixels: np.ndarray, top: Sequence[tuple[str, float]], truth: str | None = None) -> Image.Image:
    """The picture, enlarged or made smaller, and bars of the classes and probabilities of `top` on its right.

    Below them is the `truth`, where it is known: green where it is the likeliest.
    """
    picture = Image.fromarray(pixels)
    longer = max(picture.size)
    if longer <= PICTURE_PX:
        zoom = PICTURE_PX // longer
        picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    else:
        picture.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    drawing = Image.new("RGB", (PICTURE_PX + PANEL_PX, PICTURE_PX), "white")
    drawing.paste(picture, ((PICTURE_PX - picture.width) // 2, (PICTURE_PX - picture.height) // 2))
    draw, font = ImageDraw.Draw(drawing), ImageFont.load_default(FONT_PX)
    left, right = PICTURE_PX + 16, PICTURE_PX + PANEL_PX - 16
    for place, (name, probability) in enumerate(top):
        y = 16 + 3.5 * FONT_PX * place
        percent = f"{probability:.1%}"
        draw.text((left, y), name, fill="black", font=font)
        draw.text((right - draw.textlength(percent, font), y), percent, fill="black", font=font)
        y += 1.5 * FONT_PX
        draw.rectangle([left, y, right, y + 12], fill="#e4e7eb")
        if (width := round((right - left) * probability)) > 0:
            draw.rectangle([left, y, left + width, y + 12], fill="#0b62c4")
    if truth is not None:
        color = RIGHT_RGB if truth == top[0][0] else WRONG_RGB
        draw.text((left, PICTURE_PX - 1.75 * FONT_PX), f"truth: {truth}", fill=color, font=font)
    return drawing


def write_submission(predictions: Sequence[dict[str, Any]], file: Path) -> str:
    """`id,label` of the predictions that have a number, by number; says which numbers from 1 on have none."""
    labels = {found["id"]: found["label"] for found in predictions if "id" in found}
    ids = sorted(labels)
    with open(file, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "label"])
        writer.writerows([number, labels[number]] for number in ids)
    missing = [number for number in range(1, ids[-1]) if number not in labels]
    if not missing:
        return f"submission of {len(ids)} pictures"
    some = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
    return f"submission of {len(ids)} pictures, without {len(missing)} up to {ids[-1]} that are not there ({some})"


def _batches(inputs: Sequence[Input], size: int, keeps_shape: bool) -> Iterator[tuple[list[int], np.ndarray]]:
    """Rows and images (n, height, width, 3) uint8, each batch of one shape."""
    waiting: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}
    for row, each in enumerate(inputs):
        content = each.read()
        if keeps_shape:
            height, width = decode_picture(content, each.name)[0].shape[:2]
            # of the data's scale already: enlarged, a network recognised fewer of them (docs/log.md, 2026-11-27)
            scale = 1 if max(height, width) == size else size / min(height, width)
            wanted = round(width * scale), round(height * scale)
        else:
            wanted = size, size
        batch = waiting.setdefault(wanted, [])
        batch.append((row, decode_picture(content, each.name, wanted)[0]))
        if len(batch) == BATCH:
            yield [row for row, _ in batch], np.stack([image for _, image in batch])
            del waiting[wanted]
    for batch in waiting.values():
        yield [row for row, _ in batch], np.stack([image for _, image in batch])
