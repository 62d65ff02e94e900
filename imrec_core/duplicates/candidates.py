"""Candidate pairs of copies from the vectors of a generation; `verification.py` compares their pixels.

All pairs of hashes are compared, the first 64 bits in tiles that fit the cache: 100,000 images take 2.5 s on one core,
matrix products of bits 7 s (2026-11). Tables of bands would compare fewer pairs, but the bits of photos are not
independent: 16 of them differ in at most 2 twice as often as by chance, and many similar hashes fill one bucket.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.features.metrics import METRICS
from imrec_core.index.generation import Generation
from imrec_core.runtime.cpu import cpu_count

Rows = NDArray[np.int64]
Pairs = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Recall on 83 photos with 8 edits, captions included / false candidates among the 5·10⁹ pairs of 100,000 images:
# phash and dhash .997 / 0.2 million, dhash .994 / 0.3, phash .971 / 0.5, pdq .977 / 0.02 (2026-11).
_HASHES: tuple[tuple[tuple[str, ...], tuple[int, int]], ...] = (
    (("dhash", "phash"), (12, 24)),
    (("dhash",), (8, 8)),
    (("pdq",), (40, 64)),
    (("phash",), (12, 12)),
)
_TURNABLE = {"phash": (10, 10), "pdq": (32, 48)}  # limits in bits; rotating a hash flips some of them
_NEIGHBOURS = 20
_FAR = 0.36  # cosine distance: of crops to half the area 0.17, at most 0.34 (64 photos, EfficientNet-Lite0, 2026-11)
_TILE = 32, 4096  # rows and columns: 1 MB of words


def near_pairs(generation: Generation, rows: Rows) -> Pairs:
    """Find pairs with similar hashes.

    Returns:
        Positions in `rows` `(m, 2)`, the smaller first.

    Raises:
        QueryError: The generation has no hash feature.
    """
    for names, limits in _HASHES:
        if all(name in generation.features for name in names):
            hashes = np.concatenate([np.asarray(generation.matrix(name)[rows]) for name in names], axis=1)
            return close_hashes(hashes, limits)
    raise _missing_feature(generation, "a hash", "phash,dhash")


def edited_pairs(generation: Generation, rows: Rows) -> Pairs:
    """Find pairs with similar hashes after rotation or mirroring, and pairs of neighbouring embeddings.

    Returns:
        Positions in `rows` `(m, 2)`, the smaller first.

    Raises:
        QueryError: The generation has no hash that can be rotated, or no embedding.
    """
    turnable = next((name for name in _TURNABLE if name in generation.features), None)
    if turnable is None:
        raise _missing_feature(generation, "a hash that can be rotated", "phash,dhash")
    features = list(map(generation.feature, generation.features))
    embedding = next((f for f in features if f.model is not None), None)
    if embedding is None:
        raise _missing_feature(generation, "an embedding", "efficientnet_lite0")
    turn = generation.feature(turnable).turned
    assert turn is not None, turnable
    hashes = np.asarray(generation.matrix(turnable)[rows])
    orientations = turn(hashes).reshape(len(hashes), 8, -1)
    found = [close_hashes(hashes, _TURNABLE[turnable], orientations[:, i]) for i in range(1, 8)]
    found.append(_neighbours(generation, embedding, rows))
    return np.unique(np.concatenate(found), axis=0)


def _missing_feature(generation: Generation, what: str, names: str) -> QueryError:
    features = ",".join([*generation.features, names])
    return QueryError(
        f"duplicates of this tier need {what}, and generation {generation.id} has none; "
        f"run: imrec build --features {features}"
    )


# -- hashes -------------------------------------------------------------------------------------------------


def close_hashes(hashes: Hashes, limits: tuple[int, int], others: Hashes | None = None) -> Pairs:
    """Find all pairs `i < j` whose Hamming distances are within the limits, by exact search.

    Args:
        hashes: Hashes `(n, words)`.
        limits: Maximum number of differing bits in the first word, and in all words.
        others: Hashes of the same images in another orientation; `hashes[i]` is then compared with `others[j]`.

    Returns:
        Pairs `(m, 2)`, sorted.
    """
    hashes = np.ascontiguousarray(hashes, np.uint64)
    against = hashes if others is None else np.ascontiguousarray(others, np.uint64)
    tops = range(0, len(hashes), _TILE[0])
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(pool.map(partial(_search_tile_row, hashes, against, limits), tops))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _search_tile_row(hashes: Hashes, against: Hashes, limits: tuple[int, int], top: int) -> Pairs:
    """Find the pairs of the rows of one row of tiles, which starts at row `top`."""
    height, width = _TILE
    first, rest = np.ascontiguousarray(hashes[top : top + height, :1]), np.ascontiguousarray(against[:, 0])
    words, counts = np.empty(first.size * width, np.uint64), np.empty(first.size * width, np.uint8)
    is_close = np.empty(first.size * width, np.bool_)
    found = []
    for left in range(top, len(rest), width):
        some = rest[left : left + width]
        tile, shape = slice(first.size * some.size), (first.size, some.size)
        np.bitwise_xor(first, some, out=words[tile].reshape(shape))
        np.bitwise_count(words[tile], out=counts[tile])
        np.less_equal(counts[tile], limits[0], out=is_close[tile])
        at = np.flatnonzero(is_close[tile])  # takes a third of the time of nonzero in two dimensions
        if at.size:
            i, j = at // some.size + top, at % some.size + left
            bits = np.bitwise_count(hashes[i] ^ against[j]).sum(axis=1, dtype=np.int64)
            kept = (i < j) & (bits <= limits[1])
            found.append(np.stack([i[kept], j[kept]], axis=1))
    return np.concatenate([np.empty((0, 2), np.int64), *found])


# -- embeddings ---------------------------------------------------------------------------------------------


def _neighbours(generation: Generation, feature: Feature, rows: Rows) -> Pairs:
    """Find pairs of each row and its nearest neighbours in cosine distance, up to a maximum distance."""
    cosine = METRICS["cosine"]
    positions = np.full(len(generation), -1, np.int64)
    positions[rows] = np.arange(len(rows))
    graph = generation.graph_of(feature, feature.metric)
    matrix = generation.matrix(feature.name)
    found = [np.empty((0, 2), np.int64)]
    for position, row in enumerate(rows):
        near: NDArray[Any]
        if graph is None:
            near = generation.exact_nearest(feature.name, cosine, matrix[row][None], _NEIGHBOURS + 1)[0]
        else:
            vector = generation.matrix(generation.graphs[graph].feature)[row]
            near = generation.graph_nearest(graph, vector, 2 * _NEIGHBOURS + 1)
        near = near[(near != row) & (positions[near] >= 0)]
        distances = cosine(matrix[row], matrix[near])
        closest = np.argsort(distances, kind="stable")[:_NEIGHBOURS]
        others = positions[near[closest[distances[closest] <= _FAR]]]
        found.append(np.stack([np.minimum(others, position), np.maximum(others, position)], axis=1))
    return np.concatenate(found)
