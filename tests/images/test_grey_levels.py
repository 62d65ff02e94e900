"""Grey of more than 8 bits becomes 8 bits by one rule for each kind of values."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from imrec_core.images.decode import decode
from imrec_core.images.grey_levels import to_8_bit
from tests.support.pictures import encode, noise


def grey(data: bytes) -> np.ndarray:
    pixels = decode(data).pixels
    assert np.ptp(pixels[..., :3], axis=2).max() == 0
    return pixels[..., 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sensor_of_each_depth_looks_like_its_8_bit_copy(bits, file_format):
    photo = noise(64, 48)[..., 1]
    deep = photo.astype(np.uint16) << (bits - 8)
    deep[0, 0] = 2**bits - 1
    assert np.array_equal(grey(encode(deep, file_format))[1:], photo[1:])


def test_masks_keep_their_labels():
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 200, (48, 64)).astype(np.uint16) for _ in range(3)]
    found = [grey(encode(mask, "PNG")) for mask in masks]
    assert all(np.array_equal(one, mask) for one, mask in zip(found, masks, strict=True))


def test_full_range_keeps_its_high_byte():
    values = np.arange(3072, dtype=np.uint16).reshape(48, 64) * 21
    assert np.array_equal(to_8_bit(values), values >> 8)


def test_range_that_a_tiff_declares_counts():
    values = np.linspace(0, 1000, 64 * 48).astype(np.uint16).reshape(48, 64)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[280], tags[281] = 0, 2000
    assert abs(int(grey(encode(values, "TIFF", tiffinfo=tags))[-1, -1]) - 127) <= 1
    assert grey(encode(values, "TIFF"))[-1, -1] == 1000 >> 2


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [(0.0, 1.0, 0, 255), (0.0, 0.5, 0, 127), (0.0, 200.0, 0, 200), (0.0, 4000.0, 0, 255), (-5.0, 5.0, 0, 255)],
)
def test_floats_by_the_smallest_usual_range(low, high, black, white):
    values = np.linspace(low, high, 64 * 48, dtype=np.float32).reshape(48, 64)
    found = grey(encode(values, "TIFF"))
    assert abs(int(found[0, 0]) - black) <= 1 and abs(int(found[-1, -1]) - white) <= 1
    assert (np.diff(found.ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_black(hole):
    values = np.full((8, 8), 100.0, np.float32)
    values[0, 0] = hole
    found = to_8_bit(values)
    assert found[0, 0] == 0 and (found.ravel()[1:] == 100).all()


def test_nothing_finite_is_black():
    assert not to_8_bit(np.full((4, 4), np.nan, np.float32)).any()


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.uint32, [0, 2**31, 2**32 - 1], [0, 127, 255]),
        (np.uint32, [0, 100_000, 200_000], [0, 127, 255]),
        (np.int32, [-1000, 0, 1000], [0, 127, 255]),
        (np.int32, [0, 100, 4095], [0, 6, 255]),
        (np.int16, [-100, 0, 100], [0, 127, 255]),
    ],
)
def test_other_integers(dtype, values, expected):
    assert np.abs(to_8_bit(np.array([values], dtype))[0].astype(int) - expected).max() <= 1


def test_unsigned_tiff_of_32_bits_is_not_taken_for_signed():
    photo = noise(64, 48)[..., 0]
    data = encode(Image.fromarray((photo.astype(np.uint32) << 24).view(np.int32)), "TIFF")
    unsigned = data.replace(b"\x53\x01\x03\x00\x01\x00\x00\x00\x02\x00", b"\x53\x01\x03\x00\x01\x00\x00\x00\x01\x00")
    assert unsigned != data
    assert np.abs(grey(unsigned).astype(int) - photo).max() <= 1


@pytest.mark.parametrize("clear", [0, 300, 40_000])
def test_clear_value_of_16_bit_grey_lies_over_white(clear):
    values = np.full((8, 8), 20_000, np.uint16)
    values[:, 4:] = clear
    values[0, 0] = 65_535
    found = grey(encode(Image.fromarray(values), "PNG", transparency=clear))
    assert (found[:, 4:] == 255).all()
    assert (found[1:, :4] == 20_000 >> 8).all()
