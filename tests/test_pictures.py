"""Pictures are read upright and as bright as they are, whatever their kind and depth, or refused by name."""

import io

import numpy as np
import pytest
from PIL import Image, features

from balltrain.pictures import BadPicture, decode_picture, has_picture_name, orientation_of, size_of, why_no_picture

RAMP = np.linspace(0, 1, 48).reshape(6, 8)
# what each value of EXIF's orientation says of the stored pixels, as (height, width) arrays that undo it
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: np.rot90,
}


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(content):
    return decode_picture(content, "it")[0]


class TestOrientation:
    @pytest.fixture
    def stored(self):
        """A picture in which no turn looks like another; blocks, for lossy formats."""
        corners = np.array([[250, 10, 60, 60], [130, 10, 60, 60], [60, 60, 200, 60]], np.uint8)
        grey = np.kron(corners, np.ones((8, 8), np.uint8))
        return np.repeat(grey[..., None], 3, axis=2)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "MPO"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_are_turned_as_exif_says(self, stored, kind, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = saved(Image.fromarray(stored), kind, exif=exif, quality=95)
        expected = UPRIGHT[orientation](stored)
        pixels, changed = decode_picture(content, "it")
        assert np.abs(pixels.astype(int) - expected).mean() < 3
        assert changed == (orientation != 1)
        assert size_of(content, "it") == (expected.shape[1], expected.shape[0])
        assert orientation_of(content) == orientation
        as_stored, _ = decode_picture(content, "it", as_stored=True)
        assert np.abs(as_stored.astype(int) - stored).mean() < 3

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_what_is_no_orientation_is_upright(self, stored, value):
        exif = Image.Exif()
        exif[0x0112] = value
        assert (pixels_of(saved(Image.fromarray(stored), "PNG", exif=exif)) == stored).all()

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_damaged_exif_of_a_whole_picture_is_passed_over(self, stored):
        content = saved(Image.fromarray(stored), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffnothing")
        assert (pixels_of(content) == stored).all()

    def test_it_is_turned_before_it_is_squashed(self, stored):
        exif = Image.Exif()
        exif[0x0112] = 6
        content = saved(Image.fromarray(stored), "PNG", exif=exif)
        assert decode_picture(content, "it", (20, 10))[0].shape == (10, 20, 3)


class TestDepth:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
    def test_of_16_bits_the_upper_8_are_kept(self, kind):
        """Pillow itself would make all that is above 255 white."""
        values = (RAMP * 65535).astype(np.uint16)
        pixels, changed = decode_picture(saved(Image.fromarray(values), kind), "it")
        assert changed
        assert (pixels == (values >> 8)[..., None]).all()

    def test_a_tiff_of_12_bits_is_as_bright_as_it_is(self):
        """In its 16 bits a sixteenth of that."""
        content = tiff_of_12_bits(np.array([[0, 4095], [2048, 1024]]))
        assert pixels_of(content)[..., 0].tolist() == [[0, 255], [128, 64]]

    def test_a_grey_map_is_scaled_by_its_own_maximum(self):
        content = b"P5 2 2 1023\n" + np.array([0, 1023, 512, 3], ">u2").tobytes()
        assert pixels_of(content)[..., 0].tolist() == [[0, 255], [128, 0]]

    @pytest.mark.parametrize(("scale", "kind"), [(1, "TIFF"), (255, "TIFF"), (1, "PFM")])
    def test_floats_go_from_0_to_1_or_to_255(self, scale, kind):
        """Pillow itself would make those from 0 to 1 black."""
        image = Image.fromarray((RAMP * scale).astype(np.float32))
        pixels = pixels_of(saved(image, "PPM" if kind == "PFM" else kind))
        assert (pixels[..., 0] == np.rint(RAMP * 255)).all()

    def test_floats_that_overshoot_a_little_are_cut(self):
        image = Image.fromarray(np.array([[-0.02, 0.5, 1.03]], np.float32))
        assert pixels_of(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            (np.array([[0, 5]], np.float32), "floats from 0 to 5"),
            (np.array([[-3, 1]], np.float32), "floats from -3 to 1"),
            (np.array([[0, np.nan]], np.float32), "floats from nan to nan"),
            (np.array([[0, 60000]], np.float32), "floats from 0 to 6e"),
            (np.array([[0, 70000]], np.int32), "whole numbers from 0 to 70000"),
            (np.array([[-5, 7]], np.int32), "whole numbers from -5 to 7"),
            (np.array([[0, 200]], np.uint16), "reach 200 of 65535, which is nearly black"),
            (np.array([[0, 4000]], np.uint16), "reach 4000 of 65535, which is nearly black"),
        ],
    )
    def test_values_of_no_clear_brightness_are_refused_by_name(self, values, said):
        with pytest.raises(BadPicture, match=f"map.tif cannot be read: .*{said}"):
            decode_picture(saved(Image.fromarray(values), "TIFF"), "map.tif")

    def test_black_is_black(self):
        assert not pixels_of(saved(Image.fromarray(np.zeros((2, 2), np.uint16)), "PNG")).any()

    def test_16_bits_with_a_transparent_value(self):
        values = (RAMP * 65535).astype(np.uint16)
        pixels = pixels_of(saved(Image.fromarray(values), "PNG", transparency=0))
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert (pixels[1:, :, 0] == values[1:] >> 8).all()


class TestKinds:
    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            *(("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("CMYK", "TIFF")),
            *(("YCbCr", "TIFF"), ("L", "JPEG"), ("CMYK", "JPEG"), ("PA", "TIFF")),
        ],
    )
    def test_white_and_black_stay_what_they_are(self, mode, kind):
        image = Image.new("L", (16, 8), 0)
        image.paste(255, (8, 0, 16, 8))
        image = image.convert("P").convert("PA") if mode == "PA" else image.convert("RGB").convert(mode)
        pixels, changed = decode_picture(saved(image, kind), "it")
        assert changed
        assert pixels[4, 2].max() < 8
        assert pixels[4, 13].min() > 247

    @pytest.mark.parametrize(("kind", "codec"), [("AVIF", "avif"), ("JPEG2000", "jpg_2000"), ("WEBP", "webp")])
    def test_other_formats_are_read_where_pillow_can(self, kind, codec):
        if not features.check(codec):
            pytest.skip(f"this Pillow has no {codec}")
        pixels = pixels_of(saved(Image.new("RGB", (16, 16), (200, 40, 40)), kind)).astype(int)
        assert np.abs(pixels - (200, 40, 40)).max() < 12

    def test_no_program_is_started_for_a_picture(self):
        content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
        with pytest.raises(BadPicture, match="no image that Pillow knows"):
            decode_picture(content, "it.eps")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"no picture", "no image that Pillow knows"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        ],
    )
    def test_what_is_no_picture_says_why(self, content, reason):
        assert reason in why_no_picture(content)
        with pytest.raises(BadPicture, match=f"9.jpg cannot be read: .*{reason}"):
            decode_picture(content, "9.jpg")

    def test_names_of_pictures(self, tmp_path):
        named = ("a.jfif", "a.JPE", "a.avif", "a.heic", "a.PPM", "a.jp2", "a.b.tiff")
        assert all(has_picture_name(tmp_path / name) for name in named)
        assert not any(has_picture_name(tmp_path / name) for name in ("a", "a.txt", "jpg", "a.jpg.csv", "Thumbs.db"))


def tiff_of_12_bits(values):
    """A TIFF of one strip, 12 bits a pixel, most significant first; `values` (height, width), of even width."""
    height, width = values.shape
    packed = b"".join(
        bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
        for first, second in values.reshape(-1, 2).tolist()
    )
    fields = [
        *((256, width), (257, height), (258, 12), (259, 1), (262, 1)),
        *((273, 8), (277, 1), (278, height), (279, len(packed))),
    ]
    directory = len(fields).to_bytes(2, "little")
    for tag, value in fields:
        directory += tag.to_bytes(2, "little") + b"\3\0\1\0\0\0" + value.to_bytes(4, "little")
    start = 8 + len(packed)
    return b"II*\0" + start.to_bytes(4, "little") + packed + directory + bytes(4)
