"""Pairs of contents that may be copies → those that are, by their pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from imrec_core.duplicates.comparison import (
    DIFFERENT,
    SAME_PIXELS,
    TIERS,
    Comparison,
    Look,
    compare,
    may_be_same_pixels,
    pixels_of,
)
from imrec_core.duplicates.contents import Contents, Pairs
from imrec_core.duplicates.decisions import Decisions
from imrec_core.errors import ImageError
from imrec_core.machine import cpu_count

_LOOKS = 256  # pictures held, of 2 MB at most
_AT_ONCE = 128  # pairs compared between two looks at what is held


class Verifier:
    """Compares contents by their pixels; remembers what it found, and some pictures.

    Attributes:
        found: Every pair that was compared, the lesser first.
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
        self._looks: OrderedDict[int, Look | None] = OrderedDict()
        self._digests: dict[int, bytes] = {}
        self._known = known
        self.found: dict[tuple[int, int], Comparison] = {}

    @property
    def held(self) -> dict[tuple[int, int], float]:
        """Pairs that hold, and how well."""
        return {
            pair: found.agreement - TIERS.index(found.tier or "")
            for pair, found in self.found.items()
            if found.holds(self._tier)
        }

    def verify(self, pairs: Pairs, progress: Callable[[str], None]) -> None:
        """Compare pairs, those that hang together one after the other, so that their pictures are read once."""
        pairs = self._unknown(self._not_apart(pairs))
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
                for pair, found in zip(some, pool.map(self._compared, some), strict=True):
                    self._note(pair, found)
                if first % (32 * _AT_ONCE) == 0:
                    progress(f"comparing {len(pairs)} pairs of images: {first} done")

    def _not_apart(self, pairs: Pairs) -> Pairs:
        if not self._decided.not_duplicate:
            return pairs
        names = self._contents.names
        apart = [self._decided.are_apart(str(names[i]), str(names[j])) for i, j in pairs]
        return pairs[~np.array(apart, np.bool_)]

    def _unknown(self, pairs: Pairs) -> Pairs:
        """The pairs of which it was not found out earlier whether they hold; the others are noted as found."""
        if not self._known:
            return pairs
        earlier = [self._known.get(self._names((int(i), int(j)))) for i, j in pairs]
        self.found |= {
            (int(i), int(j)): found for (i, j), found in zip(pairs, earlier, strict=True) if found is not None
        }
        return pairs[np.array([found is None for found in earlier], np.bool_)]

    def _names(self, pair: tuple[int, int]) -> tuple[str, str]:
        return str(self._contents.names[pair[0]]), str(self._contents.names[pair[1]])

    def _note(self, pair: tuple[int, int], found: Comparison) -> None:
        self.found[pair] = found
        if all(self._looks.get(i) is not None for i in pair):  # else a file could not be read, and may be again
            self._known[self._names(pair)] = found if found.holds(self._tier) else DIFFERENT

    def holds(self, i: int, j: int) -> bool:
        """Whether a pair does; one that was no candidate is compared now."""
        if (i, j) not in self.found:
            names = self._contents.names
            if self._decided.are_apart(str(names[i]), str(names[j])):
                return False
            earlier = self._known.get(self._names((i, j)))
            if earlier is not None:
                self.found[i, j] = earlier
            else:
                self._load([i, j])
                self._note((i, j), self._compared((i, j)))
        return self.found[i, j].holds(self._tier)

    def _load(self, wanted: Sequence[int], pool: ThreadPoolExecutor | None = None) -> None:
        missing = [i for i in wanted if i not in self._looks]
        made = list((pool.map if pool else map)(self._look, missing))
        for i in wanted:
            if i in self._looks:
                self._looks.move_to_end(i)
        self._looks.update(zip(missing, made, strict=True))
        for i, look in zip(missing, made, strict=True):
            if look is None:
                self._contents.drop(i)
        while len(self._looks) > max(_LOOKS, len(wanted)):
            self._looks.popitem(last=False)

    def _look(self, i: int) -> Look | None:
        try:
            return Look.of(self._contents.read(i), max_pixels=self._max_pixels)
        except (ImageError, OSError, IndexError):  # IndexError: it was left out meanwhile
            return None

    def _compared(self, pair: tuple[int, int]) -> Comparison:
        a, b = (self._looks[i] for i in pair)
        if a is None or b is None:
            return Comparison(None, 0.0, "a file cannot be read")
        found = compare(a, b, tier=self._tier)
        if may_be_same_pixels(a, b, found) and self._digest(pair[0]) == self._digest(pair[1]):
            return SAME_PIXELS
        return found

    def _digest(self, i: int) -> bytes:
        if i not in self._digests:
            try:
                self._digests[i] = pixels_of(self._contents.read(i), self._max_pixels)
            except (ImageError, OSError):
                self._digests[i] = str(i).encode()  # like no other
        return self._digests[i]
