"""The crop-resistant hash of imagehash: a hash for each bright or dark segment of an image.

The number of segments varies. In memory and in a generation a row has `WORDS` words: the number of segments, their
hashes, and the first hash again in the rest, which changes no distance. Tables and users see the hashes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature import feature
from imrec_core.features.metrics import Matrix, Vector, metric
from imrec_core.images.batch import ImageBatch

MAX_SEGMENTS = 31
"""An image with more keeps its largest; 80 photos had at most 11 (2026-12)."""

WORDS = MAX_SEGMENTS + 1
_BITS = 64
_MIN_SIDE = 300  # imagehash looks for segments at 300×300
_CUTOFF = _BITS // 4  # the default `bit_error_rate` of imagehash


@metric(scan=True)
def unmatched_segments(query: Vector, gallery: Matrix) -> Any:
    """Segments of a query without a match, plus the share of differing bits in the others; 0 (equal) or more.

    The distance is that of subtracting an `ImageMultiHash` of imagehash from that of the query: a segment has a match
    if at most a quarter of its bits differ from the nearest segment. It is not the same both ways.
    """
    count = int(query[0])
    used = gallery[:, 1 : int(gallery[:, 0].max(initial=1)) + 1]
    matches, differing = np.zeros(len(gallery), np.int64), np.zeros(len(gallery), np.int64)
    for segment in query[1 : count + 1]:
        nearest = np.bitwise_count(used ^ segment).min(axis=1).astype(np.int64)
        is_match = nearest <= _CUTOFF
        matches += is_match
        differing += nearest * is_match
    means = differing / np.maximum(matches * _BITS, 1)
    return count - (matches - means)


@feature(
    group="hashes",
    dims=_BITS * WORDS,
    dtype="uint64",
    metrics=(unmatched_segments,),
    min_side=_MIN_SIDE,
    source="imagehash.crop_resistant_hash; Steinebach, Liu & Yannikos 2014, doi:10.1109/ARES.2014.85",
    is_variable=True,
)
def crop_resistant_hash(batch: ImageBatch) -> NDArray[np.uint64]:
    """Crop-resistant hash: a difference hash for each bright or dark segment of the image."""
    from imagehash import crop_resistant_hash as compute
    from PIL import Image

    rows = np.empty((len(batch), WORDS), np.uint64)
    for row, image in zip(rows, batch.images, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(image[..., :3]))
        found = compute(picture)
        if len(found.segment_hashes) > MAX_SEGMENTS:  # a limit sorts them, so it is set only if it is needed
            found = compute(picture, limit_segments=MAX_SEGMENTS)
        row[:] = pad(np.array([int(str(each), 16) for each in found.segment_hashes], np.uint64))
    return rows


def pad(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the row `(WORDS,)` of an image, from the hashes of its segments `(n,)`."""
    row = np.full(WORDS, hashes[0], np.uint64)
    row[0], row[1 : len(hashes) + 1] = len(hashes), hashes
    return row


def unpad(row: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes of the segments `(n,)` from the row `(WORDS,)` of an image."""
    return row[1 : int(row[0]) + 1]
