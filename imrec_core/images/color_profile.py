"""Conversion of pixels from the colour profile (ICC.1:2022) of a file to sRGB, by LittleCMS."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

DAMAGED = "damaged"
"""Name of a profile that cannot be used; the pixels stay as stored."""

_SPACES = {"L": "GRAY", "RGB": "RGB ", "RGBX": "RGB ", "CMYK": "CMYK"}  # Pillow's mode: colour space of the profile
_EQUAL = 3  # levels: several profiles of sRGB differ by rounding
_STEPS = 9  # levels per channel that are converted to find out whether a profile is sRGB
_MAX_NAME = 100  # characters
_SRGB_GAMMA, _GAMMA_SLACK = 1 / 2.2, 0.02
_CACHED = 64  # profiles: a camera writes the same one into every file


@dataclass(frozen=True)
class ColorProfile:
    """A colour profile, ready to convert pixels of one mode.

    Attributes:
        name: Description in the profile; `DAMAGED` if it cannot be used.
        transform: Conversion to sRGB; None if pixels stay as they are.
    """

    name: str
    transform: ImageCms.ImageCmsTransform | None = None

    @property
    def is_damaged(self) -> bool:
        """Whether the profile cannot be read, or describes another kind of image."""
        return self.name == DAMAGED

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """Convert an image of the mode for which the profile was opened; grey and CMYK become RGB."""
        if self.transform is None:
            return image
        converted = self.transform.apply(image)
        assert converted is not None
        return converted


@functools.lru_cache(_CACHED)
def open_profile(data: bytes, mode: str) -> ColorProfile:
    """Open a profile for images of Pillow's mode `L`, `RGB`, `RGBX` or `CMYK`.

    The rendering intent is the one that the profile names: perceptual, or relative colorimetric with black point
    compensation for any other.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if profile.profile.xcolor_space != _SPACES[mode]:
            return ColorProfile(DAMAGED)
        is_perceptual = ImageCms.getDefaultIntent(profile) == ImageCms.Intent.PERCEPTUAL
        transform = ImageCms.buildTransform(
            profile,
            _srgb(),
            mode,
            "RGBX" if mode == "RGBX" else "RGB",
            ImageCms.Intent.PERCEPTUAL if is_perceptual else ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.NONE if is_perceptual else ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        name = _readable(ImageCms.getProfileDescription(profile))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ColorProfile(DAMAGED)
    return ColorProfile(name, None if _is_srgb(transform, mode) else transform)


def stated_gamma(info: Mapping[Any, Any]) -> float | None:
    """Return the gamma of a PNG file (chunk gAMA) if it is not that of sRGB; a profile and the chunk sRGB overrule it.

    Args:
        info: `Image.info`.
    """
    gamma = info.get("gamma")
    if not isinstance(gamma, float) or "srgb" in info or info.get("icc_profile"):
        return None
    return gamma if gamma > 0 and abs(gamma - _SRGB_GAMMA) > _GAMMA_SLACK else None


@functools.lru_cache(_CACHED)
def srgb_levels(gamma: float) -> list[int]:
    """Return the sRGB level of each of the 256 levels stored with a gamma (PNG, section 11.3.2.2)."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(level) for level in np.rint(255 * encoded)]


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Convert colours of all parts of the cube, and check whether they stay the same."""
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, 256 if mode == "L" else _STEPS).round().astype(np.uint8)
    if mode == "L":
        image = Image.fromarray(levels[None])
        expected = np.repeat(levels[None, :, None], 3, axis=2)
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        image, expected = Image.fromarray(colours).convert(mode), colours
    converted = transform.apply(image)
    found = np.asarray(converted)[..., :3]
    return int(np.abs(found.astype(np.int16) - expected).max()) <= _EQUAL


def _readable(text: str) -> str:
    """Return a description as one line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:_MAX_NAME] or "unnamed"
