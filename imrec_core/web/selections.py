"""Selections: lists of images that a client sends once, and that later requests name by a handle."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from imrec_core.web.limits import Limits
from imrec_core.web.responses import ApiError

_MAX_CACHED = 256  # 10,000 ids take 700 kB


class SelectionCache:
    """Lists of image ids by handle, up to a number and an age; the least recently used go first.

    The handle is a hash of the ids, so that sending a list again takes no more space.
    """

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.cache_seconds
        self._selections: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._changing = threading.Lock()

    def add(self, images: Sequence[str]) -> str:
        """Keep the ids in their order, each once, and return their handle of 32 hex digits."""
        ids = tuple(dict.fromkeys(images))
        handle = hashlib.blake2b("".join(ids).encode(), digest_size=16).hexdigest()
        with self._changing:
            self._selections.pop(handle, None)
            self._selections[handle] = time.monotonic(), ids
            self._evict()
        return handle

    def get(self, handle: str) -> tuple[str, ...]:
        """Return the ids with that handle.

        Raises:
            ApiError: 410, it has expired, or was never made.
        """
        with self._changing:
            self._evict()
            if handle not in self._selections:
                message = f"there is no selection {handle!r}, or it has expired; send the ids of its images again"
                raise ApiError(410, "SelectionGone", message)
            ids = self._selections.pop(handle)[1]
            self._selections[handle] = time.monotonic(), ids
        return ids

    def _evict(self) -> None:
        oldest_time = time.monotonic() - self._seconds
        while self._selections:
            handle, (last_used, _) = next(iter(self._selections.items()))
            if last_used > oldest_time and len(self._selections) <= _MAX_CACHED:
                return
            del self._selections[handle]
