"""Equal hashes mean equal images: values, size, depth, transparency and profile of every frame."""

import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates.pixel_hash import pixel_hash
from tests.support import icc
from tests.support.pictures import encode, exif, gradient, noise, stripes

PHOTO, GREY = noise(64, 48), noise(64, 48)[..., 0].copy()
CLEAR = np.dstack([np.full((48, 64, 3), 255, np.uint8), GREY])


def pages(*images: np.ndarray, file_format: str = "TIFF", **options) -> bytes:
    first, *others = map(Image.fromarray, images)
    return encode(first, file_format, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (encode(PHOTO, "PNG"), encode(PHOTO, "PNG", compress_level=0)),
        (encode(PHOTO, "PNG"), encode(PHOTO, "BMP")),
        (encode(PHOTO, "PNG"), encode(PHOTO, "TIFF", compression="tiff_lzw")),
        (encode(PHOTO, "PNG"), encode(PHOTO, "WEBP", lossless=True)),
        (encode(GREY, "PNG"), encode(np.dstack([GREY] * 3), "PNG")),
        (encode(GREY > 99, "PNG"), encode((GREY > 99).astype(np.uint8) * 255, "PNG")),
        (encode(stripes(64, 48), "PNG"), encode(Image.fromarray(stripes(64, 48)).quantize(4), "PNG")),
        (encode(PHOTO, "PNG"), encode(np.dstack([PHOTO, np.full((48, 64, 1), 255, np.uint8)]), "PNG")),
        (encode(gradient(60, 40), "PNG"), encode(np.rot90(gradient(60, 40)).copy(), "PNG", exif=exif(6))),
        (encode(GREY.astype(np.uint16) * 257, "PNG"), encode(GREY.astype(np.uint16) * 257, "TIFF")),
        (pages(PHOTO, GREY), pages(PHOTO, GREY, compression="tiff_lzw")),
        (pages(PHOTO, PHOTO[::-1].copy(), file_format="PNG"), pages(PHOTO, PHOTO[::-1].copy(), file_format="TIFF")),
    ],
    ids=[
        "repacked", "bmp", "tiff", "webp", "grey as rgb", "one bit", "palette", "opaque alpha", "turned by a tag",
        "16 bits", "pages repacked", "frames of another format",
    ],
)  # fmt: skip
def test_forms_of_storage_that_lose_nothing_are_equal(one, other):
    assert one != other
    assert pixel_hash(one) == pixel_hash(other) is not None


def nudged(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed.flat[-1] ^= 1
    return changed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (encode(PHOTO, "PNG"), encode(nudged(PHOTO), "PNG")),
        (encode(PHOTO, "PNG"), encode(PHOTO, "JPEG")),
        (encode(CLEAR, "PNG"), encode(nudged(CLEAR), "PNG")),
        (encode(CLEAR, "PNG"), encode(np.full((48, 64, 3), 255, np.uint8), "PNG")),
        (encode(GREY.astype(np.uint16), "PNG"), encode(GREY, "PNG")),
        (encode(GREY.astype(np.uint16) * 257, "PNG"), encode(GREY, "PNG")),
        (encode(GREY.astype(np.uint16), "PNG"), encode(nudged(GREY.astype(np.uint16)), "PNG")),
        (encode(GREY * np.float32(10), "TIFF"), encode(GREY * np.float32(1), "TIFF")),
        (encode(PHOTO, "JPEG"), encode(PHOTO, "JPEG", icc_profile=icc.rgb_profile(icc.PROPHOTO))),
        (encode(PHOTO, "PNG"), encode(PHOTO, "PNG", icc_profile=b"damaged")),
        (pages(PHOTO, GREY), pages(PHOTO)),
        (pages(PHOTO, GREY), pages(PHOTO, nudged(GREY))),
        (pages(PHOTO, PHOTO[::-1].copy(), file_format="GIF"), pages(PHOTO, PHOTO[:, ::-1].copy(), file_format="GIF")),
        (pages(PHOTO, GREY, file_format="MPO"), encode(PHOTO, "JPEG")),
        (pages(PHOTO, GREY, file_format="MPO"), pages(PHOTO, GREY[::-1].copy(), file_format="MPO")),
        (encode(np.rot90(PHOTO).copy(), "PNG"), encode(PHOTO, "PNG")),
        (encode(PHOTO.reshape(96, 32, 3), "PNG"), encode(PHOTO, "PNG")),
    ],
    ids=[
        "a value", "recompressed", "an alpha value", "alpha or none", "depth of a mask", "depth", "a deep value",
        "heights", "profile", "damaged profile", "number of pages", "a later page", "a later frame", "stereo or one",
        "second of stereo", "turned", "shape",
    ],
)  # fmt: skip
def test_images_that_differ_have_other_hashes(one, other):
    assert None not in (pixel_hash(one), pixel_hash(other))
    assert pixel_hash(one) != pixel_hash(other)


def deep_png(values: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", values)[1].tobytes()


def test_low_bytes_of_16_bit_colours_count():
    deep = noise(32, 24).astype(np.uint16) * 257
    assert pixel_hash(deep_png(deep)) != pixel_hash(deep_png(nudged(deep)))
    assert pixel_hash(deep_png(deep)) != pixel_hash(encode((deep[..., ::-1] >> 8).astype(np.uint8), "PNG"))


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", encode(PHOTO, "JPEG")[:-40], encode(PHOTO, "PNG")[:-400]],
    ids=["empty", "words", "cut JPEG", "cut PNG"],
)
def test_no_claim_of_what_cannot_be_read(data):
    assert pixel_hash(data) is None


def test_no_claim_beyond_the_limit():
    assert pixel_hash(encode(PHOTO, "PNG"), max_pixels=64 * 48 - 1) is None
    assert pixel_hash(pages(*[PHOTO] * 5), max_pixels=64 * 48) is None
    assert pixel_hash(pages(*[PHOTO] * 4), max_pixels=64 * 48) is not None


def test_icon_of_several_sizes_makes_no_claim():
    image = Image.fromarray(PHOTO)
    assert pixel_hash(encode(image, "ICO", sizes=[(16, 16), (32, 32)])) is None


def test_file_without_its_end_marker_equals_the_whole():
    whole = encode(PHOTO, "JPEG")
    assert pixel_hash(whole[:-2]) == pixel_hash(whole)
