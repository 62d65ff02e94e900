"""Uploaded images: reading them from a form, and a cache of them for later requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request

from imrec_core.search.query import UploadedImage
from imrec_core.web.limits import MAX_FILES, Limits
from imrec_core.web.responses import ApiError

_EXPECTED = f"expected 1 to {MAX_FILES} files `images`, and at most one text `request`"
_MAX_FIELDS = 4
_MAX_NAME = 200


class UploadCache:
    """Uploaded images by content hash, up to a total size and an age; the least recently used go first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._uploads: OrderedDict[str, tuple[float, UploadedImage]] = OrderedDict()
        self._byte_size = 0
        self._changing = threading.Lock()

    def add(self, data: bytes, name: str) -> UploadedImage:
        """Add an image, or return the cached one with the same bytes under its new name."""
        upload = UploadedImage(data, name, max_pixels=self._limits.max_pixels)
        with self._changing:
            if upload.content_hash in self._uploads:
                _, upload = self._uploads.pop(upload.content_hash)
                upload.name = name
            else:
                self._byte_size += len(data)
            self._uploads[upload.content_hash] = time.monotonic(), upload
            self._evict()
        return upload

    def get(self, handle: str) -> UploadedImage:
        """Return the image with that handle.

        Raises:
            ApiError: 410, it has expired, or was never uploaded.
        """
        with self._changing:
            self._evict()
            if handle not in self._uploads:
                raise ApiError(410, "UploadGone", f"there is no upload {handle!r}, or it has expired; send it again")
            upload = self._uploads.pop(handle)[1]
            self._uploads[handle] = time.monotonic(), upload
        return upload

    def remove(self, upload: UploadedImage) -> None:
        """Remove an upload, for example one that cannot be decoded."""
        with self._changing:
            if self._uploads.pop(upload.content_hash, None):
                self._byte_size -= len(upload.data)

    def _evict(self) -> None:
        oldest_time = time.monotonic() - self._limits.cache_seconds
        while self._uploads:
            handle, (last_used, upload) = next(iter(self._uploads.items()))
            is_last = len(self._uploads) == 1
            if last_used > oldest_time and (self._byte_size <= self._limits.cache_bytes or is_last):
                return
            del self._uploads[handle]
            self._byte_size -= len(upload.data)


async def read_form(request: Request, limits: Limits) -> tuple[list[tuple[str, bytes]], str | None]:
    """Read the files `images` of a form as pairs of name and content, and its text `request`.

    Raises:
        ApiError: 400, the body is not a form, or has other or too many parts.
    """
    images, text = [], None
    try:
        async with request.form(max_files=MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=limits.json_bytes) as form:
            for name, value in form.multi_items():
                if name == "images" and not isinstance(value, str):
                    images.append((clean_file_name(value.filename or ""), await value.read()))
                elif name == "request" and isinstance(value, str):
                    text = value
                else:
                    raise ApiError(400, "BadForm", f"the form has a part {name!r}; {_EXPECTED}")
    except HTTPException as error:
        raise ApiError(400, "BadForm", f"the form cannot be read: {error.detail} {_EXPECTED}") from error
    if not images:
        raise ApiError(400, "BadForm", f"the form has no image; {_EXPECTED}")
    return images, text


def clean_file_name(name: str) -> str:
    """Return the last part of a file name, shortened, as valid Unicode."""
    return name.encode("utf-8", "replace").decode().rpartition("/")[2].rpartition("\\")[2][:_MAX_NAME]
