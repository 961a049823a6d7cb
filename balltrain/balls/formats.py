"""Read and write the two public formats, mini_balls (images) and mini_balls_seq (sequences).

mini_balls: `img_00000.jpg` (100 x 100) with `p_bb_00000.npy` (9 x 5 float32: presence, x1, y1, x2, y2).
mini_balls_seq: `p_00000.npy` (9 float32) with `seq_bb_00000.npy` (20 x 9 x 4 float32), in a folder or an
archive. Boxes are whole pixels, the last ones inclusive, with zero rows for absent colours. Files of other
names are left alone. Everything that is wrong with a source is a BalltrainError that names the file.
"""

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from balltrain.balls.world import IMAGE_SIZE, NUM_BALLS, NUM_COLORS, NUM_STEPS
from balltrain.errors import BalltrainError
from balltrain.pictures import decode_picture, size_of

_IMAGE_NAME = re.compile(r"img_(\d+)\.jpg")
_SEQUENCE_NAME = re.compile(r"(p|seq_bb)_(\d+)\.npy")
# A sequence's boxes take 3 008 bytes; more than this in one file is not what it says it is.
_MAX_MEMBER_BYTES = 1_000_000
_DAMAGED_ARCHIVE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


def list_images(source: Path) -> list[Path]:
    """The images of a mini_balls folder by number. It holds them, or has one sub-folder that does.

    Raises BalltrainError if `source` is missing, no folder or without images, or if a label is missing.
    """
    folder = _folder_with(_IMAGE_NAME, _existing(source), "img_00000.jpg")
    paths = sorted(_matching(_IMAGE_NAME, folder), key=lambda path: (image_number(path), path.name))
    labels = {path.name for path in folder.iterdir()}
    for path in paths:
        if _label_path(path).name not in labels:
            raise BalltrainError(f"{path}: its label {_label_path(path).name} is missing; add it or remove the image")
    return paths


def load_images(paths: Sequence[Path], images: np.ndarray, presence: np.ndarray, boxes: np.ndarray) -> None:
    """Fill the first len(paths) rows of the given arrays with images and their labels, in place.

    `images`: (N, 100, 100, 3) uint8 RGB. `presence`: (N, 9). `boxes`: (N, 9, 4). Raises BalltrainError for
    an image that is unreadable, truncated or of another size, and for a label that breaks the format.
    """
    for row, path in enumerate(paths):
        images[row] = read_image(path)
        label_path = _label_path(path)
        label = _read_array(_read_bytes(label_path), (NUM_COLORS, 5), label_path)
        _check_presence(label[:, 0], label_path)
        _check_boxes(label[:, 1:], label[:, 0], label_path)
        presence[row] = label[:, 0]
        boxes[row] = label[:, 1:]


def write_images(folder: Path, images: np.ndarray, presence: np.ndarray, boxes: np.ndarray) -> None:
    """Write images and labels as mini_balls into a new or empty folder. Shapes as in `load_images`.

    Images are stored as JPEG of quality 75, as the public ones are, and so change a little.
    """
    make_empty(folder)
    for n, image in enumerate(images):
        Image.fromarray(image).save(folder / f"img_{n:05d}.jpg", quality=75, subsampling="4:2:0")
        label = np.concatenate([presence[n][:, None], boxes[n]], axis=1).astype(np.float32)
        np.save(folder / f"p_bb_{n:05d}.npy", label)


def read_sequences(source: Path, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first `size` sequences by number, or all, of a folder or a tar archive (.tgz, .tar, …).

    Returns presence (N, 9) uint8 with three ones a row, and boxes (N, 20, 9, 4) float32. An archive is read
    in memory, nothing is extracted. Raises BalltrainError if `source` is missing, empty, damaged or holds
    fewer than `size`, or a file of it breaks the format.
    """
    if size is not None and size < 1:
        raise BalltrainError(f"size is {size}, but must be at least 1")
    files: dict[str, dict[int, tuple[str, bytes]]] = {"p": {}, "seq_bb": {}}
    members = _folder_members if _existing(source).is_dir() else _archive_members
    for name, kind, number, content in members(source):
        if number in files[kind]:
            raise BalltrainError(f"{name}: number {number} is there twice; keep one of them")
        files[kind][number] = (name, content)
    numbers = sorted(files["p"] | files["seq_bb"])
    if not numbers:
        raise BalltrainError(f"{source}: holds no sequences; expected p_00000.npy and seq_bb_00000.npy …")
    if size is not None and size > len(numbers):
        raise BalltrainError(f"{source}: holds {len(numbers)} sequences, but {size} were asked for")
    numbers = numbers[:size]
    presence = np.zeros((len(numbers), NUM_COLORS), np.uint8)
    boxes = np.zeros((len(numbers), NUM_STEPS, NUM_COLORS, 4), np.float32)
    for row, number in enumerate(numbers):
        for kind, other in (("p", "seq_bb"), ("seq_bb", "p")):
            if number not in files[kind]:
                raise BalltrainError(
                    f"{files[other][number][0]}: its partner {kind}_{number:05d}.npy is missing; "
                    "add it or remove the file"
                )
        name, content = files["p"][number]
        present = _read_array(content, (NUM_COLORS,), name)
        _check_presence(present, name, NUM_BALLS)
        name, content = files["seq_bb"][number]
        boxes[row] = _read_array(content, boxes.shape[1:], name)
        _check_boxes(boxes[row], present, name)
        presence[row] = present
    return presence, boxes


def read_sequence_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Presence (9,) and boxes (20, 9, 4), or (19, 9, 4) where the last frame is unknown, of one `seq_bb_….npy`.

    Its partner `p_….npy` lies beside it. Raises BalltrainError for what breaks the format.
    """
    if not path.name.startswith("seq_bb_") or path.suffix != ".npy":
        raise BalltrainError(f"{path}: is not named like seq_bb_00000.npy; give the boxes of a sequence")
    partner = path.with_name(path.name.replace("seq_bb_", "p_", 1))
    if not partner.is_file():
        raise BalltrainError(f"{path}: its partner {partner.name} is missing; put it beside this file")
    presence = _read_array(_read_bytes(partner), (NUM_COLORS,), partner)
    _check_presence(presence, partner, NUM_BALLS)
    content = _read_bytes(path)
    try:
        boxes = _read_array(content, (NUM_STEPS - 1, NUM_COLORS, 4), path)
    except BalltrainError:
        boxes = _read_array(content, (NUM_STEPS, NUM_COLORS, 4), path)
    _check_boxes(boxes, presence, path)
    return presence, boxes


def write_sequences(folder: Path, presence: np.ndarray, boxes: np.ndarray) -> None:
    """Write presence (N, 9) and boxes (N, 20, 9, 4) as mini_balls_seq into a new or empty folder."""
    make_empty(folder)
    for n in range(len(presence)):
        np.save(folder / f"p_{n:05d}.npy", presence[n].astype(np.float32))
        np.save(folder / f"seq_bb_{n:05d}.npy", boxes[n].astype(np.float32))


def _existing(source: Path) -> Path:
    if not source.exists():
        raise BalltrainError(f"{source}: there is no such file or folder; check the path")
    return source


def make_empty(folder: Path) -> None:
    """Make the folder. Raises BalltrainError where that cannot be, or something is in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BalltrainError(f"{folder}: cannot make this folder ({error.strerror}); choose another") from error
    if any(folder.iterdir()):
        raise BalltrainError(f"{folder}: the folder is not empty; choose a new one")


def _folder_with(pattern: re.Pattern[str], source: Path, example: str) -> Path:
    """`source`, or its only sub-folder that holds files of the pattern."""
    if not source.is_dir():
        raise BalltrainError(f"{source}: is not a folder; give the folder that holds {example} …")
    if _matching(pattern, source):
        return source
    folders = [path for path in sorted(source.iterdir()) if path.is_dir() and _matching(pattern, path)]
    if not folders:
        raise BalltrainError(f"{source}: neither it nor a folder in it holds {example} …; check the path")
    if len(folders) > 1:
        names = ", ".join(path.name for path in folders)
        raise BalltrainError(f"{source}: several folders in it hold {example} … ({names}); name one of them")
    return folders[0]


def _matching(pattern: re.Pattern[str], folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if pattern.fullmatch(path.name)]


def image_number(image: Path) -> int:
    """12 for img_00012.jpg. Raises BalltrainError for another kind of name."""
    match = _IMAGE_NAME.fullmatch(image.name)
    if match is None:
        raise BalltrainError(f"{image}: is not named like img_00000.jpg; rename it")
    return int(match[1])


def _label_path(image: Path) -> Path:
    return image.with_name(image.name.replace("img_", "p_bb_").replace(".jpg", ".npy"))


def _folder_members(source: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Name, kind ("p" or "seq_bb"), number and content of each sequence file in a folder."""
    for path in _matching(_SEQUENCE_NAME, _folder_with(_SEQUENCE_NAME, source, "p_00000.npy")):
        match = _SEQUENCE_NAME.fullmatch(path.name)
        if match is not None:
            yield str(path), match[1], int(match[2]), _read_bytes(path)


def _archive_members(source: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """The same of an archive, member by member."""
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                match = _sequence_name(member, source)
                file = archive.extractfile(member) if match is not None else None
                if match is not None and file is not None:
                    yield f"{source}: {member.name}", match[1], int(match[2]), file.read()
    except _DAMAGED_ARCHIVE as error:
        raise BalltrainError(f"{source}: is not a tar archive, or is truncated or damaged; fetch it again") from error


def _sequence_name(member: tarfile.TarInfo, source: Path) -> re.Match[str] | None:
    """The parsed name of a sequence file, None for other files. Refuses what no honest archive holds."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise BalltrainError(f"{source}: member {member.name} lies outside; do not trust this archive")
    if not member.isdir() and not member.isfile():
        raise BalltrainError(f"{source}: member {member.name} is a link or device; pack plain files only")
    match = _SEQUENCE_NAME.fullmatch(path.name)
    if match is not None and member.size > _MAX_MEMBER_BYTES:
        raise BalltrainError(
            f"{source}: member {member.name} has {member.size} bytes, too many for a sequence; replace it"
        )
    return match


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BalltrainError(f"{path}: cannot be read ({error.strerror})") from error


def read_image(path: Path) -> np.ndarray:
    """(100, 100, 3) uint8 RGB. Raises BalltrainError for a file that is no image of that size."""
    content = _read_bytes(path)
    try:
        width, height = size_of(content, path)
        if (width, height) == (IMAGE_SIZE, IMAGE_SIZE):  # a large one is not decoded at all
            return decode_picture(content, path)[0]
    except BalltrainError as error:
        raise BalltrainError(f"{path}: is not an image, or is truncated or damaged; replace or remove it") from error
    raise BalltrainError(f"{path}: is {width} x {height} px, but must be {IMAGE_SIZE} x {IMAGE_SIZE}; scale it first")


def _read_array(content: bytes, shape: tuple[int, ...], name: str | Path) -> np.ndarray:
    """A numeric array of that shape without NaN or infinity, as float32."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise BalltrainError(f"{name}: is not a plain .npy array; replace it") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise BalltrainError(f"{name}: is not an array of numbers; replace it")
    if array.shape != shape:
        raise BalltrainError(f"{name}: has shape {array.shape}, but must be {shape}")
    if not np.isfinite(array).all():
        raise BalltrainError(f"{name}: holds NaN or infinity; replace it")
    return array.astype(np.float32)


def _check_presence(presence: np.ndarray, name: str | Path, num_balls: int | None = None) -> None:
    if not np.isin(presence, (0, 1)).all():
        raise BalltrainError(f"{name}: presence is {presence.tolist()}, but must be 0 or 1")
    if num_balls is not None and presence.sum() != num_balls:
        raise BalltrainError(f"{name}: {int(presence.sum())} colours are present, but must be {num_balls}")


def _check_boxes(boxes: np.ndarray, presence: np.ndarray, name: str | Path) -> None:
    """`boxes`: (…, 9, 4). Within the image, corners in order, zero where the colour is absent."""
    wrong = (boxes < 0) | (boxes > IMAGE_SIZE - 1)
    wrong[..., :2] |= boxes[..., :2] > boxes[..., 2:]
    if wrong.any():
        box = boxes[wrong.any(axis=-1)][0].tolist()
        raise BalltrainError(
            f"{name}: the box {box} is not x1 <= x2, y1 <= y2 within 0 … {IMAGE_SIZE - 1}; correct it"
        )
    if boxes[..., presence == 0, :].any():
        raise BalltrainError(f"{name}: a colour that is absent has a box; its row must be zero")
