"""BlockInput: an image prepared for comparison by blocks, and at full size where that is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from imrec_core.duplicates.block_agreement import Floats, mean_levels, split_blocks
from imrec_core.errors import ImageError
from imrec_core.images import keypoints
from imrec_core.images.decode import MAX_PIXELS, decode
from imrec_core.images.match_input import MatchInput
from imrec_core.images.rgb import Pixels

_FULL_SIDE = 1024  # pixels of the shorter side at "full size", while decoding
_FULL_AREA = 4 << 20  # pixels; for long strips
_LARGER = 1.2  # minimum ratio of full size to the pixels compared before


@dataclass(frozen=True, eq=False)
class BlockInput(MatchInput):
    """An image prepared for comparison by blocks too, which are computed on first use.

    Attributes:
        read: Reads the bytes of the file again, to compare at full size; None if `pixels` is all there is.
        max_pixels: Images with more pixels raise `ImageTooLarge`.
    """

    max_side = 512
    min_side = 256

    read: Callable[[], bytes] | None = None
    max_pixels: int = MAX_PIXELS

    @classmethod
    def of_source(
        cls, read: Callable[[], bytes], *, max_pixels: int = MAX_PIXELS, allow_truncated: bool = False
    ) -> BlockInput:
        """Decode an image that can be read again.

        Raises:
            ImageError: The image cannot be decoded.
        """
        image = cls.of_bytes(read(), max_pixels=max_pixels, allow_truncated=allow_truncated)
        return replace(image, read=read, max_pixels=max_pixels)

    def read_bytes(self) -> bytes:
        """Read the bytes of the file again.

        Raises:
            OSError: The file cannot be read any more.
        """
        if self.read is None:
            raise FileNotFoundError("the image is in memory only")
        return self.read()

    @property
    def is_reduced(self) -> bool:
        """Whether the file has more pixels than `pixels`."""
        sides = min(self.width, self.height), min(self.pixels.shape[:2])
        return self.read is not None and min(sides[0], _FULL_SIDE) >= _LARGER * sides[1]

    def full_pixels(self) -> Pixels:
        """Decode the image at full size, bounded; returns `pixels` if the file cannot be read any more."""
        if self.read is None:
            return self.pixels
        try:
            decoded = decode(self.read(), max_pixels=self.max_pixels, min_side=_FULL_SIDE, allow_truncated=True)
        except (ImageError, OSError, IndexError):  # IndexError: the content has been dropped
            return self.pixels
        return _bound_area(np.ascontiguousarray(decoded.pixels[..., :3]))

    @cached_property
    def blocks(self) -> Floats:
        """Luma and chroma of the blocks `(3, 64, n)`."""
        return split_blocks(self.pixels)

    @cached_property
    def coarse(self) -> Floats:
        """Mean luma of each block `(8, 8)`, centred, of length 1."""
        return mean_levels(self.blocks)

    def oriented(self, turns: int, *, is_mirrored: bool) -> Pixels:
        """Mirror the image left to right if requested, then rotate it by quarter turns counterclockwise."""
        return np.rot90(self.pixels[:, ::-1] if is_mirrored else self.pixels, turns)


def _bound_area(pixels: Pixels) -> Pixels:
    """Shrink a long strip, which `_FULL_SIDE` does not bound."""
    area = pixels.shape[0] * pixels.shape[1]
    longest = max(pixels.shape[:2])
    return keypoints.shrink(pixels, round(longest * min((_FULL_AREA / area) ** 0.5, 1.0)))
