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

MAX_SIDE = 400
"""Pixels of the longer side in which `find` detects keypoints."""

MIN_INLIERS = 12
"""Minimum number of keypoints in each image, and of matches that agree, for a transform."""

_KEYPOINTS = 600
_CONTRAST = 0.02
_RATIO = 0.8  # of the distances to the nearest and the second nearest descriptor
_MAX_REPROJECTION_ERROR = 3.0  # pixels
_FEW_ERROR = 2.0  # pixels of the small image of `find_few`


@dataclass(frozen=True, eq=False)
class FewKeypoints:
    """Few keypoints of a small image, in a form that takes little memory.

    Attributes:
        width: Pixels of the small image.
        positions: `(n, 2)`, x then y in pixels of the small image.
        descriptors: SIFT descriptors `(n, 128)`, which OpenCV rounds to whole numbers up to 255.
    """

    width: int
    positions: Floats
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.positions)

    def to_keypoints(self) -> Keypoints:
        """Convert to positions and RootSIFT descriptors."""
        return self.positions, to_root_sift(self.descriptors)


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

    grey = cv2.cvtColor(shrink(pixels, MAX_SIDE), cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(_KEYPOINTS, 3, _CONTRAST).detectAndCompute(grey, None)
    if not points:  # then OpenCV returns None for the descriptors
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    positions = np.array([point.pt for point in points], np.float32)
    return (positions + 0.5) * (pixels.shape[1] / grey.shape[1]) - 0.5, to_root_sift(descriptors)


def find_few(pixels: Pixels, side: int, count: int) -> FewKeypoints:
    """Detect the strongest keypoints of an image that is first shrunk to a longer side of `side` pixels."""
    import cv2

    grey = cv2.cvtColor(shrink(pixels, side), cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(count, 3, _CONTRAST).detectAndCompute(grey, None)
    if not points:
        return FewKeypoints(grey.shape[1], np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))
    positions = np.array([point.pt for point in points], np.float32)
    return FewKeypoints(grey.shape[1], positions, descriptors.astype(np.uint8))


def to_root_sift(descriptors: NDArray[np.generic]) -> Floats:
    """Convert raw SIFT descriptors `(n, 128)` to RootSIFT."""
    values = np.asarray(descriptors, np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1)), np.float32)


def mirror(keypoints: Keypoints, width: int) -> Keypoints:
    """Compute the keypoints of the mirrored image, as `find` would detect them.

    Args:
        width: Pixels of the image.
    """
    positions, descriptors = keypoints
    flipped = np.stack([width - 1 - positions[:, 0], positions[:, 1]], axis=1)
    return flipped, mirror_descriptors(descriptors)


def mirror_descriptors(descriptors: Floats) -> Floats:
    """Compute the descriptors of the mirrored image.

    A descriptor has 4×4 cells with 8 directions in the frame of its keypoint. Mirroring flips that frame along the
    direction of the keypoint.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, (-np.arange(8)) % 8]
    return np.ascontiguousarray(cells).reshape(-1, 128)


def match(moving: Keypoints, standing: Keypoints) -> Match:
    """Match keypoints by the ratio test and fit a transform by RANSAC; deterministic."""
    import cv2

    from_, to = _match_descriptors(moving, standing)
    without_transform = Match(None, from_, to, np.zeros(len(to), np.bool_))
    if len(to) < MIN_INLIERS:
        return without_transform
    cv2.setRNGSeed(0)  # of RANSAC
    transform, inliers = cv2.estimateAffinePartial2D(
        from_, to, method=cv2.RANSAC, ransacReprojThreshold=_MAX_REPROJECTION_ERROR
    )
    agrees = np.asarray(inliers, np.bool_).ravel()
    if agrees.sum() < MIN_INLIERS:
        return without_transform
    return Match(np.asarray(transform, np.float64), from_, to, agrees)


def _match_descriptors(moving: Keypoints, standing: Keypoints) -> tuple[Floats, Floats]:
    """Return the positions `(n, 2)` of matches that pass the ratio test.

    There are none if an image has too few keypoints.
    """
    if min(len(moving[0]), len(standing[0])) < MIN_INLIERS:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    best, sure = _pass_ratio_test(moving[1], standing[1])
    return moving[0][best[sure]], standing[0][sure]


def have_inliers(moving: FewKeypoints, standing: FewKeypoints, least: int) -> bool:
    """Test whether `least` matches agree with one transform, of the first image as it is or of the mirrored one.

    Args:
        least: At least 3; any two matches agree.
    """
    found, other = moving.to_keypoints(), standing.to_keypoints()
    return _count_inliers(found, other, least) >= least or (
        _count_inliers(mirror(found, moving.width), other, least) >= least
    )


def _count_inliers(moving: Keypoints, standing: Keypoints, least: int) -> int:
    """Count the matches that agree with one transform; 0 if there are fewer matches than `least`."""
    import cv2

    if min(len(moving[0]), len(standing[0])) < 2:
        return 0
    best, sure = _pass_ratio_test(moving[1], standing[1])
    if sure.sum() < least:
        return 0
    cv2.setRNGSeed(0)  # of RANSAC
    _, inliers = cv2.estimateAffinePartial2D(
        moving[0][best[sure]], standing[0][sure], method=cv2.RANSAC, ransacReprojThreshold=_FEW_ERROR, maxIters=500
    )
    return int(np.asarray(inliers).sum())


def _pass_ratio_test(moving: Floats, standing: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the nearest moving descriptor of each standing one, and whether the second nearest is much farther."""
    cosines = standing @ moving.T
    rows, best = np.arange(len(cosines)), cosines.argmax(axis=1)
    nearest = 1 - cosines[rows, best]
    cosines[rows, best] = -1
    return best, nearest < _RATIO**2 * (1 - cosines.max(axis=1))


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """Shrink an image to a longer side of at most `longest` pixels."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(longest / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
