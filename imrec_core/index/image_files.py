"""Thumbnails of the images of a generation."""

from __future__ import annotations

from PIL import Image

from imrec_core.errors import ImageError, QueryError, UnknownName
from imrec_core.images.decode import decode_file
from imrec_core.images.thumbnails import scale_to_fit
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake


def thumbnail(lake: Lake, generation: Generation, image_id: str, side: int) -> Image.Image | None:
    """Decode an image and scale it down to fit a square.

    Args:
        side: Side of the square in pixels.

    Returns:
        The thumbnail, or None if the image is missing or cannot be decoded.
    """
    try:
        row = generation.row_of(image_id)
        location = generation.columns("source", "path").slice(row, 1).to_pylist()[0]
        root = lake.settings().source(location["source"]).root
        decoded = decode_file(root / location["path"], min_side=side, allow_truncated=True)
    except (ImageError, QueryError, UnknownName):
        return None
    return scale_to_fit(decoded.pixels, side)
