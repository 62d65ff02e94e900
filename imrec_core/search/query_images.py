"""The images of queries: their pixels, their rows in a generation, and how a contact sheet shows them."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.catalog.ids import image_id
from imrec_core.errors import ImageError, QueryError, UnreadableImage
from imrec_core.features.image_hash import HashObject, MultiHashObject
from imrec_core.images.hashing import content_hash
from imrec_core.images.rgb import from_pillow, over_white
from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import AnyPath, is_remote, is_url, place
from imrec_core.runtime.timing import timed
from imrec_core.search.crop import crop_pixels
from imrec_core.search.hits import DisplayImage
from imrec_core.search.query import Crop, ImageId, Query, StreamedImage, Text, UploadedImage


@dataclass(frozen=True)
class QueryImage:
    """The decoded image of a query.

    Attributes:
        pixels: Upright, `(h, w, 3)` or `(h, w, 4)` uint8.
        width, height: Size of the upright image at full size; the pixels may be fewer.
        content_hash: Hash of the bytes of the file; None for an image that is no file.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    content_hash: str | None = None

    @classmethod
    def in_memory(cls, pixels: NDArray[np.uint8]) -> QueryImage:
        """Return an image that is no file."""
        height, width = pixels.shape[:2] if pixels.ndim > 1 else (0, 0)
        return cls(pixels, width, height)


class QueryImages:
    """Reads the images of queries.

    Args:
        settings: Settings of the lake.
        min_side: Pixels that the shorter side of a decoded image needs.
    """

    def __init__(self, settings: Settings, min_side: int | None) -> None:
        self._settings, self._min_side = settings, min_side
        self._roots = {name: f"{root}/" for name, root in settings.roots.items()}
        self._loading = threading.Lock()

    def read(self, generation: Generation, query: Any) -> QueryImage:
        """Read and decode the image of a query.

        Raises:
            QueryError: The query has an unknown type, or a crop extends beyond the image.
            ImageError: The image cannot be read or decoded.
        """
        with timed("decode"):
            if not isinstance(query, Crop):
                return self._read(query, self._min_side)
            image = self._file_of(generation, query.image) if isinstance(query.image, ImageId) else query.image
            whole = self._read(image, None)  # at full size: of a shrunk image too few pixels may be inside
            if whole.pixels.ndim == 3:
                inside = crop_pixels(whole.pixels, query.box, whole.width, whole.height)
                return replace(whole, pixels=inside)
            return whole  # refused by the encoder

    def _read(self, query: Any, min_side: int | None) -> QueryImage:
        if isinstance(query, np.ndarray):
            has_alpha = query.shape[2:] == (4,) and query.dtype == np.uint8
            return QueryImage.in_memory(over_white(query) if has_alpha else query)
        if isinstance(query, Image.Image):
            return QueryImage.in_memory(self._pillow_pixels(query))
        if isinstance(query, UploadedImage):
            return self._read_upload(query, min_side)
        return self._read_file(query, min_side)

    def _pillow_pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        try:
            with self._loading:  # Pillow reads the file lazily, and two threads may search for the same image
                return from_pillow(image)
        except OSError as error:
            raise UnreadableImage(f"the Pillow image: {error}") from error

    def _read_file(self, query: Any, min_side: int | None) -> QueryImage:
        from imrec_core.images.decode import decode

        try:
            data = _bytes_of(query)
        except TypeError as error:
            raise QueryError(
                f"unsupported query type {type(query).__name__}; expected a path, the bytes of a file (bytes, "
                "bytearray, memoryview, BytesIO), a Pillow image, an array or tensor (uint8 pixels or a vector), "
                "an ImageHash, ImageId, Crop or Text"
            ) from error
        settings = self._settings
        try:
            decoded = decode(
                data,
                max_pixels=settings.max_pixels,
                min_side=min_side,
                allow_truncated=settings.allow_truncated,
            )
        except ImageError as error:
            name = query.name if isinstance(query, StreamedImage) else query
            raise error if query is data else type(error)(f"{name}: {error}") from error
        return QueryImage(decoded.pixels, decoded.width, decoded.height, content_hash(data))

    def _read_upload(self, upload: UploadedImage, min_side: int | None) -> QueryImage:
        from imrec_core.images.decode import decode

        try:
            image = decode(upload.data, max_pixels=upload.max_pixels, min_side=min_side)
        except ImageError as error:
            raise type(error)(f"{upload.name}: {error}") from error
        upload.size = image.width, image.height
        return QueryImage(image.pixels, image.width, image.height, upload.content_hash)

    # -- rows -------------------------------------------------------------------------------------------

    def own_rows(self, generation: Generation, query: Query, content: str | None) -> tuple[int, ...]:
        """Return the rows that are the query itself.

        These are the row of an `ImageId`, or of a file in a source. For other files these are the rows of equal
        content, and none for an image that is no file. A crop has the rows of its image.

        Args:
            content: Hash of the bytes of the query's file; None if it has none.
        """
        if isinstance(query, Crop):
            query = query.image
        if isinstance(query, ImageId):
            return (generation.row_of(query.value),)
        if content is None:
            return ()
        row = self._row_of(generation, query) if isinstance(query, str | os.PathLike) or is_remote(query) else None
        return tuple(rows_of_content(generation, content).tolist()) if row is None else (row,)

    def identity(self, generation: Generation, query: Query) -> object:
        """Return a key that is equal for queries of the same image: by row, by file, or by the content in memory."""
        if isinstance(query, Crop):
            return query.box, self.identity(generation, query.image)
        if isinstance(query, ImageId):
            return "row", generation.row_of(query.value)
        if isinstance(query, np.ndarray):
            content = np.ascontiguousarray(query).tobytes() if query.dtype != object else repr(query).encode()
            return query.dtype.str, query.shape, hashlib.blake2b(content).digest()
        if isinstance(query, Image.Image):
            return id(query)
        if isinstance(query, bytes | Text):
            return query
        if isinstance(query, UploadedImage):
            return "content", query.content_hash
        if isinstance(query, StreamedImage):
            return "stream", query.name
        if isinstance(query, HashObject | MultiHashObject):
            return type(query), str(query)
        try:
            row, file = self._row_of(generation, query), _full_paths(query)[0]
        except (TypeError, ValueError):
            return id(query)  # of an unknown type: refused when it is decoded
        return file if row is None else ("row", row)

    def _row_of(self, generation: Generation, file: Any) -> int | None:
        """Return the row of a file; None if it is in no source, or not in this generation."""
        full = _full_paths(file)[1]
        for name, root in self._settings.sources.items():
            folder = _full_paths(root)[1].rstrip("/") + "/"
            if full.startswith(folder):
                row = int(generation.rows_of([image_id(name, full.removeprefix(folder))])[0])
                if row >= 0:
                    return row
        return None

    # -- display ----------------------------------------------------------------------------------------

    def path(self, source: str, path: str) -> str:
        """Return the full path of an image, from its source and its path in it."""
        return self._roots.get(source, "") + path  # a `Path` per hit takes as long as ranking the hits

    def display_image(self, generation: Generation, query: Query) -> DisplayImage | None:
        """Return the query as a contact sheet shows it; None for texts, vectors and uploads."""
        if isinstance(query, ImageId):
            return self._file_of(generation, query)
        if isinstance(query, np.ndarray):
            return Image.fromarray(query[..., :3]) if query.ndim == 3 else None
        if isinstance(query, Text | UploadedImage | HashObject | MultiHashObject):
            return None
        if isinstance(query, bytes | StreamedImage | Crop):
            return Image.fromarray(np.ascontiguousarray(self.read(generation, query).pixels[..., :3]))
        return query if isinstance(query, Image.Image) else place(query)

    def _file_of(self, generation: Generation, query: ImageId) -> AnyPath:
        row = generation.row_of(query.value)
        values = generation.row_table.values(np.array([row]), "source", "path")
        return place(self.path(values["source"][0], values["path"][0]))


def rows_of_content(generation: Generation, content_hash: str) -> Rows:
    """Return the live rows of the images whose files have a content hash, ascending."""
    rows = generation.row_table.rows_equal_to("content_hash", content_hash)
    return rows[generation.is_live[rows]]


def _bytes_of(query: Any) -> bytes:
    """Return the bytes of the file of a query, which is one, holds one, or is the path of one."""
    from imrec_core.images.decode import read_file

    if isinstance(query, bytes):
        return query
    return query.data if isinstance(query, StreamedImage) else read_file(query)


def _full_paths(file: str | os.PathLike[str] | AnyPath) -> tuple[str, str]:
    """Return the real path of a file and its absolute path; the first is equal for two spellings of one file."""
    if is_remote(file) or (isinstance(file, str) and is_url(file)):
        return str(file), str(file)
    return os.path.realpath(file), Path(os.path.abspath(file)).as_posix()  # type: ignore[arg-type]
