"""The bytes of an image that a manifest lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imrec_core.catalog import ids
from imrec_core.errors import StorageFault, UnreadableImage
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files


def read_image(source: Source, place: Mapping[str, Any]) -> bytes:
    """The bytes of an image of a manifest.

    Raises:
        UnreadableImage: They cannot be had.
        StorageFault: The object store failed, which says nothing of the image; or the disk went away.
    """
    if ids.is_escaped(place["source"], place["path"], place["image_id"]):
        raise UnreadableImage(f"the file's name is no UTF-8: {place['path']}; rename it")
    try:
        return files.read_bytes(source.root / str(place["path"]), place["byte_size"])
    except OSError as error:
        if files.is_away(source.root):
            raise StorageFault(f"source {source.name!r}: {source.root} went away while it was read") from error
        raise UnreadableImage(f"cannot read the file: {error.strerror or error}") from error
