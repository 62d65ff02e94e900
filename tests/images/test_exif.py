"""What cameras wrote is read from every format; what is damaged or nonsense costs that field and no more."""

from __future__ import annotations

import struct
from datetime import datetime

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, features

from imrec_core.images import exif
from imrec_core.images.decode import decode
from imrec_core.images.jpeg_segments import read_segments
from tests.support.pictures import PICTURES, encode, gradient

MAKE, MODEL, ORIENTATION, CHANGED, SUB_BLOCK, TAKEN, DIGITIZED = 0x10F, 0x110, 0x112, 0x132, 0x8769, 0x9003, 0x9004
FORMATS = ["JPEG", "PNG", "WEBP", *(["AVIF"] if features.check("avif") else [])]


def block(tags: dict[int, object], inner: dict[int, object] | None = None) -> Image.Exif:
    found = Image.Exif()
    found.update(tags)
    found.get_ifd(SUB_BLOCK).update(inner or {})
    return found


def shot(tags: dict[int, object], inner: dict[int, object] | None = None, file_format: str = "JPEG") -> exif.ExifData:
    return decode(encode(gradient(32, 24), file_format, exif=block(tags, inner))).shot


@pytest.mark.parametrize("file_format", FORMATS)
def test_camera_time_and_turn_are_read_from_every_format(file_format):
    tags = {MAKE: "Canon", MODEL: "Canon EOS 5D", ORIENTATION: 6, CHANGED: "2021:01:01 00:00:00"}
    found = shot(tags, {TAKEN: "2019:05:06 07:08:09"}, file_format)
    assert found == exif.ExifData(6, "Canon EOS 5D", datetime(2019, 5, 6, 7, 8, 9))


def test_tiff_has_its_notes_among_its_own_tags():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.update({MAKE: "Canon", MODEL: "EOS", ORIENTATION: 6, SUB_BLOCK: {TAKEN: "2019:05:06 07:08:09"}})
    picture = decode(encode(gradient(32, 24), "TIFF", tiffinfo=tags))
    assert picture.shot == exif.ExifData(6, "Canon EOS", datetime(2019, 5, 6, 7, 8, 9))
    assert (picture.width, picture.height) == (24, 32)


@pytest.mark.parametrize("name", PICTURES)
def test_file_without_exif_has_no_camera_and_no_time(name):
    found = decode(PICTURES[name]()).shot
    assert (found.camera, found.taken) == (None, None)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("EASTMAN KODAK COMPANY", "KODAK DC240 ZOOM", "KODAK DC240 ZOOM"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("  SONY \0\0", "DSC-W5  \0garbage", "SONY DSC-W5"),
        ("Leica", "Leicaflex", "Leica Leicaflex"),
        ("Canon", "", "Canon"),
        ("", "X100", "X100"),
        ("Sony\n\tEricsson", "K800i", "Sony Ericsson K800i"),
        ("   ", "\0", None),
        ("X" * 300, "", "X" * 100),
    ],
)
def test_camera_is_maker_and_model_in_one_tidy_line(make, model, camera):
    assert shot({MAKE: make, MODEL: model}).camera == camera


def test_missing_maker_or_model_leaves_the_other():
    assert shot({MODEL: "X100"}).camera == "X100"
    assert shot({MAKE: "Fujifilm"}).camera == "Fujifilm"
    assert shot({ORIENTATION: 3}) == exif.ExifData(3)


@pytest.mark.parametrize(
    ("raw", "camera"),
    [
        ("Kamera Größe".encode(), "Kamera Größe"),  # phones write UTF-8 though the standard wants ASCII
        ("Größe".encode("latin-1"), "Größe"),
        (b"\xff\xfe\x80\x81", "ÿþ"),  # the other two are control characters
    ],
)
def test_names_in_bytes_that_are_no_ascii_are_read_as_far_as_they_go(raw, camera):
    assert exif.of_jpeg(read_segments(handmade([(MODEL, 2, len(raw), raw)]))).camera == camera


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2004:08:14 15:16:17", datetime(2004, 8, 14, 15, 16, 17)),
        ("2004-08-14T15:16:17+02:00", datetime(2004, 8, 14, 15, 16, 17)),
        ("2004/08/14 15:16", datetime(2004, 8, 14, 15, 16)),
        ("2004:8:4 5:6:7", datetime(2004, 8, 4, 5, 6, 7)),
        (" 2004:08:14 15:16:17\0", datetime(2004, 8, 14, 15, 16, 17)),
        ("2004:08:14", datetime(2004, 8, 14)),
        ("2004:08:14   :  :  ", datetime(2004, 8, 14)),
        ("1839:08:19 12:00:00", datetime(1839, 8, 19, 12)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("9999:12:31 23:59:59", None),
        ("1601:01:01 00:00:00", None),
        ("2004:13:01 00:00:00", None),
        ("2004:02:30 00:00:00", None),
        ("2004:02:03 25:61:61", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_time_is_read_however_it_is_written_and_nonsense_is_none(text, taken):
    assert shot({}, {TAKEN: text}).taken == taken


def test_time_of_the_shutter_comes_before_those_of_scan_and_change():
    times = {TAKEN: "2001:01:01 01:01:01", DIGITIZED: "2002:02:02 02:02:02"}
    changed = {CHANGED: "2003:03:03 03:03:03"}
    assert shot(changed, times).taken.year == 2001
    assert shot(changed, {DIGITIZED: times[DIGITIZED]}).taken.year == 2002
    assert shot(changed).taken.year == 2003
    assert shot(changed, {TAKEN: "0000:00:00 00:00:00"}).taken.year == 2003


def handmade(entries: list[tuple[int, int, int, bytes]], *, cut: int | None = None) -> bytes:
    """A JPEG whose EXIF block has entries (tag, type, count, value) as given, true or not."""
    data_at = 8 + 2 + 12 * len(entries) + 4
    table, data = b"", b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            table += struct.pack("<HHII", tag, kind, count, data_at + len(data))
            data += value
        else:
            table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4) + data
    return encode(gradient(32, 24), "JPEG", exif=b"Exif\0\0" + tiff[:cut])


ORIENTED = (ORIENTATION, 3, 1, struct.pack("<H", 8))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "entries",
    [
        [(MAKE, 7, 5, b"Canon"), (MODEL, 3, 1, b"\7\0"), ORIENTED],  # another type than text
        [ORIENTED, (CHANGED, 2, 99, struct.pack("<I", 60_000))],  # text that lies beyond the end
        [ORIENTED, (SUB_BLOCK, 4, 1, struct.pack("<I", 60_000))],  # so does the inner block
        [ORIENTED, (SUB_BLOCK, 4, 1, struct.pack("<I", 8))],  # the inner block is the outer one
        [ORIENTED, (SUB_BLOCK, 2, 4, b"abc\0")],  # it is a text
        [ORIENTED, (CHANGED, 5, 2, struct.pack("<4I", 1, 0, 1, 0))],  # a time in fractions, by zero
    ],
)
def test_damaged_field_costs_itself_and_not_the_turn(entries):
    picture = decode(handmade(entries))
    assert picture.orientation == 8
    assert (picture.width, picture.height) == (24, 32)
    assert picture.shot.taken is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cut", range(0, 90, 3))
def test_block_that_breaks_off_anywhere_does_no_harm(cut):
    entries = [(MAKE, 2, 8, b"Canon XX"), ORIENTED, (CHANGED, 2, 20, b"2001:02:03 04:05:06\0")]
    picture = decode(handmade(entries, cut=cut))
    assert picture.pixels.shape[2] == 4
    assert picture.shot.camera in (None, "Canon XX")


@pytest.mark.filterwarnings("ignore")
def test_random_damage_never_raises():
    rng = np.random.default_rng(0)
    content = encode(gradient(32, 24), "JPEG", exif=block({MAKE: "Canon", MODEL: "Canon EOS"}, {TAKEN: "2001:01:01"}))
    start = content.index(b"Exif")
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(start, start + 120, 4):
            damaged[at] = rng.integers(256)
        assert isinstance(exif.of_jpeg(read_segments(bytes(damaged))), exif.ExifData)


# -- alpha --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "file_format", "options", "has_alpha"),
    [
        ("RGB", "JPEG", {}, False),
        ("L", "JPEG", {}, False),
        ("CMYK", "JPEG", {}, False),
        ("RGB", "PNG", {}, False),
        ("RGB", "PNG", {"transparency": (0, 0, 0)}, True),
        ("L", "PNG", {"transparency": 3}, True),
        ("1", "PNG", {}, False),
        ("LA", "PNG", {}, True),
        ("P", "PNG", {}, False),
        ("P", "PNG", {"transparency": 0}, True),
        ("RGBA", "PNG", {}, True),
        ("RGBA", "TIFF", {}, True),
        ("RGBA", "WEBP", {}, True),
        ("RGB", "WEBP", {}, False),
        ("RGBA", "GIF", {}, True),
        ("P", "GIF", {}, False),
        ("RGB", "BMP", {}, False),
        ("RGBA", "ICO", {}, True),
        ("RGB", "PPM", {}, False),
    ],
)
def test_alpha_is_a_channel_or_a_colour_that_stands_for_clear(mode, file_format, options, has_alpha):
    picture = Image.fromarray(gradient(32, 24))
    if mode in ("RGBA", "LA"):
        picture.putalpha(0)
    assert decode(encode(picture.convert(mode), file_format, **options)).has_alpha is has_alpha
