"""Verification of candidate pairs by their pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from imrec_core.duplicates.comparison import DIFFERENT, TIERS, BlockInput, Comparison, compare_contents
from imrec_core.duplicates.contents import Contents, Pairs
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.errors import ImageError
from imrec_core.runtime.cpu import cpu_count

_INPUTS = 256  # decoded images in the cache, of at most 2 MB each
_AT_ONCE = 128  # pairs compared between two updates of the cache


class Verifier:
    """Compares contents by their pixels, and caches results and some decoded images.

    Attributes:
        found: Result of every compared pair, the smaller index first.
    """

    def __init__(
        self,
        contents: Contents,
        decided: Decisions,
        tier: str,
        max_pixels: int,
        known: dict[tuple[str, str], Comparison],
    ) -> None:
        self._contents, self._decided, self._tier, self._max_pixels = contents, decided, tier, max_pixels
        self._inputs: OrderedDict[int, BlockInput | None] = OrderedDict()
        self._pixel_hashes: dict[int, bytes | None] = {}
        self._known = known
        self.found: dict[tuple[int, int], Comparison] = {}

    @property
    def held(self) -> dict[tuple[int, int], float]:
        """Matching pairs with a quality; higher is better."""
        return {
            pair: found.agreement - TIERS.index(found.tier or "")
            for pair, found in self.found.items()
            if found.holds(self._tier)
        }

    def verify(self, pairs: Pairs, progress: Callable[[str], None]) -> None:
        """Compare pairs, connected ones in sequence, so that their images are decoded once."""
        pairs = self._drop_known(self._drop_decided(pairs))
        if not len(pairs):
            return
        size = len(self._contents)
        graph = scipy.sparse.coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (size, size))
        _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], component[pairs[:, 0]]))]
        with ThreadPoolExecutor(cpu_count()) as pool:
            for first in range(0, len(pairs), _AT_ONCE):
                some = [(int(i), int(j)) for i, j in pairs[first : first + _AT_ONCE]]
                self._load(sorted({i for pair in some for i in pair}), pool)
                for pair, found in zip(some, pool.map(self._compare, some), strict=True):
                    self._store(pair, found)
                if first % (32 * _AT_ONCE) == 0:
                    progress(f"comparing {len(pairs)} pairs of images: {first} done")

    def _drop_decided(self, pairs: Pairs) -> Pairs:
        """Drop the pairs that are marked as no duplicates."""
        if not self._decided.not_duplicate:
            return pairs
        names = self._contents.names
        apart = [self._decided.are_apart(str(names[i]), str(names[j])) for i, j in pairs]
        return pairs[~np.array(apart, np.bool_)]

    def _drop_known(self, pairs: Pairs) -> Pairs:
        """Drop the pairs with a known result, which is copied to `found`."""
        if not self._known:
            return pairs
        earlier = [self._known.get(self._names((int(i), int(j)))) for i, j in pairs]
        self.found |= {
            (int(i), int(j)): found for (i, j), found in zip(pairs, earlier, strict=True) if found is not None
        }
        return pairs[np.array([found is None for found in earlier], np.bool_)]

    def _names(self, pair: tuple[int, int]) -> tuple[str, str]:
        return str(self._contents.names[pair[0]]), str(self._contents.names[pair[1]])

    def _store(self, pair: tuple[int, int], found: Comparison) -> None:
        self.found[pair] = found
        if all(self._inputs.get(i) is not None for i in pair):  # an unreadable file may be readable in the next call
            self._known[self._names(pair)] = found if found.holds(self._tier) else DIFFERENT

    def holds(self, i: int, j: int) -> bool:
        """Test whether a pair matches; a pair that was no candidate is compared now."""
        if (i, j) not in self.found:
            names = self._contents.names
            if self._decided.are_apart(str(names[i]), str(names[j])):
                return False
            earlier = self._known.get(self._names((i, j)))
            if earlier is not None:
                self.found[i, j] = earlier
            else:
                self._load([i, j])
                self._store((i, j), self._compare((i, j)))
        return self.found[i, j].holds(self._tier)

    def _load(self, members: Sequence[int], pool: ThreadPoolExecutor | None = None) -> None:
        missing = [i for i in members if i not in self._inputs]
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

    def _decode(self, i: int) -> BlockInput | None:
        try:
            read = partial(self._contents.read, i)
            return BlockInput.of_source(read, max_pixels=self._max_pixels, allow_truncated=True)
        except (ImageError, OSError, IndexError):  # IndexError: the content has been dropped
            return None

    def _compare(self, pair: tuple[int, int]) -> Comparison:
        a, b = (self._inputs[i] for i in pair)
        if a is None or b is None:
            return Comparison(None, 0.0, "a file cannot be read")
        places = {id(a): pair[0], id(b): pair[1]}
        return compare_contents(a, b, self._tier, lambda image: self._pixel_hash(places[id(image)]))

    def _pixel_hash(self, i: int) -> bytes | None:
        if i not in self._pixel_hashes:
            try:
                self._pixel_hashes[i] = pixel_hash(self._contents.read(i), self._max_pixels)
            except (OSError, IndexError):  # IndexError: the content has been dropped
                self._pixel_hashes[i] = None
        return self._pixel_hashes[i]
