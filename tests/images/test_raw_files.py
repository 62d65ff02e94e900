"""Camera RAW files: recognised by their content, and decoded by their embedded JPEG or from the sensor's values."""

from __future__ import annotations

import io
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.errors import ImageError, ImageTooLarge, MissingPlugin, UnsupportedFormat
from imrec_core.images.decode import decode
from imrec_core.images.header import read_header
from imrec_core.images.raw_files import is_raw
from tests.support.pictures import encode
from tests.support.raw import dng

pytest.importorskip("rawpy")

HEIGHT, WIDTH = 240, 320


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Red to the right, green downwards, blue in a corner."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    blue = np.where((x < 80) & (y < 60), 200, 20)
    return np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, blue], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def jpeg(pixels) -> bytes:
    return encode(pixels, "JPEG")


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the grey levels of two images, made equal in size."""
    small = [cv2.resize(np.ascontiguousarray(one[..., :3]), (40, 40), interpolation=cv2.INTER_AREA) for one in (a, b)]
    return float(np.corrcoef(*(one.mean(axis=-1).ravel() for one in small))[0, 1])


@pytest.mark.parametrize("has_preview", [True, False])
def test_facts_are_those_of_the_raw_file(pixels, jpeg, has_preview):
    found = decode(dng(pixels, preview=jpeg if has_preview else None))
    assert (found.format, found.width, found.height, found.bit_depth, found.frames) == ("RAW", WIDTH, HEIGHT, 12, 1)
    assert (found.shot.camera, found.shot.taken.year, found.is_damaged) == ("Maker Test Camera", 2021, False)
    assert found.pixels.shape == (HEIGHT, WIDTH, 4) and found.pixels.dtype == np.uint8
    assert likeness(found.pixels, pixels) > 0.9


def test_embedded_jpeg_is_used(pixels, jpeg):
    other = encode(255 - pixels, "JPEG")
    assert likeness(decode(dng(pixels, preview=other)).pixels, 255 - pixels) > 0.99


@pytest.mark.parametrize("side", [16, 64, 120])
def test_embedded_jpeg_that_is_too_small_is_not_used(pixels, side):
    small = encode(cv2.resize(255 - pixels, (side * 4 // 3, side)), "JPEG")
    data = dng(pixels, preview=small)
    assert likeness(decode(data, min_side=side).pixels, 255 - pixels) > 0.9
    if side < 120:  # half the side of the RAW file is enough for full size
        assert likeness(decode(data, min_side=side + 1).pixels, pixels) > 0.9
        assert likeness(decode(data).pixels, pixels) > 0.9


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("has_preview", [True, False])
def test_it_is_upright(pixels, jpeg, orientation, turns, has_preview):
    found = decode(dng(pixels, orientation=orientation, preview=jpeg if has_preview else None))
    assert (found.orientation, found.pixels.shape[:2]) == (orientation, (found.height, found.width))
    assert likeness(found.pixels, np.rot90(pixels, turns)) > 0.9


def test_developing_may_halve_the_size(pixels):
    assert decode(dng(pixels), min_side=120).pixels.shape == (120, 160, 4)
    assert decode(dng(pixels), min_side=121).pixels.shape == (240, 320, 4)


def test_limit_of_pixels_holds_before_it_is_developed(pixels):
    with pytest.raises(ImageTooLarge, match=r"320×240 is 0\.08 megapixels, the limit is 0\.07"):
        decode(dng(pixels), max_pixels=70_000)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_cut_file_is_damaged(pixels, share):
    data = dng(pixels)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)])


def test_damaged_preview_is_not_used(pixels, jpeg):
    data = bytearray(dng(pixels, preview=jpeg))
    at = data.index(b"\xff\xd8\xff")
    data[at : at + 2] = b"\0\0"
    assert likeness(decode(bytes(data)).pixels, pixels) > 0.9


def test_header_tells_depth_and_orientation(pixels):
    found = read_header(dng(pixels, orientation=6))
    assert (found.bit_depth, found.orientation, found.frames, found.is_plain) == (12, 6, 1, False)


def test_no_claim_of_same_pixels_is_made(pixels, jpeg):
    assert pixel_hash(dng(pixels)) is None and pixel_hash(dng(pixels, preview=jpeg)) is None


def test_missing_library_is_named(pixels, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingPlugin, match=r"camera RAW files need a library; pip install 'imrec\[raw\]'"):
        decode(dng(pixels))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_usual_tiff_is_no_raw_file(pixels, compression):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "TIFF", compression=compression)
    assert not is_raw(out.getvalue())
    assert decode(out.getvalue()).format == "TIFF"


@pytest.mark.parametrize(
    "start",
    [b"IIRO\x08", b"IIU\0\x18", b"FUJIFILMCCD-RAW 0201", b"\0MRM\0", b"II*\0\x10\0\0\0CR\x02\0", b"\0\0\0\x18ftypcrx "],
    ids=["orf", "rw2", "raf", "mrw", "cr2", "cr3"],
)
def test_formats_of_makers_are_recognised_and_damaged_ones_refused(start):
    data = start + bytes(1000)
    assert is_raw(data)
    with pytest.raises(UnsupportedFormat, match="LibRaw cannot decode this RAW file"):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(30)])
def test_other_data_is_no_raw_file(data):
    assert not is_raw(data)
