"""Explanations of a match: keypoints and colours that two images share.

The distances per feature come from the search, and `plots.explanation_sheet` draws the explanation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.images import keypoints
from imrec_core.images.match_input import MatchInput, Points
from imrec_core.images.rgb import Pixels
from imrec_core.lake.storage.files import AnyPath

_COLOURS = 16  # clusters over both images; with 8, pink boots on a brown sofa had no cluster
_MERGE_BELOW = 15.0  # CIE76 difference of two clusters; MPEG-7 has 10 to 20, and 20 merged sand and sea
_MIN_SHARE = 0.02  # of the pixels of each image
_SIDE = 64  # pixels of the square in which colours are counted


@dataclass(frozen=True)
class SharedColour:
    """A colour that is common in both images.

    Attributes:
        rgb: Mean colour over both images, 0 to 255 per channel.
        in_query, in_hit: Share of the pixels of each image, 0 to 1.
    """

    rgb: tuple[int, int, int]
    in_query: float
    in_hit: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Keypoints and colours that a query and a hit share.

    Attributes:
        query: None for a query without an image: text or a vector.
        query_points, hit_points: Positions `(n, 2)` of keypoint matches that agree with one translation, rotation and
            scale; row i of both arrays is one match. x, then y, in pixels of the upright images at full size; whole
            numbers are pixel centres. Empty if no more matches agree than by chance.
        alike: Number of keypoint matches before the test for agreement.
        is_mirrored: Whether the matches agree with the mirrored query; `query_points` refer to the query as given.
        colours: Shared colours, by decreasing share in both images.
    """

    query: MatchInput | None
    hit: MatchInput
    query_points: Points
    hit_points: Points
    alike: int = 0
    is_mirrored: bool = False
    colours: tuple[SharedColour, ...] = ()


def explain(query: AnyPath | Image.Image | None, hit: AnyPath) -> Explanation:
    """Explain the match of a query, if it has an image, and the file of a hit.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
    """
    return explain_inputs(None if query is None else MatchInput.of(query), MatchInput.of(hit))


def explain_best(queries: Sequence[AnyPath | Image.Image], hit: AnyPath) -> tuple[int, Explanation]:
    """Explain a hit by the query with the most matching keypoints.

    Returns:
        Index of that query, the first of several with equal numbers, and the explanation.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
    """
    return explain_best_input([MatchInput.of(query) for query in queries], MatchInput.of(hit))


def explain_best_input(queries: Sequence[MatchInput], hit: MatchInput) -> tuple[int, Explanation]:
    """Explain a hit as `explain_best` does, for images that are already in memory."""
    explained = [explain_inputs(query, hit) for query in queries]
    best = max(range(len(explained)), key=lambda i: len(explained[i].hit_points))
    return best, explained[best]


def explain_inputs(query: MatchInput | None, hit: MatchInput) -> Explanation:
    """Explain the match of two images that are already in memory."""
    if query is None:
        return Explanation(None, hit, np.empty((0, 2)), np.empty((0, 2)))
    width = query.pixels.shape[1]
    match, is_mirrored = keypoints.match(query.keypoints, hit.keypoints), False
    if match.transform is None:
        mirrored_match = keypoints.match(keypoints.mirror(query.keypoints, width), hit.keypoints)
        if mirrored_match.transform is not None:
            match, is_mirrored = mirrored_match, True
    positions = match.moving[match.agrees]
    if is_mirrored:
        positions = positions * (-1, 1) + (width - 1, 0)
    return Explanation(
        query,
        hit,
        query.at_full_size(positions),
        hit.at_full_size(match.standing[match.agrees]),
        len(match.agrees),
        is_mirrored,
        shared_colours(query.pixels, hit.pixels),
    )


# -- colours ------------------------------------------------------------------------------------------------


def shared_colours(query: Pixels, hit: Pixels) -> tuple[SharedColour, ...]:
    """Find the colours of at least 2 % of the pixels in each of both images.

    Colours with the largest shares come first. The result is deterministic.

    k-means (Lloyd 1982, doi:10.1109/TIT.1982.1056489) with k-means++ seeds clusters the pixels of both images together
    in CIELAB. Similar clusters are merged, as in the dominant colours of MPEG-7 (Manjunath et al. 2001,
    doi:10.1109/76.927424).

    Args:
        query, hit: RGB `(h, w, 3)` uint8; sizes may differ.
    """
    import cv2

    samples = np.concatenate([_lab(pixels) for pixels in (query, hit)])
    labels = np.empty((len(samples), 1), np.int32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    cv2.setRNGSeed(0)
    _, assigned, centres = cv2.kmeans(samples, _COLOURS, labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
    counts = [np.bincount(half.ravel(), minlength=_COLOURS) for half in np.split(assigned, 2)]
    shares = np.stack(counts, axis=1) / _SIDE**2
    used = shares.any(axis=1)
    centres, shares = _merge_similar(np.asarray(centres, np.float64)[used], shares[used])
    rgb = np.rint(cv2.cvtColor(centres.astype(np.float32)[None], cv2.COLOR_LAB2RGB)[0] * 255).astype(int)
    order = [i for i in np.argsort(-shares.min(axis=1), kind="stable") if shares[i].min() >= _MIN_SHARE]
    return tuple(SharedColour(tuple(rgb[i].tolist()), *shares[i].tolist()) for i in order)


def _lab(pixels: Pixels) -> NDArray[np.float32]:
    """Resize an image to a square and convert its colours to CIELAB `(64 · 64, 3)`."""
    import cv2

    square = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2LAB), np.float32).reshape(-1, 3)


def _merge_similar(centres: Points, shares: Points) -> tuple[Points, Points]:
    """Merge the nearest colours `(n, 3)` and their shares `(n, 2)` while similar."""
    while len(centres) > 1:
        distances = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag(np.full(len(centres), np.inf))
        i, j = sorted(np.unravel_index(distances.argmin(), distances.shape))
        if distances[i, j] >= _MERGE_BELOW:
            break
        centres[i] = np.average(centres[[i, j]], axis=0, weights=shares[[i, j]].sum(axis=1))
        shares[i] += shares[j]
        centres, shares = np.delete(centres, j, axis=0), np.delete(shares, j, axis=0)
    return centres, shares
