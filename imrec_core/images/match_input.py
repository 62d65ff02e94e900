"""MatchInput: an image prepared for comparison with another one, by keypoints and colours.

`duplicates.comparison` adds what it compares beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import UnreadableImage
from imrec_core.images import keypoints
from imrec_core.images.decode import MAX_PIXELS, DecodedImage, decode, decode_file
from imrec_core.images.keypoints import Keypoints
from imrec_core.images.rgb import Pixels, from_pillow
from imrec_core.lake.storage.files import AnyPath

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MatchInput:
    """An image prepared for comparison: bounded in size, with keypoints that are detected on first use.

    Attributes:
        pixels: Upright RGB `(h, w, 3)` uint8, of bounded size.
        width, height: Size of the upright image in the file.
        name: File name; empty for an image in memory.
        frames: Number of pages, frames or images in the file, of which this is the first.
        value_range: Values of black and white in grey of more than 8 bits; None for other images.
        max_side: Pixels of the longer side that are kept.
        min_side: Pixels that the shorter side keeps while decoding.
    """

    pixels: Pixels
    width: int
    height: int
    name: str = ""
    frames: int = 1
    value_range: tuple[float, float] | None = None

    max_side: ClassVar[int] = 480
    min_side: ClassVar[int] = 480

    @classmethod
    def of(cls, image: AnyPath | Image.Image) -> Self:
        """Read a file, or convert an open Pillow image.

        Raises:
            ImageError: The file cannot be read or decoded, and the message names it; or the Pillow image is closed.
        """
        if isinstance(image, Image.Image):
            return cls.of_pixels(_to_pixels(image))
        decoded = decode_file(image, min_side=cls.min_side)
        return cls._of_decoded(decoded, image.name)

    @classmethod
    def of_bytes(cls, data: bytes, *, max_pixels: int = MAX_PIXELS, allow_truncated: bool = False) -> Self:
        """Decode the bytes of a file.

        Raises:
            ImageError: The image cannot be decoded.
        """
        decoded = decode(data, max_pixels=max_pixels, min_side=cls.min_side, allow_truncated=allow_truncated)
        return cls._of_decoded(decoded)

    @classmethod
    def _of_decoded(cls, decoded: DecodedImage, name: str = "") -> Self:
        pixels = cls._shrink(decoded.pixels)
        return cls(pixels, decoded.width, decoded.height, name, decoded.frames, decoded.value_range)

    @classmethod
    def of_pixels(cls, pixels: Pixels) -> Self:
        """Shrink pixels `(h, w, 3)` or `(h, w, 4)` in memory; a fourth channel is ignored."""
        height, width = pixels.shape[:2]
        return cls(cls._shrink(pixels), width, height)

    @classmethod
    def _shrink(cls, pixels: Pixels) -> Pixels:
        import cv2

        small = keypoints.shrink(pixels, cls.max_side)
        if small.shape[2] == 4:  # numpy takes 0.65 ms to copy three of the channels, OpenCV 0.05 ms (2026-11)
            return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB), np.uint8)
        return np.ascontiguousarray(small)

    @cached_property
    def keypoints(self) -> Keypoints:
        """SIFT keypoints of `pixels`."""
        return keypoints.find(self.pixels)

    def at_full_size(self, places: NDArray[np.float32]) -> Points:
        """Convert positions `(n, 2)` in `pixels` to positions in the image at full size."""
        height, width = self.pixels.shape[:2]
        scale = np.array([self.width / width, self.height / height])
        return np.asarray((places + 0.5) * scale - 0.5, np.float64)


def _to_pixels(image: Image.Image) -> Pixels:
    try:
        return from_pillow(image)
    except (OSError, ValueError, AssertionError) as error:  # the class depends on how much was loaded
        raise UnreadableImage("the Pillow image is closed or damaged; keep it open until it is explained") from error
