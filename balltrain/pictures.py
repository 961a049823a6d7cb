"""Files of pictures as pixels: any format, kind and depth that Pillow reads, upright, as 8 bits of RGB."""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from balltrain.errors import BalltrainError

# what a picture's file is called; others are looked into before they are taken for one
SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".bw", ".dds", ".dib", ".gif", ".heic", ".heif", ".hif", ".icns", ".ico",
    ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pfm",
    ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff",
    ".webp", ".xbm", ".xpm"
})  # fmt: skip
_RUN_PROGRAMS = {"EPS", "WMF"}  # formats that Pillow hands to Ghostscript or to Windows: no pictures to learn from
_ORIENTATION = 0x0112  # in EXIF
# EXIF's values, by what makes them upright (https://exiftool.org/TagNames/EXIF.html); 1 is upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_INVERSE = {6: 8, 8: 6}  # the others undo themselves
_NEARLY_BLACK = 4096  # of 65536: 12 bits in 16 are a picture of a sixteenth of its brightness
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


class BadPicture(BalltrainError):
    """A file that is no picture, or none whose pixels are clear."""

    def __init__(self, name: str | Path, reason: str):
        super().__init__(f"{name} cannot be read: {reason}")
        self.name, self.reason = str(name), reason


def decode_picture(
    content: bytes, name: str | Path, size: tuple[int, int] | None = None, *, as_stored: bool = False
) -> tuple[np.ndarray, bool]:
    """(height, width, 3) uint8, and whether the picture was not like that before: of another kind, size or turned.

    It is turned as its EXIF orientation says, unless `as_stored`, and squashed to `size` (width, height); its
    transparent parts become white. Raises BadPicture where the content of a file is no image, or its values have no
    clear brightness.
    """
    try:
        with _opened(content) as image:
            orientation = _orientation(image)
            image.load()
            left = _orientation(image)  # 1 in a TIFF, which Pillow turns itself
            rgb = _rgb(image)
            if as_stored and orientation != left:
                rgb = _turned(rgb, _INVERSE.get(orientation, orientation))
            elif not as_stored:
                rgb = _turned(rgb, left)
            if size is not None and rgb.size != size:
                rgb = rgb.resize(size, Image.Resampling.LANCZOS)
            changed = image.mode != "RGB" or image.size != rgb.size or (orientation != 1 and not as_stored)
            return np.asarray(rgb), changed
    except Exception as error:  # Pillow's plug-ins raise anything on damaged content
        raise BadPicture(name, _reason(content, error)) from error


def orientation_of(content: bytes) -> int:
    """EXIF's orientation of a picture, 1 to 8; 1, upright, where it has none or is no picture."""
    try:
        with _opened(content) as image:
            return _orientation(image)
    except Exception:  # said when it is decoded
        return 1


def size_of(content: bytes, name: str | Path) -> tuple[int, int]:
    """Width and height of an upright picture, from its header. Raises BadPicture where it is none."""
    try:
        with _opened(content) as image:
            sideways = _orientation(image) >= 5 and image.format != "TIFF"  # whose size Pillow gives upright
            return (image.height, image.width) if sideways else image.size
    except Exception as error:
        raise BadPicture(name, _reason(content, error)) from error


def why_no_picture(content: bytes) -> str | None:
    """None where Pillow knows the format, by the beginning; else the reason."""
    try:
        with _opened(content):
            return None
    except Exception as error:
        return _reason(content, error)


def has_picture_name(path: PurePath) -> bool:
    return path.suffix.lower() in SUFFIXES


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=_formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    """Pillow's, and HEIF where pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found,unused-ignore]  # who wants it

        register_heif_opener()
    Image.init()
    return tuple(name for name in Image.ID if name not in _RUN_PROGRAMS)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF in a picture that is whole
        return 1
    return value if value in _UPRIGHT else 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(_UPRIGHT[orientation])


def _rgb(image: Image.Image) -> Image.Image:
    """Pillow itself would cut all above 255, and make floats from 0 to 1 black."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _of_whole_numbers(image)
    if image.mode == "F":
        return _of_floats(np.asarray(image))
    return _opaque(image) if image.has_transparency_data else image.convert("RGB")


def _of_whole_numbers(image: Image.Image) -> Image.Image:
    """Of 16 bits the upper 8."""
    values = np.asarray(image).astype(np.int64)
    bits = _bits(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"it has whole numbers from {low} to {high}: save it with 8 or 16 bits, from 0 on")
    if bits < 16:
        values = values << (16 - bits)
    elif 0 < high < _NEARLY_BLACK:
        raise ValueError(f"its 16 bits reach {high} of 65535, which is nearly black: scale them, or save 8 bits")
    grey = (values >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[np.asarray(image) == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _bits(image: Image.Image) -> int:
    """Of a TIFF what it says; other formats come scaled to 16."""
    tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    bits = 16 if tags is None else int(tags.get(258, (16,))[0])
    return bits if 8 <= bits < 16 else 16


def _of_floats(values: np.ndarray) -> Image.Image:
    """From 0 to 1, or from 0 to 255. A filter may have overshot a little."""
    low, high = float(values.min()), float(values.max())
    if low >= -0.1 and high <= 1.1:
        scaled = values * 255
    elif low >= -0.5 and 16 <= high <= 256:
        scaled = values
    else:
        raise ValueError(f"it has floats from {low:.4g} to {high:.4g}: save it with values from 0 to 1, or as 8 bits")
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8)).convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """Over white, as most viewers show it. What lies under a transparent pixel is noise."""
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "the file is empty"
    if content.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS (git lfs pull fetches the picture)"
    if not isinstance(error, UnidentifiedImageError):
        return " ".join(str(error).split()) or type(error).__name__
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "it is HEIC, which Pillow reads after pip install pillow-heif"
    return "no image that Pillow knows"
