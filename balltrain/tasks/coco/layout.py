"""Where tools put COCO's files: annotation files, and the pictures that they name."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from balltrain.errors import BalltrainError
from balltrain.tasks.splits import SPLITS

# Roboflow's, Label Studio's, FiftyOne's names of the one file in a folder
USUAL_NAMES = ("_annotations.coco.json", "result.json", "labels.json", "annotations.json")
# what comes before the split in the names of files with labels, and of those that name images alone
WITH_LABELS, IMAGES_ALONE = "instances_", "image_info_"
MAX_DEPTH = 2  # folders below the source in which files are looked for
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_LEADS_AWAY = re.compile(r"/|\\|[A-Za-z][A-Za-z0-9+.-]*:|(.*[/\\])?\.\.([/\\]|$)")


def find_files(source: Path) -> list[Path]:
    """The annotation files of a folder as COCO, Roboflow, Label Studio, CVAT or FiftyOne make it; or the one given.

    Raises BalltrainError where there are none, or it is not clear which are meant.
    """
    if source.is_file() and source.suffix.lower() != ".json":
        raise BalltrainError(f"{source}: is no annotation file (.json); give it, or COCO's folder, unpacked")
    if not source.is_dir():
        return [source]
    found = _find_below(source, 0)
    if not found:
        raise BalltrainError(
            f"{source}: has no annotations/instances_*.json, train/_annotations.coco.json or other annotation file; "
            "give the folder that holds annotations, or the file"
        )
    return found


def split_of(file: Path, source: Path) -> int | None:
    """The split that a file is of, by its name or the folder's below `source`; None where none is named."""
    below = file.relative_to(source).parent.parts if file.is_relative_to(source) else ()
    for name in (split_name(file), *reversed(below)):
        for number, split in enumerate(SPLITS):
            if name.lower().startswith(split):
                return number
    return None


def split_name(file: Path) -> str:
    """train2017 of instances_train2017.json."""
    return file.stem.removeprefix(WITH_LABELS).removeprefix("annotations_").removeprefix(IMAGES_ALONE)


class Pictures:
    """The pictures that an annotation file names, found where they lie by now.

    `names` are all that it names: where their last parts differ, these tell pictures apart whatever folders their
    names begin with.
    """

    def __init__(self, file: Path, source: Path, names: Sequence[str]):
        self.file = file
        # what names must not lead out of; of a single file, or the folder of annotations, COCO's folder
        self.root = source if source.is_dir() and source.name != "annotations" else file.parent.parent
        folders = [folder for folder in _folders_for(file) if folder.is_relative_to(self.root)]
        if file.is_symlink():
            folders += _folders_for(file.resolve())
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._listed: dict[Path, tuple[dict[str, str], dict[str, str]]] = {}
        last_parts = [_parts(name)[-1:] for name in names]
        self.told_by_last_part = len({tuple(part) for part in last_parts}) == len(set(names))

    def find(self, name: str) -> Path | None:
        """The file, by the name as it is, then as tools change it; None where there is none."""
        leads_away = _LEADS_AWAY.match(name) is not None
        if not leads_away:  # nearly all
            for folder in self.folders:
                if os.path.isfile(found := f"{folder}/{name}"):
                    return Path(found)
        for form in _forms(name):
            if (found_elsewhere := self._outside(form)) is not None:
                return found_elsewhere
        parts = _parts(name)
        for start in range(len(parts)):
            if start and not self._may_drop(parts[:start], leads_away, len(parts) - start):
                break
            for folder in self.folders:
                if (match := self._alike(folder, parts[start:])) is not None:
                    return match
        return None

    def expected(self, name: str) -> Path:
        """Where a picture that is not there should be."""
        folder = self.folders[0] if self.folders else self.file.parent
        return folder / PurePosixPath(*_parts(name))

    def _outside(self, form: str) -> Path | None:
        """An absolute path; or one that leads up, as far as it stays in the source."""
        path = Path(form)
        if path.is_absolute():
            return path if path.is_file() else None
        if ".." in path.parts:
            for folder in (self.file.parent, *self.folders):
                found = Path(os.path.normpath(folder / path))
                if found.is_file() and found.is_relative_to(self.root):
                    return found
        return None

    def _alike(self, folder: Path, parts: Sequence[str], *, is_folder: bool = False) -> Path | None:
        """The file of these parts below `folder`, but for Unicode's forms, percent signs and case."""
        path = folder
        for part in parts:
            if not (path / part).exists():
                normal, folded = self._entries(path)
                there = normal.get(_normal(part)) or folded.get(_normal(part).casefold())
                if there is None:
                    return None
                path = path / there
            else:
                path = path / part
        return path if (path.is_dir() if is_folder else path.is_file()) else None

    def _entries(self, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
        """The names in a folder by their normal form, and by that without case; those that share one are left out."""
        if folder not in self._listed:
            names = os.listdir(folder) if folder.is_dir() and os.access(folder, os.R_OK) else []
            self._listed[folder] = (_by(names, _normal), _by(names, lambda name: _normal(name).casefold()))
        return self._listed[folder]

    def _may_drop(self, dropped: list[str], leads_away: bool, num_left: int) -> bool:
        """Whether the first folders of a name may be those of another machine: where they are not there."""
        if num_left == 1 and not self.told_by_last_part:
            return False
        return leads_away or not any(self._alike(folder, dropped[:1], is_folder=True) for folder in self.folders)


def named_files(source: Path) -> Iterator[Path]:
    """Pictures on which data of `source` depends and that do not lie in it: all, where it is a single file."""
    if not source.exists():
        return
    try:
        files = find_files(source)
    except BalltrainError:  # said when it is read
        return
    for file in files:
        names = _names_in(file)
        if source.is_dir() and not any(_LEADS_AWAY.match(name) for name in names):
            continue
        pictures = Pictures(file, source, names)
        for name in names:
            yield pictures.find(name) or pictures.expected(name)


def _find_below(source: Path, depth: int) -> list[Path]:
    """As COCO has them; a file a folder, each a split's; one or several in the folder itself; in one folder below."""
    if files := sorted((source / "annotations").glob("instances_*.json")):
        return files
    folders = [path for path in sorted(source.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    of_splits = (folder for split in SPLITS for folder in folders if folder.name.lower().startswith(split))
    if files := [file for folder in of_splits for file in _in_folder(folder)]:
        return files
    if files := _in_folder(source):
        return files
    if depth == MAX_DEPTH:
        return []
    below = [(folder, files) for folder in folders if (files := _find_below(folder, depth + 1))]
    if len(below) > 1:
        names = ", ".join(str(folder.relative_to(source)) for folder, _ in below)
        raise BalltrainError(f"{source}: holds annotation files in several folders ({names}); give one of them")
    return below[0][1] if below else []


def _in_folder(folder: Path) -> list[Path]:
    """The annotation files of one folder: one, or several that are named after splits."""
    for pattern in ("annotations/instances_*.json", "instances_*.json"):
        if files := sorted(folder.glob(pattern)):
            return files
    for name in USUAL_NAMES:
        if (folder / name).is_file():
            return [folder / name]
    found = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    files = [file for file in found if not file.name.startswith(".") and _is_coco(file)]
    if len(files) > 1 and any(split_of(file, folder) is None for file in files):
        names = ", ".join(file.name for file in files)
        raise BalltrainError(f"{folder}: holds several annotation files ({names}); give one of them")
    return files


def _is_coco(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _folders_for(file: Path) -> Iterator[Path]:
    """Where the pictures of an annotation file may lie, COCO's own layout first where the file lies as in it."""
    name, here, above = split_name(file), file.parent, file.parent.parent
    of_coco = [folder for root in (above, here) for folder in (root / name, root / "images" / name, root / "images")]
    beside = [here, here / "images", here / "data"]
    if here.name == "annotations" or file.name.startswith("instances_"):
        yield from (*of_coco, *beside)
    else:
        yield from (*beside, *of_coco)
    yield from (above, above / "data")


def _names_in(file: Path) -> list[str]:
    """All that a file names, without reading the rest of it: that of COCO has half a gigabyte."""
    try:
        content = file.read_bytes()
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            content = content.decode("utf-16").encode()
        return [json.loads(found) for found in _FILE_NAME.findall(content)]
    except (OSError, ValueError):  # said when it is read
        return []


def _forms(name: str) -> Iterator[str]:
    """A name as it is, with slashes, as a path in place of a URL, and without percent signs."""
    slashed = name.replace("\\", "/")
    yield name
    yield slashed
    if slashed.lower().startswith("file:"):
        slashed = re.sub(r"(?i)^file:(//[^/]*)?", "", slashed)
        yield slashed
    yield unquote(slashed)


def _parts(name: str) -> list[str]:
    """The parts of a name, without those of another machine that say where it begins."""
    slashed = name.replace("\\", "/")
    if slashed.lower().startswith(("http:", "https:", "s3:", "gs:")) or "?d=" in slashed:
        before, _, query = slashed.partition("?")
        slashed = query.removeprefix("d=") if query.startswith("d=") else before  # Label Studio's local files
    slashed = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:", "", unquote(slashed))
    return [part for part in slashed.split("/") if part not in ("", ".", "..")]


def _by(names: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return {form: of_form[0] for form, of_form in found.items() if len(of_form) == 1}


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(name))
