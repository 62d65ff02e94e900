"""Keypoints of two pictures: where each has one, which look alike, and the one move that takes most to their likes.

What is a copy, and what is drawn of it, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import Pixels

Floats = NDArray[np.float32]
Keypoints = tuple[Floats, Floats]
"""Places in the picture `(n, 2)`, x then y in its pixels, and RootSIFT descriptors `(n, 128)`."""

_LONGEST = 400  # pixels of the longer side that keypoints are looked for in
_KEYPOINTS = 600
_CONTRAST = 0.02
_RATIO = 0.8  # of the distances to the nearest and second descriptor
_LEAST_INLIERS = 12
_OFF = 3.0  # pixels by which a keypoint may miss its place


@dataclass(frozen=True, eq=False)
class Match:
    """Keypoints of a moving and a standing picture that look alike, and what they say.

    Attributes:
        move: Shift, turn and scale `(2, 3)` that takes most moving keypoints to their likes; None where too few agree.
        moving, standing: Places `(n, 2)` of those that look alike, the i-th of one with the i-th of the other.
        agrees: Which of them the move takes to their places `(n,)`.
    """

    move: NDArray[np.float64] | None
    moving: Floats
    standing: Floats
    agrees: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many agree."""
        return int(self.agrees.sum())


def find(pixels: Pixels) -> Keypoints:
    """The keypoints of a picture, RGB `(h, w, 3)` uint8; there may be none."""
    import cv2

    grey = cv2.cvtColor(bounded(pixels, _LONGEST), cv2.COLOR_RGB2GRAY)
    points, described = cv2.SIFT.create(_KEYPOINTS, 3, _CONTRAST).detectAndCompute(grey, None)
    if not points:  # then there are no descriptors either
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    roots = np.sqrt(described / np.maximum(described.sum(axis=1, keepdims=True), 1))
    places = np.array([point.pt for point in points], np.float32)
    return (places + 0.5) * (pixels.shape[1] / grey.shape[1]) - 0.5, roots.astype(np.float32)


def mirrored(keypoints: Keypoints, width: int) -> Keypoints:
    """What `find` finds in the mirrored picture.

    A descriptor has 4×4 cells of 8 directions in the frame of its keypoint; mirroring turns that frame over along its
    direction.
    """
    places, described = keypoints
    cells = described.reshape(-1, 4, 4, 8)[:, ::-1, :, (-np.arange(8)) % 8]
    turned = np.stack([width - 1 - places[:, 0], places[:, 1]], axis=1)
    return turned, np.ascontiguousarray(cells).reshape(-1, 128)


def match(moving: Keypoints, standing: Keypoints) -> Match:
    """Which keypoints look alike, by the ratio test, and which of them agree in one move, by RANSAC; deterministic."""
    import cv2

    from_, to = _alike(moving, standing)
    nothing = Match(None, from_, to, np.zeros(len(to), np.bool_))
    if len(to) < _LEAST_INLIERS:
        return nothing
    cv2.setRNGSeed(0)  # of RANSAC
    found, inliers = cv2.estimateAffinePartial2D(from_, to, method=cv2.RANSAC, ransacReprojThreshold=_OFF)
    agrees = np.asarray(inliers, np.bool_).ravel()
    return Match(np.asarray(found, np.float64), from_, to, agrees) if agrees.sum() >= _LEAST_INLIERS else nothing


def _alike(moving: Keypoints, standing: Keypoints) -> tuple[Floats, Floats]:
    """Places of the keypoints whose nearest descriptor is much nearer than the second; of a few there are none."""
    if min(len(moving[0]), len(standing[0])) < _LEAST_INLIERS:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    cosines = standing[1] @ moving[1].T
    rows, best = np.arange(len(cosines)), cosines.argmax(axis=1)
    nearest = 1 - cosines[rows, best]
    cosines[rows, best] = -1
    sure = nearest < _RATIO**2 * (1 - cosines.max(axis=1))
    return moving[0][best[sure]], standing[0][sure]


def bounded(pixels: Pixels, longest: int) -> Pixels:
    """The picture with its longer side shrunk to that, where it is longer."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(longest / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
