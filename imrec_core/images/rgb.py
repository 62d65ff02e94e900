"""Conversion of Pillow images of any mode to upright sRGB pixels, transparent ones over white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.images import exif
from imrec_core.images.color_profile import ColorProfile, open_profile, srgb_levels, stated_gamma
from imrec_core.images.grey_levels import to_8_bit, value_range

Pixels = NDArray[np.uint8]

LARGE = 32_000_000  # pixels; larger images are decoded one at a time and shrunk before conversion

_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of grey with more than 8 bits
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # tags of TIFF 6.0
_BLACK_AND_WHITE = ((280, 281), (340, 341))  # smallest and largest value: of integers, of any type
_UNSIGNED = 1


def from_pillow(image: Image.Image) -> Pixels:
    """Convert any Pillow image to upright pixels `(h, w, 4)`: sRGB, the fourth byte unused."""
    return apply_orientation(to_pixels(image)[0], exif.of_image(image).orientation)


def over_white(pixels: Pixels) -> Pixels:
    """Blend pixels `(h, w, 4)` of red, green, blue and alpha over white."""
    return to_pixels(Image.fromarray(np.ascontiguousarray(pixels), "RGBA"))[0]


def to_pixels(image: Image.Image, min_side: int | None = None) -> tuple[Pixels, ColorProfile | None]:
    """Convert a Pillow image to pixels `(h, w, 4)`, not turned upright.

    Args:
        min_side: Pixels that the shorter side of a large image keeps; None: full size.

    Returns:
        The pixels, and the profile from which they were converted; None without one.
    """
    data = image.info.get("icc_profile")
    if is_deep(image):
        image = _to_8_bits(image)
    image, alpha = _split_alpha(_shrink_large(image, min_side))
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    profile = open_profile(data, image.mode) if isinstance(data, bytes) and data else None
    if profile is not None:
        image = profile.to_srgb(image)
    elif (gamma := stated_gamma(image.info)) and image.mode != "CMYK":
        image = image.point(srgb_levels(gamma) * len(image.getbands()))
    if image.mode != "RGB":
        image = image.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=alpha)
        image = white
    return np.asarray(image.convert("RGBX")), profile


def convert_profile(pixels: Pixels, data: bytes, *, is_grey: bool) -> tuple[Pixels, ColorProfile]:
    """Convert pixels `(h, w, 4)` to sRGB from the profile in `data`; of grey ones the three channels are equal."""
    profile = open_profile(data, "L" if is_grey else "RGBX")
    if profile.transform is None:
        return pixels, profile
    if is_grey:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    else:
        image = Image.frombuffer("RGBX", pixels.shape[1::-1], pixels, "raw", "RGBX", 0, 1)
    return np.asarray(profile.to_srgb(image).convert("RGBX")), profile


def apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turn pixels upright by their EXIF orientation (tag 0x0112, TIFF 6.0)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def is_deep(image: Image.Image) -> bool:
    """Return whether an image is grey with more than 8 bits."""
    return image.mode in _DEEP


def profile_mode(image: Image.Image) -> str:
    """Return the mode in which the profile of an image is applied: `L`, `RGB` or `CMYK`."""
    if is_deep(image) or image.mode in ("1", "L", "LA"):
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def grey_values(image: Image.Image) -> NDArray[Any]:
    """Return the stored values `(h, w)` of an image of grey with more than 8 bits."""
    values: NDArray[Any] = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    if values.dtype != np.int32 or _BITS_PER_SAMPLE not in tags:
        return values
    # Pillow has one mode for signed values of 16 bits and all values of 32 bits.
    bits, is_unsigned = _first(tags, _BITS_PER_SAMPLE, 0), _first(tags, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED
    if bits == 32 and is_unsigned:
        return values.view(np.uint32)
    return values.astype(np.int16) if bits == 16 and not is_unsigned else values


def range_of_values(image: Image.Image) -> tuple[float, float] | None:
    """Return the values of black and white in grey of more than 8 bits; None for other images."""
    return value_range(grey_values(image), _declared_range(image)) if is_deep(image) else None


def _to_8_bits(image: Image.Image) -> Image.Image:
    values, clear = grey_values(image), image.info.get("transparency")
    grey = Image.fromarray(to_8_bit(values, _declared_range(image)))
    if not isinstance(clear, int):
        return grey
    alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))


def _declared_range(image: Image.Image) -> tuple[float, float] | None:
    """Return the values of black and white that a TIFF file declares."""
    tags: Any = getattr(image, "tag_v2", {})
    for low, high in _BLACK_AND_WHITE:
        if high in tags:
            return float(_first(tags, low, 0)), float(_first(tags, high, 0))
    return None


def _first(tags: Any, tag: int, default: float) -> Any:
    value = tags.get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image that may be transparent in colours and alpha."""
    if not image.has_transparency_data:
        return image, None
    mode = "LA" if image.mode in ("L", "LA") else "RGBA"
    image = image.convert(mode)
    return image.convert(mode[:-1]), image.getchannel("A")


def _shrink_large(image: Image.Image, min_side: int | None) -> Image.Image:
    """Shrink a large image, so that its conversion makes no copy of full size."""
    if min_side is None or image.width * image.height <= LARGE:
        return image
    factor = min(image.size) // (2 * min_side)
    if factor < 2:
        return image
    if image.mode in ("P", "PA", "1"):  # palette indices have no average
        return image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
    return image.reduce(factor)
