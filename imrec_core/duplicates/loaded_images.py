"""LoadedImages: decoded images and their summaries, for the comparisons of one search."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.contents import Contents
from imrec_core.duplicates.mapped_arrays import MappedArrays
from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.duplicates.screening import Summary
from imrec_core.duplicates.stored_summaries import StoredSummaries
from imrec_core.errors import ImageError

_INPUTS = 128  # decoded images in the cache, of at most 2 MB each; 64 pairs that are compared at once need no more


class LoadedImages:
    """Caches some decoded images and the summaries of all, by position of the content.

    Contents that cannot be read are left out. Keypoints, 20 kB per image, are in mapped temporary files.

    Args:
        stored: Summaries of earlier searches, to which new ones are added.
        with_keypoints: Whether summaries have keypoints.
    """

    def __init__(self, contents: Contents, max_pixels: int, stored: StoredSummaries, *, with_keypoints: bool) -> None:
        self._contents, self._max_pixels, self._stored = contents, max_pixels, stored
        self._with_keypoints = with_keypoints
        self._inputs: OrderedDict[int, BlockInput | None] = OrderedDict()
        self._summaries: dict[int, Summary | None] = {}
        self._arrays = MappedArrays(stored.folder)
        self._pixel_hashes: dict[int, bytes | None] = {}

    def input(self, i: int) -> BlockInput | None:
        """Return an image that was loaded with the last others; None if it cannot be read."""
        return self._inputs[i]

    def summary(self, i: int) -> Summary | None:
        """Return the summary of an image; None if it cannot be read."""
        return self._summaries[i]

    def load(self, members: Sequence[int], pool: ThreadPoolExecutor | None = None) -> None:
        """Decode images that are not in the cache."""
        missing = [i for i in members if i not in self._inputs]
        self._contents.load(missing)
        decoded = list((pool.map if pool else map)(self._decode, missing))
        for i in members:
            if i in self._inputs:
                self._inputs.move_to_end(i)
        self._inputs.update(zip(missing, decoded, strict=True))
        for i, loaded in zip(missing, decoded, strict=True):
            if loaded is None:
                self._contents.drop(i)
        while len(self._inputs) > max(_INPUTS, len(members)):
            self._inputs.popitem(last=False)

    def summarise(self, members: Sequence[int], pool: ThreadPoolExecutor | None = None) -> None:
        """Compute missing summaries."""
        missing = [i for i in members if i not in self._summaries]
        if not missing:
            return
        self.load(missing, pool)
        for i, summary in zip(missing, (pool.map if pool else map)(self._summarise, missing), strict=True):
            self._summaries[i] = summary and summary.with_copied_keypoints(self._arrays.copy)
            if summary is not None:
                self._stored.add(self._contents.name(i), summary)

    def restore_summaries(self, members: Iterable[int]) -> None:
        """Read the summaries that earlier searches have stored."""
        places = {self._contents.name(i): i for i in members if i not in self._summaries}
        for name, summary in self._stored.load(places.keys()):
            self._summaries[places[name]] = summary.with_copied_keypoints(self._arrays.copy)

    def pixel_hash(self, i: int) -> bytes | None:
        """Return the `pixel_hash` of an image; None if it makes no claim or cannot be read any more."""
        if i not in self._pixel_hashes:
            try:
                self._pixel_hashes[i] = pixel_hash(self._contents.read(i), self._max_pixels)
            except (OSError, IndexError):  # IndexError: the content has been dropped
                self._pixel_hashes[i] = None
        return self._pixel_hashes[i]

    def _decode(self, i: int) -> BlockInput | None:
        try:
            read = partial(self._contents.read, i)
            return BlockInput.of_source(read, max_pixels=self._max_pixels, allow_truncated=True)
        except (ImageError, OSError, IndexError):  # IndexError: the content has been dropped
            return None

    def _summarise(self, i: int) -> Summary | None:
        loaded = self._inputs[i]
        return None if loaded is None else Summary.of(loaded.pixels, with_keypoints=self._with_keypoints)
