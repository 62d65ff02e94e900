"""JPEG XL: decoded by an optional library, after its header was read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.errors import ImageTooLarge, MissingPlugin, TruncatedImage
from imrec_core.images import plugins
from imrec_core.images.decode import decode
from imrec_core.images.jxl_header import is_jxl, read_size
from tests.support import toy

pytest.importorskip("pillow_jxl")


def jxl(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JXL", lossless=True, **options)
    return out.getvalue()


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize(
    "size", [(160, 120), (64, 64), (256, 8), (300, 1), (1, 700), (1920, 1080), (9000, 10), (400, 300)]
)
def test_header_tells_the_size(size, container):
    data = jxl(np.zeros((size[1], size[0], 3), np.uint8), use_container=container)
    assert is_jxl(data) and read_size(data) == size


def test_pixels_are_those_of_the_file():
    pixels = toy.photo(3)
    found = decode(jxl(pixels))
    assert (found.format, found.width, found.height, found.has_alpha) == ("JXL", 160, 120, False)
    assert np.array_equal(found.pixels[..., :3], pixels)


def test_transparent_pixels_are_white():
    pixels = np.zeros((20, 30, 4), np.uint8)
    found = decode(jxl(pixels))
    assert found.has_alpha and (found.pixels[..., :3] == 255).all()


def test_orientation_of_exif_does_not_count():
    """The codestream has an orientation of its own, which decoding applies (ISO/IEC 18181-2)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(jxl(toy.photo(3), exif=exif.tobytes(), use_container=True))
    assert (found.width, found.height, found.orientation) == (160, 120, 1)


def test_jpeg_stored_without_loss_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(toy.photo(3)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "a.jxl", lossless_jpeg=True)
    found = decode((tmp_path / "a.jxl").read_bytes())
    assert (found.width, found.height) == (120, 160)
    assert np.array_equal(found.pixels, decode((tmp_path / "a.jpg").read_bytes()).pixels)


def test_limit_of_pixels_holds_before_it_is_decoded(monkeypatch):
    data = jxl(np.zeros((100, 100, 3), np.uint8))
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageTooLarge, match=r"100×100 is 0\.01 megapixels"):
        decode(data, max_pixels=9_999)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_cut_file_is_refused(share):
    data = jxl(toy.photo(3))
    with pytest.raises(TruncatedImage, match="damaged JPEG XL"):
        decode(data[: int(len(data) * share)])


def test_no_claim_of_same_pixels_is_made():
    assert pixel_hash(jxl(toy.photo(3))) is None


def test_missing_library_is_named(monkeypatch):
    data = jxl(toy.photo(3))
    monkeypatch.delitem(Image.OPEN, "JXL")
    with pytest.raises(MissingPlugin, match=r"JPEG XL needs a library; pip install 'imrec\[jxl\]'"):
        decode(data)
    assert plugins.missing_plugin(b"other") is None
