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
from functools import partial
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
_FEW = 8  # an update takes twice the time per image: all are compared if more than one in so many is new or gone


@dataclass(frozen=True, eq=False)
class ClosePairs:
    """Pairs of similar hashes.

    Attributes:
        pairs: Positions `(m, 2)`, the smaller first, sorted: all pairs of which at most one image is in the crowd.
        crowd: Positions of the images with more than `CROWDED` similar hashes, ascending.
        similar: Number of similar hashes of each image `(n,)`.
        hashes, others: Hashes `(n, words)`; `hashes[i]` is compared with `others[j]`, `i < j`.
        limits: Maximum number of differing bits in the first word, and in all words.
    """

    pairs: Pairs
    crowd: Rows
    similar: Rows
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

    def count(i: Rows, j: Rows) -> NDArray[np.bool_]:
        """Count pairs, and drop those of a row that already has too many."""
        with lock:
            np.add.at(as_first, i, 1)
            np.add.at(as_second, j, 1)
        return np.asarray(as_first[i] <= CROWDED)

    search = partial(_search, hashes, against, limits, is_later=True)
    pairs = search(np.arange(len(hashes)), count)
    similar = as_first + as_second
    is_crowded, has_dropped = similar > CROWDED, as_first > CROWDED
    again = search(np.flatnonzero(has_dropped), lambda i, j: ~is_crowded[j])
    pairs = _join([pairs[~has_dropped[pairs[:, 0]] & ~is_crowded[pairs].all(axis=1)], again])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return ClosePairs(pairs[order], np.flatnonzero(is_crowded), similar, hashes, against, limits)


def update_close_hashes(known: ClosePairs, places: Rows, hashes: Hashes) -> ClosePairs:
    """Find the same as `close_hashes`, by comparing only the images that are new with all.

    Args:
        known: Close pairs of earlier images, all in the same orientation.
        places: Position of each earlier image now, ascending; -1 for an image that is gone.
        hashes: Hashes of the images now `(n, words)`.
    """
    hashes, count = np.ascontiguousarray(hashes, np.uint64), len(hashes)
    is_kept = places >= 0
    is_kept[is_kept] = (hashes[places[is_kept]] == known.hashes[is_kept]).all(axis=1)
    gone, kept = np.flatnonzero(~is_kept), places[is_kept]
    is_new = np.ones(count, np.bool_)
    is_new[kept] = False
    new = np.flatnonzero(is_new)
    if _FEW * (len(gone) + len(new)) > count:
        return close_hashes(hashes, known.limits)
    similar = np.zeros(count, np.int64)
    similar[kept] = (known.similar - _count_similar(known.hashes, known.limits, gone)[1])[is_kept]
    of_new, to_new = _count_similar(hashes, known.limits, new)
    similar[kept] += to_new[kept]
    similar[new] = of_new[new]
    is_crowded = similar > CROWDED
    pairs = places[known.pairs[is_kept[known.pairs].all(axis=1)]]
    pairs = pairs[~is_crowded[pairs].all(axis=1)]
    left_crowd = places[is_kept & (known.similar > CROWDED)]
    asked = np.union1d(new, left_crowd[~is_crowded[left_crowd]])
    found = _search(hashes, hashes, known.limits, asked, lambda i, j: ~(is_crowded[i] & is_crowded[j]), is_later=False)
    pairs = np.unique(np.concatenate([pairs, np.sort(found, axis=1)]), axis=0)
    return ClosePairs(pairs, np.flatnonzero(is_crowded), similar, hashes, hashes, known.limits)


def _count_similar(hashes: Hashes, limits: tuple[int, int], rows: Rows) -> tuple[Rows, Rows]:
    """Count, for some rows, the similar hashes of all others; and for all, those of these rows. Both are `(n,)`."""
    of_rows, of_all = np.zeros((2, len(hashes)), np.int64)
    lock = threading.Lock()

    def count(i: Rows, j: Rows) -> NDArray[np.bool_]:
        with lock:
            np.add.at(of_rows, i, 1)
            np.add.at(of_all, j, 1)
        return np.zeros(len(i), np.bool_)

    _search(hashes, hashes, limits, rows, count, is_later=False)
    return of_rows, of_all


def _search(
    hashes: Hashes,
    against: Hashes,
    limits: tuple[int, int],
    rows: Rows,
    keep: Callable[[Rows, Rows], NDArray[np.bool_]],
    *,
    is_later: bool,
) -> Pairs:
    """Search some rows against all others, or only the later ones, and keep some of the pairs, on all cores."""

    def search_some(some: Rows) -> Pairs:
        found = ((i, j, keep(i, j)) for i, j in _close_blocks(hashes, against, limits, some, is_later=is_later))
        return _join(np.stack([i[kept], j[kept]], axis=1) for i, j, kept in found)

    with ThreadPoolExecutor(cpu_count()) as pool:
        return _join(pool.map(search_some, np.split(rows, range(_TILE[0], len(rows), _TILE[0]))))


def _join(found: Any) -> Pairs:
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _close_blocks(
    hashes: Hashes, against: Hashes, limits: tuple[int, int], rows: Rows, *, is_later: bool
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the close pairs of at most a tile of rows and all others, or all later ones, some thousand at once."""
    if not len(rows):
        return
    width = _TILE[1]
    first, rest = np.ascontiguousarray(hashes[rows, :1]), np.ascontiguousarray(against[:, 0])
    words, counts = np.empty(first.size * width, np.uint64), np.empty(first.size * width, np.uint8)
    is_close = np.empty(first.size * width, np.bool_)
    found: list[Pairs] = []
    for left in range(int(rows[0]) if is_later else 0, len(rest), width):
        some = rest[left : left + width]
        tile, shape = slice(first.size * some.size), (first.size, some.size)
        np.bitwise_xor(first, some, out=words[tile].reshape(shape))
        np.bitwise_count(words[tile], out=counts[tile])
        np.less_equal(counts[tile], limits[0], out=is_close[tile])
        at = np.flatnonzero(is_close[tile])  # takes a third of the time of nonzero in two dimensions
        if at.size:
            i, j = rows[at // some.size], at % some.size + left
            bits = np.bitwise_count(hashes[i] ^ against[j]).sum(axis=1, dtype=np.int64)
            kept = ((i < j) if is_later else (i != j)) & (bits <= limits[1])
            found.append(np.stack([i[kept], j[kept]]))
        is_last = left + width >= len(rest)
        if found and (is_last or sum(pairs.shape[1] for pairs in found) >= _AT_ONCE):
            yield tuple(np.concatenate(found, axis=1))
            found.clear()
