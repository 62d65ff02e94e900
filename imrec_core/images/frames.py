"""Decoding of all pages, frames or images of a file, one after the other."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from imrec_core.errors import ImageTooLarge, UnreadableImage
from imrec_core.images import exif
from imrec_core.images.decode import MAX_PIXELS, available_formats
from imrec_core.images.file_facts import frame_count
from imrec_core.images.rgb import Pixels, apply_orientation, to_pixels

MAX_FRAMES = 1000


def decode_frames(data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None) -> Iterator[Pixels]:
    """Yield each frame of an image file as `decode` would: upright sRGB pixels `(h, w, 4)`.

    Raises:
        ImageTooLarge: The file has more than `MAX_FRAMES` frames, or a frame has more than `max_pixels` pixels.
        UnreadableImage: The file is damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=available_formats()) as image:
            count, orientation = frame_count(image), exif.of_image(image).orientation
            if count > MAX_FRAMES:
                raise ImageTooLarge(f"{count} frames; expected at most {MAX_FRAMES}")
            for number in range(count):
                image.seek(number)
                if image.width * image.height > max_pixels:
                    raise ImageTooLarge(
                        f"frame {number} is {image.width}×{image.height}; the limit is {max_pixels} pixels"
                    )
                image.load()
                pixels = to_pixels(image, min_side)[0]
                yield pixels if image.format == "TIFF" else apply_orientation(pixels, orientation)  # turned by Pillow
    except ImageTooLarge:
        raise
    except Exception as error:  # Pillow's plugins raise errors of any class for damaged data
        raise UnreadableImage(f"damaged: {error}") from error
