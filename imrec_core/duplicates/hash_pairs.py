"""Pairs of similar hashes, by exact search in memory that grows with the number of images, not of pairs.

All pairs of hashes are compared, the first 64 bits in tiles: 100,000 images take 2.5 s on one core,
matrix products of bits 7 s (2026-11). Tables of bands would compare fewer pairs, but the bits of photos are not
independent: 16 of them differ in at most 2 twice as often as by chance, and many similar hashes fill one bucket.

Nearly blank pages have nearly equal hashes: 5,000 of them make 12 million pairs. Images with more than `CROWDED`
similar hashes form the crowd, and no pair is listed of which both images are in the crowd.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.runtime.cpu import cpu_count

Rows = NDArray[np.int64]
Pairs = NDArray[np.int64]
Hashes = NDArray[np.uint64]

CROWDED = 12
"""Number of similar hashes above which an image belongs to the crowd."""

_TILE = 64, 4096  # rows and columns: 2 MB of words; with 32 rows 1.3 times the CPU time on two cores (2026-11)
_AT_ONCE = 1 << 14  # pairs that are collected before they are counted


@dataclass(frozen=True, eq=False)
class ClosePairs:
    """Pairs of similar hashes.

    Attributes:
        pairs: Positions `(m, 2)`, the smaller first, sorted: all pairs of which at most one image is in the crowd.
        crowd: Positions of the images with more than `CROWDED` similar hashes, ascending.
        hashes, others: Hashes `(n, words)`; `hashes[i]` is compared with `others[j]`, `i < j`.
        limits: Maximum number of differing bits in the first word, and in all words.
    """

    pairs: Pairs
    crowd: Rows
    hashes: Hashes
    others: Hashes
    limits: tuple[int, int]

    def nearest(self, i: int, among: Rows, count: int) -> Rows:
        """Select the images with the most similar hashes within the limits, most similar first, ties in order."""
        bits = np.bitwise_count(self.hashes[i] ^ self.others[among]).astype(np.int64)
        total = bits.sum(axis=1)
        close = np.flatnonzero((bits[:, 0] <= self.limits[0]) & (total <= self.limits[1]) & (among != i))
        return np.asarray(among[close[np.argsort(total[close], kind="stable")[:count]]])

    def nearest_in_crowd(self, count: int) -> Pairs:
        """Pair each image of the crowd with the most similar later ones of the crowd, at most `count`."""
        found = [np.empty((0, 2), np.int64)]
        for place, i in enumerate(self.crowd):
            others = self.nearest(int(i), self.crowd[place + 1 :], count)
            found.append(np.stack([np.full(len(others), i), others], axis=1))
        return np.concatenate(found)


def close_hashes(hashes: Hashes, limits: tuple[int, int], others: Hashes | None = None) -> ClosePairs:
    """Find the pairs `i < j` whose Hamming distances are within the limits, by exact search.

    Args:
        hashes: Hashes `(n, words)`.
        limits: Maximum number of differing bits in the first word, and in all words.
        others: Hashes of the same images in another orientation; `hashes[i]` is then compared with `others[j]`.
    """
    hashes = np.ascontiguousarray(hashes, np.uint64)
    against = hashes if others is None else np.ascontiguousarray(others, np.uint64)
    as_first, as_second = np.zeros((2, len(hashes)), np.int64)
    lock = threading.Lock()

    def search(rows: Rows, keep: Callable[[Rows, Rows], NDArray[np.bool_]]) -> Pairs:
        """Search some rows against all, and keep some of the pairs."""

        def search_some(some: Rows) -> Pairs:
            found = ((i, j, keep(i, j)) for i, j in _close_blocks(hashes, against, limits, some))
            return _join(np.stack([i[kept], j[kept]], axis=1) for i, j, kept in found)

        with ThreadPoolExecutor(cpu_count()) as pool:
            return _join(pool.map(search_some, np.split(rows, range(_TILE[0], len(rows), _TILE[0]))))

    def count(i: Rows, j: Rows) -> NDArray[np.bool_]:
        """Count pairs, and drop those of a row that already has too many."""
        with lock:
            np.add.at(as_first, i, 1)
            np.add.at(as_second, j, 1)
        return np.asarray(as_first[i] <= CROWDED)

    pairs = search(np.arange(len(hashes)), count)
    is_crowded, has_dropped = as_first + as_second > CROWDED, as_first > CROWDED
    again = search(np.flatnonzero(has_dropped), lambda i, j: ~is_crowded[j])
    pairs = _join([pairs[~has_dropped[pairs[:, 0]] & ~is_crowded[pairs].all(axis=1)], again])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return ClosePairs(pairs[order], np.flatnonzero(is_crowded), hashes, against, limits)


def _join(found: Any) -> Pairs:
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _close_blocks(hashes: Hashes, against: Hashes, limits: tuple[int, int], rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield the close pairs of at most a tile of rows, some thousand at once."""
    if not len(rows):
        return
    width = _TILE[1]
    first, rest = np.ascontiguousarray(hashes[rows, :1]), np.ascontiguousarray(against[:, 0])
    words, counts = np.empty(first.size * width, np.uint64), np.empty(first.size * width, np.uint8)
    is_close = np.empty(first.size * width, np.bool_)
    found: list[Pairs] = []
    for left in range(int(rows[0]), len(rest), width):
        some = rest[left : left + width]
        tile, shape = slice(first.size * some.size), (first.size, some.size)
        np.bitwise_xor(first, some, out=words[tile].reshape(shape))
        np.bitwise_count(words[tile], out=counts[tile])
        np.less_equal(counts[tile], limits[0], out=is_close[tile])
        at = np.flatnonzero(is_close[tile])  # takes a third of the time of nonzero in two dimensions
        if at.size:
            i, j = rows[at // some.size], at % some.size + left
            bits = np.bitwise_count(hashes[i] ^ against[j]).sum(axis=1, dtype=np.int64)
            kept = (i < j) & (bits <= limits[1])
            found.append(np.stack([i[kept], j[kept]]))
        is_last = left + width >= len(rest)
        if found and (is_last or sum(pairs.shape[1] for pairs in found) >= _AT_ONCE):
            yield tuple(np.concatenate(found, axis=1))
            found.clear()
