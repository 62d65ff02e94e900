"""Pixels are converted from the profile of their file to sRGB, whatever the format and the mode."""

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from imrec_core.images.color_profile import DAMAGED, open_profile
from imrec_core.images.decode import decode
from imrec_core.images.rgb import from_pillow
from tests.support import icc
from tests.support.pictures import encode, noise

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = icc.SRGB[:, [2, 1, 0]]
FORMATS = [
    ("JPEG", {"quality": 95, "subsampling": 0}, 4),
    ("PNG", {}, 0.5),
    ("WEBP", {"lossless": True}, 0.5),
    ("TIFF", {}, 0.5),
    ("AVIF", {"quality": 95}, 4),
]


def rgb(data: bytes) -> np.ndarray:
    return decode(data).pixels[..., :3].astype(int)


def off(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def converted(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """The oracle: LittleCMS by another route of Pillow."""
    image = ImageCms.profileToProfile(
        Image.fromarray(pixels), ImageCms.ImageCmsProfile(_file(profile)), ImageCms.createProfile("sRGB")
    )
    assert image is not None
    return np.asarray(image)


def _file(data: bytes):
    from io import BytesIO

    return BytesIO(data)


@pytest.mark.parametrize("name", ["ADOBE", "P3", "PROPHOTO"])
@pytest.mark.parametrize(("file_format", "options", "tolerance"), FORMATS, ids=lambda value: str(value)[:8])
def test_wide_gamut_is_converted_to_srgb(name, file_format, options, tolerance):
    pixels, profile = noise(64, 48), icc.rgb_profile(getattr(icc, name), name=name)
    data = encode(pixels, file_format, icc_profile=profile, **options)
    expected = converted(pixels, profile)
    assert off(expected, pixels) > 3
    assert off(rgb(data), expected) <= tolerance
    assert decode(data).color_profile == name


def test_profile_that_swaps_channels_shows_the_colours_it_names():
    pixels = noise(64, 48)
    profile = icc.rgb_profile(SWAPPED, name="swapped")
    plain = rgb(encode(pixels, "PNG", icc_profile=icc.rgb_profile(icc.SRGB)))
    assert off(rgb(encode(pixels[..., ::-1].copy(), "PNG", icc_profile=profile)), plain) < 1


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_profile_of_srgb_changes_no_value(file_format):
    pixels = noise(64, 48)
    data = encode(pixels, file_format, icc_profile=SRGB)
    assert np.array_equal(rgb(data), rgb(encode(pixels, file_format)))
    assert "sRGB" in str(decode(data).color_profile)


def test_image_without_a_profile_names_none():
    assert decode(encode(noise(64, 48), "JPEG")).color_profile is None


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_grey_is_converted_by_its_curve(file_format):
    grey = noise(64, 48)[..., 0].copy()
    data = encode(grey, file_format, icc_profile=icc.grey_profile(1.0))
    linear = grey / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert off(rgb(data)[..., 1], expected) < 2.5
    assert np.ptp(rgb(data), axis=2).max() <= 1


def test_inks_are_printed_as_the_profile_says():
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, 8:, 3] = 255
    inks[:8, :8, 0] = 255  # cyan, of which this printer makes grey
    image = Image.frombytes("CMYK", (16, 16), inks.tobytes())
    for file_format, options in (("JPEG", {"quality": 95}), ("TIFF", {})):
        found = rgb(encode(image, file_format, icc_profile=icc.cmyk_profile(), **options))
        assert off(found[12, 2], np.full(3, 255)) < 4
        assert off(found[12, 12], np.zeros(3)) < 4
        assert np.ptp(found[2, 2]) < 4 and 100 < found[2, 2, 0] < 220
        assert np.ptp(rgb(encode(image, file_format, **options))[2, 2]) > 100


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_survives_the_conversion(mode):
    pixels = np.dstack([noise(64, 48), np.where(np.arange(64) < 32, 0, 255)[None].repeat(48, 0).astype(np.uint8)])
    image = Image.fromarray(pixels)
    profile = icc.grey_profile(1.0) if mode == "LA" else icc.rgb_profile(icc.ADOBE)
    image = image.convert("LA") if mode == "LA" else image.quantize(64) if mode == "P" else image
    decoded = decode(encode(image, "PNG", icc_profile=profile))
    assert (decoded.pixels[:, :30, :3] == 255).all()
    plain = decode(encode(image, "PNG")).pixels
    assert off(decoded.pixels[:, 34:, :3], plain[:, 34:, :3]) > 2
    assert decoded.has_alpha and decoded.color_profile.startswith("drawn")


@pytest.mark.parametrize(
    "profile",
    [b"no profile", icc.rgb_profile(icc.ADOBE)[:150], icc.cmyk_profile(), icc.grey_profile(2.2), b"\0" * 500],
    ids=["words", "cut", "of inks", "of grey", "zeros"],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_profile_that_cannot_be_used_is_ignored_and_recorded(profile, file_format):
    pixels = noise(64, 48)
    decoded = decode(encode(pixels, file_format, icc_profile=profile))
    assert np.array_equal(decoded.pixels, decode(encode(pixels, file_format)).pixels)
    assert (decoded.color_profile, decoded.is_damaged) == (DAMAGED, True)


def test_profile_in_several_segments_is_joined():
    pixels = noise(64, 48)
    profile = icc.rgb_profile(icc.P3, name="x") + bytes(100_000)  # behind the end that its header states
    assert off(rgb(encode(pixels, "JPEG", quality=95, icc_profile=profile)), converted(pixels, profile)) < 4


def test_pillow_image_is_converted_too():
    pixels, profile = noise(64, 48), icc.rgb_profile(icc.ADOBE)
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = profile
    assert off(from_pillow(image)[..., :3], converted(pixels, profile)) < 0.5


def test_name_of_a_profile_is_one_printable_line():
    assert open_profile(icc.rgb_profile(icc.ADOBE, name="a\n\x07b  c"), "RGB").name == "a b c"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_gamma_of_a_png_counts(mode):
    image = Image.fromarray(noise(64, 48)).convert(mode)
    found, plain = rgb(encode(image, "PNG", pnginfo=gamma_chunk(100_000))), rgb(encode(image, "PNG"))
    linear = plain / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert off(found, expected) < 1
    assert np.array_equal(rgb(encode(image, "PNG", pnginfo=gamma_chunk(45_455))), plain)


def gamma_chunk(gamma: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", gamma.to_bytes(4, "big"))
    return info
