"""SIFT keypoints of two images, their matches, and the similarity transform that most matches agree with.

Decisions about copies belong in `duplicates`, and drawing in `plots`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.images.rgb import Pixels

Floats = NDArray[np.float32]
Keypoints = tuple[Floats, Floats]
"""Positions `(n, 2)`, x then y in pixels of the image, and RootSIFT descriptors `(n, 128)`."""

_MAX_SIDE = 400  # pixels of the longer side in which keypoints are detected
_KEYPOINTS = 600
_CONTRAST = 0.02
_RATIO = 0.8  # of the distances to the nearest and the second nearest descriptor
_MIN_INLIERS = 12
_MAX_REPROJECTION_ERROR = 3.0  # pixels


@dataclass(frozen=True, eq=False)
class Match:
    """Keypoint matches of two images, and a transform from the first to the second.

    Attributes:
        transform: Translation, rotation and scale `(2, 3)` with which most matches agree; None if too few do.
        moving, standing: Positions `(n, 2)` of the matches in the first and the second image, row by row.
        agrees: Inliers of the transform `(n,)`.
    """

    transform: NDArray[np.float64] | None
    moving: Floats
    standing: Floats
    agrees: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of inliers."""
        return int(self.agrees.sum())


def find(pixels: Pixels) -> Keypoints:
    """Detect the keypoints of an RGB image `(h, w, 3)` uint8; there may be none."""
    import cv2

    grey = cv2.cvtColor(shrink(pixels, _MAX_SIDE), cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(_KEYPOINTS, 3, _CONTRAST).detectAndCompute(grey, None)
    if not points:  # then OpenCV returns None for the descriptors
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    roots = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1))
    positions = np.array([point.pt for point in points], np.float32)
    return (positions + 0.5) * (pixels.shape[1] / grey.shape[1]) - 0.5, roots.astype(np.float32)


def mirror(keypoints: Keypoints, width: int) -> Keypoints:
    """Compute the keypoints of the mirrored image, as `find` would detect them.

    A descriptor has 4×4 cells with 8 directions in the frame of its keypoint. Mirroring flips that frame along the
    direction of the keypoint.

    Args:
        width: Pixels of the image.
    """
    positions, descriptors = keypoints
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, (-np.arange(8)) % 8]
    flipped = np.stack([width - 1 - positions[:, 0], positions[:, 1]], axis=1)
    return flipped, np.ascontiguousarray(cells).reshape(-1, 128)


def match(moving: Keypoints, standing: Keypoints) -> Match:
    """Match keypoints by the ratio test and fit a transform by RANSAC; deterministic."""
    import cv2

    from_, to = _match_descriptors(moving, standing)
    without_transform = Match(None, from_, to, np.zeros(len(to), np.bool_))
    if len(to) < _MIN_INLIERS:
        return without_transform
    cv2.setRNGSeed(0)  # of RANSAC
    transform, inliers = cv2.estimateAffinePartial2D(
        from_, to, method=cv2.RANSAC, ransacReprojThreshold=_MAX_REPROJECTION_ERROR
    )
    agrees = np.asarray(inliers, np.bool_).ravel()
    if agrees.sum() < _MIN_INLIERS:
        return without_transform
    return Match(np.asarray(transform, np.float64), from_, to, agrees)


def _match_descriptors(moving: Keypoints, standing: Keypoints) -> tuple[Floats, Floats]:
    """Return the positions `(n, 2)` of matches that pass the ratio test.

    There are none if an image has too few keypoints.
    """
    if min(len(moving[0]), len(standing[0])) < _MIN_INLIERS:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    cosines = standing[1] @ moving[1].T
    rows, best = np.arange(len(cosines)), cosines.argmax(axis=1)
    nearest = 1 - cosines[rows, best]
    cosines[rows, best] = -1
    sure = nearest < _RATIO**2 * (1 - cosines.max(axis=1))
    return moving[0][best[sure]], standing[0][sure]


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """Shrink an image to a longer side of at most `longest` pixels."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(longest / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
