"""Which of two matching images is the original, by their pixels."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import compare_contents
from imrec_core.duplicates.derivation import COMPRESSED, CONVERTED, Derivation, derive_whole
from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.images.jpeg_quantization import has_traces, luma_table
from imrec_core.images.sample_photos import _load
from tests.support import drawings, icc, toy
from tests.support.derived import MADE, jpeg, png, scaled
from tests.support.pictures import encode

PHOTOS = ("astronaut.png", "chelsea.png")


def derivation(first: bytes, second: bytes) -> Derivation | None:
    found = compared(first, second)
    other = compared(second, first)
    assert (found and (1 - found.original, found.change)) == (other and (other.original, other.change))
    return found


def compared(first: bytes, second: bytes) -> Derivation | None:
    a, b = (BlockInput.of_source(lambda data=data: data) for data in (first, second))
    found = compare_contents(a, b, "edited", lambda image: pixel_hash(image.read_bytes(), 10**8))
    assert found.tier is not None
    return found.derivation


def stored(name: str, quality: int = 80) -> tuple[bytes, Image.Image]:
    """Store a photo as a small JPEG."""
    data = jpeg(scaled(_load("skimage.data", name), 0.7), quality)
    return data, Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("name", PHOTOS)
def test_original_is_told_from_what_was_made_of_it(name, made):
    data, photo = stored(name)
    make, change = MADE[made]
    assert derivation(data, make(photo)) == (change and Derivation(0, change))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_original_is_told_from_its_jpeg(kind):
    photo = scaled(_load("skimage.data", "coffee.png"), 0.9)
    assert derivation(encode(photo, kind), jpeg(photo, 70)) == Derivation(0, COMPRESSED)


def test_png_of_a_jpeg_by_another_decoder_is_converted_from_it():
    data, photo = stored("chelsea.png", 70)
    rounding = np.random.default_rng(0).integers(0, 2, (photo.height, photo.width, 1))
    other = (np.asarray(photo).astype(np.int16) + rounding).clip(0, 255).astype(np.uint8)
    assert derivation(data, png(Image.fromarray(other))) == Derivation(0, CONVERTED)


def test_nothing_is_told_of_two_files_of_nearly_one_quality():
    photo = scaled(_load("skimage.data", "chelsea.png"), 0.7)
    assert derivation(jpeg(photo, 80), jpeg(photo, 84)) is None


def test_nothing_is_told_of_two_files_of_one_quality():
    data, photo = stored("chelsea.png", 80)
    assert derivation(data, jpeg(photo, 80)) is None


def test_nothing_is_told_of_copies_in_two_profiles():
    photo = scaled(_load("skimage.data", "chelsea.png"), 0.7)
    darker = photo.point(lambda level: round(255 * (level / 255) ** 1.1))
    profile = icc.rgb_profile(icc.SRGB, gamma=2.0, name="other")
    other = encode(darker, "JPEG", quality=60, icc_profile=profile)
    assert derivation(encode(photo, "JPEG", quality=95, icc_profile=icc.rgb_profile(icc.SRGB)), other) is None


def test_blank_middle_tells_nothing():
    def page(scale):
        image = Image.new("RGB", (1240 * scale // 2, 1754 * scale // 2), "white")
        font = ImageFont.load_default(30 * scale / 2)
        ImageDraw.Draw(image).multiline_text((60 * scale, 90 * scale), "Dear Sir\nor Madam", "black", font)
        return png(image)

    pages = (page(1), page(2))
    assert derive_whole(*(BlockInput.of_source(lambda data=data: data) for data in pages)) is None


@pytest.mark.parametrize("page", [drawings.letter("Dear Ada,", "see you at nine"), drawings.dot()])
def test_enlarged_drawing_is_never_the_original(page):
    small = encode(page, "PNG")
    found = derivation(small, png(scaled(page, 2)))
    assert found is None or found.original == 0


def test_file_that_went_away_tells_nothing():
    data, photo = stored("coffee.png")
    gone = BlockInput.of_pixels(np.asarray(photo))
    there = BlockInput.of_source(lambda: data)
    assert compare_contents(there, gone, "near", lambda image: None).derivation is None


def test_traces_are_of_one_table():
    smooth = toy.photo(1, 320, 240, specks=200)
    coarse, fine = (encode(smooth, "JPEG", quality=quality) for quality in (60, 95))
    luma = np.asarray(Image.open(io.BytesIO(coarse)).convert("L"))
    assert has_traces(luma, luma_table(coarse)) is True
    assert has_traces(np.asarray(Image.fromarray(smooth).convert("L")), luma_table(coarse)) is False
    assert has_traces(np.full((64, 64), 128, np.uint8), luma_table(fine)) is None


def test_only_jpeg_has_a_table():
    assert luma_table(encode(toy.photo(1), "PNG")) is None
    assert luma_table(b"\xff\xd8\xff\xe0 damaged") is None
