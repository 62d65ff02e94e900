"""Comparison of files with several pages, frames or images, frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from imrec_core.duplicates.comparison import BlockInput, compare
from imrec_core.images import exif
from imrec_core.images.decode import available_formats
from imrec_core.images.file_facts import frame_count
from imrec_core.images.rgb import apply_orientation, to_pixels

MAX_FRAMES = 1000
"""Of files with more frames no claim is made."""


def all_frames_near(a: bytes, b: bytes, max_pixels: int) -> bool:
    """Check whether two files have as many frames, and each is near the other's; symmetric.

    False too if a frame cannot be read, or if there are more than `MAX_FRAMES`.
    """
    try:
        pairs = zip(_frames(a, max_pixels), _frames(b, max_pixels), strict=True)
        return all(compare(one, other, tier="near").holds("near") for one, other in pairs)
    except Exception:  # Pillow's plugins raise errors of any class for damaged data; a different number is a ValueError
        return False


def _frames(data: bytes, max_pixels: int) -> Iterator[BlockInput]:
    with Image.open(io.BytesIO(data), formats=available_formats()) as image:
        count, orientation = frame_count(image), exif.of_image(image).orientation
        if count > MAX_FRAMES:
            raise ValueError(f"{count} frames; expected at most {MAX_FRAMES}")
        for number in range(count):
            image.seek(number)
            if image.width * image.height > max_pixels:
                raise ValueError(f"a frame of {image.width}×{image.height}; expected at most {max_pixels} pixels")
            image.load()
            pixels = to_pixels(image, BlockInput.min_side)[0]
            yield BlockInput.of_pixels(pixels if image.format == "TIFF" else apply_orientation(pixels, orientation))
