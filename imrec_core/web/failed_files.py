"""FailedFiles: the files that could not be read, listed again when a table has changed, and their previews."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from imrec_core.catalog import retry_marks
from imrec_core.errors import ImageError, LakeError
from imrec_core.extraction.failures import FailedFile, list_failed_files
from imrec_core.images.decode import decode
from imrec_core.images.thumbnails import jpeg_thumbnail
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.web.responses import ApiError

_PREVIEW_SIDE = 640  # pixels
_PREVIEW_BYTES = 100_000_000  # of a file that is read for a preview: a damaged one may be of any size


class FailedFiles:
    """The files of a lake that could not be read.

    The list takes a read of every images table, so it is kept until a table, a scan or the settings change.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._reading = threading.Lock()
        self._state: object = None
        self._files: list[FailedFile] = []
        self._by_id: dict[str | None, FailedFile] = {}

    def all(self) -> list[FailedFile]:
        """Return all of them, by source and path."""
        with self._reading:
            state = self._read_state()
            if state != self._state:
                self._files = list_failed_files(self._lake)
                self._by_id = {one.image_id: one for one in self._files}
                self._state = state
            return self._files

    def chosen(self, kind: str | None, source: str | None) -> list[FailedFile]:
        """Return those of a kind and of a source; None for any."""
        return [one for one in self.all() if kind in (None, one.kind) and source in (None, one.source)]

    def named(self, image_ids: Iterable[str]) -> list[FailedFile]:
        """Return the files of some ids, each once.

        Raises:
            ApiError: 404, one of them has not failed.
        """
        self.all()
        by_id, unique = self._by_id, dict.fromkeys(image_ids)
        unknown = next((image for image in unique if image not in by_id), None)
        if unknown is not None:
            raise ApiError(404, "UnknownImage", f"no file with the id {unknown!r} has failed")
        return [by_id[image] for image in unique]

    def marked(self) -> frozenset[str]:
        """Return the ids of those that the next build tries again."""
        return retry_marks.load(self._lake).intersection(one.image_id for one in self.all() if one.image_id)

    def _read_state(self) -> object:
        layout, shards = self._lake.layout, self._lake.live_shards()
        sources = tuple(self._lake.settings().sources)
        paths = [path for shard in shards for path in (layout.catalog_path(shard), layout.images_path(shard))]
        return sources, tuple(map(files.status, [*paths, *map(layout.scan_path, sources)]))


def preview(path: files.AnyPath, file: FailedFile, *, max_pixels: int) -> bytes | None:
    """Decode what is left of a failed file, as a JPEG with a longer side of 640 pixels at most.

    Args:
        path: Its path, within a source of the lake.

    Returns:
        The JPEG; None if nothing of the file can be decoded.

    Raises:
        ApiError: 404, the file has changed since the scan, is too large, or cannot be opened.
    """
    if files.fingerprint(path) != (file.byte_size, file.mtime_ns):
        raise _no_preview("the file has changed since the last scan; run: imrec build")
    if file.byte_size is None or file.byte_size > _PREVIEW_BYTES:
        raise _no_preview(f"the file has {file.byte_size or 0:,} bytes, the limit is {_PREVIEW_BYTES:,}")
    try:
        data = files.read_bytes(path, file.byte_size, at_most=file.byte_size)
        decoded = decode(data, max_pixels=max_pixels, min_side=_PREVIEW_SIDE, allow_truncated=True)
        return jpeg_thumbnail(decoded.pixels, _PREVIEW_SIDE)
    except ImageError:
        return None
    except (OSError, LakeError) as error:
        raise _no_preview(getattr(error, "strerror", None) or "it cannot be opened") from error


def _no_preview(reason: str) -> ApiError:
    return ApiError(404, "NoPreview", f"no part of the file can be shown: {reason}")


def count_by(failed: Sequence[FailedFile], attribute: str) -> dict[str, int]:
    """Count files by an attribute, the most frequent first."""
    counts: dict[str, int] = {}
    for one in failed:
        value: Any = getattr(one, attribute)
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
