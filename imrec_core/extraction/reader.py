"""Read the bytes of an image that a manifest lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imrec_core.catalog import ids
from imrec_core.errors import StorageFault, UnreadableImage
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files


def read_image(source: Source, place: Mapping[str, Any]) -> bytes:
    """Read the bytes of an image.

    Args:
        place: Row of the manifest.

    Raises:
        UnreadableImage: The file cannot be read.
        StorageFault: The object store failed, or the source went away; this says nothing about the image.
    """
    if ids.is_escaped(place["source"], place["path"], place["image_id"]):
        raise UnreadableImage(f"the file name is not valid UTF-8: {place['path']}; rename the file")
    try:
        return files.read_bytes(source.root / str(place["path"]), place["byte_size"])
    except OSError as error:
        if files.is_away(source.root):
            raise StorageFault(f"source {source.name!r}: {source.root} went away while it was read") from error
        raise UnreadableImage(f"cannot read the file: {error.strerror or error}") from error
