"""Read the bytes of an image that a manifest lists."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from imrec_core.catalog import ids
from imrec_core.errors import ImageTooLarge, StorageFault, UnreadableImage
from imrec_core.images.decode import MAX_BYTES
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files


def read_image(source: Source, place: Mapping[str, Any]) -> bytes:
    """Read the bytes of an image.

    Args:
        place: Row of the manifest, or of a generation; its `byte_size` may be None.

    Raises:
        UnreadableImage: The file cannot be read, or is larger than the manifest says.
        ImageTooLarge: The file has more than `MAX_BYTES`.
        StorageFault: The object store failed, or the source went away; this says nothing about the image.
    """
    if ids.is_escaped(place["source"], place["path"], place["image_id"]):
        raise UnreadableImage(f"the file name is not valid UTF-8: {place['path']}; rename the file")
    listed = place["byte_size"]
    limit = MAX_BYTES if listed is None else listed
    if limit > MAX_BYTES:
        raise ImageTooLarge(f"the file has {limit:,} bytes, the limit is {MAX_BYTES:,}")
    try:
        return files.read_bytes(source.root / str(place["path"]), listed, at_most=limit)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UnreadableImage("the file grew after the scan; the next build reads it") from error
        if files.is_away(source.root):
            raise StorageFault(f"source {source.name!r}: {source.root} went away while it was read") from error
        raise UnreadableImage(f"cannot read the file: {error.strerror or error}") from error
