"""Pictures that were sent: read from a request within its limits, and kept a while for the requests that follow."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request

from imrec_core.search.query import UploadedImage
from imrec_core.web.limits import MOST_FILES, Limits
from imrec_core.web.responses import ApiError

_EXPECTED = f"expected 1 to {MOST_FILES} files `images`, and at most one text `request`"
_MOST_FIELDS = 4
_LONGEST_NAME = 200


class Uploads:
    """Pictures that were sent, by content hash, while there is room for them; the oldest go first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[str, tuple[float, UploadedImage]] = OrderedDict()
        self._byte_size = 0
        self._changing = threading.Lock()

    def keep(self, data: bytes, name: str) -> UploadedImage:
        """A picture that was sent, or the one with the same bytes that was sent before."""
        new = UploadedImage(data, name, max_pixels=self._limits.pixels)
        with self._changing:
            if new.content_hash in self._kept:
                _, new = self._kept.pop(new.content_hash)
                new.name = name
            else:
                self._byte_size += len(data)
            self._kept[new.content_hash] = time.monotonic(), new
            self._make_room()
        return new

    def find(self, upload: str) -> UploadedImage:
        """The picture of a handle.

        Raises:
            Refused: 410, it is not kept any more, or never was.
        """
        with self._changing:
            self._make_room()
            if upload not in self._kept:
                raise ApiError(410, "UploadGone", f"the picture {upload} is not kept any more; send it again")
            kept = self._kept.pop(upload)[1]
            self._kept[upload] = time.monotonic(), kept
        return kept

    def drop(self, kept: UploadedImage) -> None:
        """Forget one that turned out to be no picture."""
        with self._changing:
            if self._kept.pop(kept.content_hash, None):
                self._byte_size -= len(kept.data)

    def _make_room(self) -> None:
        until = time.monotonic() - self._limits.kept_seconds
        while self._kept:
            oldest, (since, kept) = next(iter(self._kept.items()))
            is_last = len(self._kept) == 1
            if since > until and (self._byte_size <= self._limits.kept_bytes or is_last):
                return
            del self._kept[oldest]
            self._byte_size -= len(kept.data)


async def read_form(request: Request, limits: Limits) -> tuple[list[tuple[str, bytes]], str | None]:
    """The pictures of a request, each with its name, and the text of its field `request`.

    Raises:
        Refused: 400, it is no form, has too many parts or files, or others than these.
    """
    pictures, asked = [], None
    try:
        async with request.form(max_files=MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=limits.json_bytes) as form:
            for name, value in form.multi_items():
                if name == "images" and not isinstance(value, str):
                    pictures.append((shown_name(value.filename or ""), await value.read()))
                elif name == "request" and isinstance(value, str):
                    asked = value
                else:
                    raise ApiError(400, "BadForm", f"the form has a part {name!r}; {_EXPECTED}")
    except HTTPException as error:
        raise ApiError(400, "BadForm", f"the form cannot be read: {error.detail} {_EXPECTED}") from error
    if not pictures:
        raise ApiError(400, "BadForm", f"the form has no picture; {_EXPECTED}")
    return pictures, asked


def shown_name(name: str) -> str:
    """A file's name as text that can be stored and shown, whatever it holds."""
    return name.encode("utf-8", "replace").decode().rpartition("/")[2].rpartition("\\")[2][:_LONGEST_NAME]
