"""TagHistory: the last changes of tags over HTTP, so that a user can undo exactly what one of them did."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection
from dataclasses import dataclass

from imrec_core.curation.tags import tag_contents
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.tags import tag_file
from imrec_core.web.responses import ApiError

_KEPT = 100  # changes


@dataclass(frozen=True)
class _Change:
    tag: str
    contents: tuple[str, ...]
    remove: bool


class TagHistory:
    """Changes tags, and takes changes back. A restart of the server forgets the history, not the tags."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._changes: dict[str, _Change] = {}  # by handle, oldest first
        self._changing = threading.Lock()

    def change(self, generation: Generation, tag: str, contents: Collection[str], *, remove: bool) -> tuple[int, str]:
        """Give a tag to contents, or take it away.

        Returns:
            Number of images that have changed, and a handle to undo that; empty if no tag has changed.

        Raises:
            QueryError: The name is not valid.
            LakeError: The tags cannot be read or written.
        """
        with self._changing:
            before = tag_file(self._lake).read().get(tag, frozenset())
            count = tag_contents(self._lake, generation, tag, list(contents), remove=remove)
            changed = before.intersection(contents) if remove else frozenset(contents) - before
            return count, self._record(_Change(tag, tuple(sorted(changed)), remove)) if changed else ""

    def remove_everywhere(self, generation: Generation, tag: str) -> tuple[int, str]:
        """Take a tag away from all contents, also of images that are gone; as `change`.

        Raises:
            ApiError: 404, there is no such tag.
            LakeError: The tags cannot be read or written.
        """
        contents = tag_file(self._lake).read().get(tag)
        if not contents:
            raise ApiError(404, "UnknownTag", f"no image has the tag {tag!r}")
        return self.change(generation, tag, contents, remove=True)

    def undo(self, generation: Generation, handle: str) -> int:
        """Take a change back; return the number of images that have changed.

        Raises:
            ApiError: 410, the history does not have the change any more.
            LakeError: The tags cannot be read or written.
        """
        with self._changing:
            found = self._changes.pop(handle, None)
        if found is None:
            message = (
                "this change of tags can no longer be undone; only the last ones since the start of the server can"
            )
            raise ApiError(410, "Expired", message)
        return tag_contents(self._lake, generation, found.tag, found.contents, remove=not found.remove)

    def _record(self, change: _Change) -> str:
        handle = secrets.token_hex(16)
        self._changes[handle] = change
        while len(self._changes) > _KEPT:
            del self._changes[next(iter(self._changes))]
        return handle
