"""Candidate pairs of copies from the vectors of a generation; `verification.py` compares their pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imrec_core.duplicates.hash_pairs import ClosePairs, Pairs, Rows, close_hashes
from imrec_core.duplicates.stored_hash_pairs import StoredHashPairs
from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.features.metrics import METRICS
from imrec_core.features.searched import is_embedding
from imrec_core.index.generation import Generation

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
_BATCH = 1024  # rows whose neighbours are searched at once
# Cosine distances: of crops to half the area 0.17, at most 0.34 by EfficientNet-Lite0 (64 photos), 0.63 and 0.82 by
# sift_vlad; to a third of the area 0.31 and 0.55, 0.78 and 0.90 by sift_vlad (40 photos, 2026-11). Content vectors are
# scaled more in larger lakes: of crops to the upper left half and third of the area, 98 and 91 % are within 0.45 if
# fitted to 1,066 images, 98 and 72 % if scaled as for 100,000; of full vectors, 98 and 59 % are within 0.36
# (`make bench ARGS=content`).
_FAR, _FAR_BY_CONTENT, _FAR_BY_DETAILS = 0.36, 0.45, 0.9
_DETAILS = "sift_vlad"
_IN_CROWD = 8  # rotated candidates of an image of a crowd, such as one of many nearly blank pages


def near_pairs(generation: Generation, rows: Rows, stored: StoredHashPairs | None = None) -> ClosePairs:
    """Find pairs with similar hashes, as positions in `rows`.

    Args:
        stored: Pairs of the last search of the same rows, which are updated; None to compare all.

    Raises:
        QueryError: The generation has no hash feature.
    """
    for names, limits in _HASHES:
        if all(name in generation.features for name in names):
            hashes = np.concatenate([np.asarray(generation.matrix(name)[rows]) for name in names], axis=1)
            return stored.close_hashes(hashes, limits, ",".join(names)) if stored else close_hashes(hashes, limits)
    raise _missing_feature(generation, "a hash", "phash,dhash")


def edited_pairs(generation: Generation, rows: Rows) -> Pairs:
    """Find pairs with similar hashes after rotation or mirroring, and pairs of neighbours by content.

    Neighbours are those of the first embedding and of `sift_vlad`, as far as the generation has them.

    Returns:
        Positions in `rows` `(m, 2)`, the smaller first.

    Raises:
        QueryError: The generation has no hash that can be rotated, or neither an embedding nor `sift_vlad`.
    """
    turnable = next((name for name in _TURNABLE if name in generation.features), None)
    if turnable is None:
        raise _missing_feature(generation, "a hash that can be rotated", "phash,dhash")
    by_content = _features_of_content(generation)
    turn = generation.feature(turnable).turned
    assert turn is not None, turnable
    hashes = np.asarray(generation.matrix(turnable)[rows])
    orientations = turn(hashes).reshape(len(hashes), 8, -1)
    turned = [close_hashes(hashes, _TURNABLE[turnable], orientations[:, i]) for i in range(1, 8)]
    found = [pairs for close in turned for pairs in (close.pairs, close.nearest_in_crowd(_IN_CROWD))]
    found += [_neighbours(generation, feature, rows, farthest) for feature, farthest in by_content]
    return np.unique(np.concatenate(found), axis=0)


def _features_of_content(generation: Generation) -> list[tuple[Feature, float]]:
    """List the features that find edited copies, with the maximum distance of a copy."""
    features = list(map(generation.feature, generation.features))
    found = [(f, _FAR if f.model is not None else _FAR_BY_CONTENT) for f in features if is_embedding(f)][:1]
    found += [(feature, _FAR_BY_DETAILS) for feature in features if feature.name == _DETAILS]
    if not found:
        raise _missing_feature(generation, "an embedding", "efficientnet_lite0")
    return found


def _missing_feature(generation: Generation, what: str, names: str) -> QueryError:
    features = ",".join([*generation.features, names])
    return QueryError(
        f"duplicates of this tier need {what}, and generation {generation.id} has none; "
        f"run: imrec build --features {features}"
    )


# -- neighbours ---------------------------------------------------------------------------------------------


def _neighbours(generation: Generation, feature: Feature, rows: Rows, farthest: float) -> Pairs:
    """Find pairs of each row and its nearest neighbours in cosine distance, up to a maximum distance."""
    cosine = METRICS["cosine"]
    positions = np.full(len(generation), -1, np.int64)
    positions[rows] = np.arange(len(rows))
    matrix = generation.matrix(feature.name)
    found = [np.empty((0, 2), np.int64)]
    for row, near in _nearest_rows(generation, feature, rows):
        others = near[(near != row) & (positions[near] >= 0)]
        distances = cosine(matrix[row], matrix[others])
        closest = np.argsort(distances, kind="stable")[:_NEIGHBOURS]
        copies = positions[others[closest[distances[closest] <= farthest]]]
        found.append(np.stack([np.full(len(copies), positions[row]), copies], axis=1))
    return np.sort(np.concatenate(found), axis=1)


def _nearest_rows(generation: Generation, feature: Feature, rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield each row and at least `_NEIGHBOURS` of the nearest ones, in no order, as far as there are so many."""
    graph = generation.graph_of(feature, feature.metric)
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        near = generation.graph_nearest_each(graph, batch, 2 * _NEIGHBOURS + 1) if graph else None
        if near is None:
            vectors = generation.matrix(feature.name)[batch]
            near = generation.exact_nearest(feature.name, METRICS["cosine"], vectors, _NEIGHBOURS + 1)
        yield from zip(batch.tolist(), near, strict=True)
