"""Alignment of two images by keypoints, of which one may be a part of the other, and their agreement where both are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.block_agreement import block_agreement, split_blocks, whole_blocks
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.images import keypoints
from imrec_core.images.rgb import Pixels

Transform = NDArray[np.float64]

_OVERLAP = 0.75  # minimum, as a share of the smaller image
_SCALES = 0.05, 0.8  # minimum scale; scale below which the image is smoothed before it shrinks


@dataclass(frozen=True, eq=False)
class Alignment:
    """Alignment of two images.

    Attributes:
        transform: Translation, rotation and scale `(2, 3)` from `pixels` of the second image, mirrored if that was
            asked for, to those of the first.
        agreement: Share of the blocks that agree where both images are, 0 to 1; 0 if too few have texture.
        inliers: Number of matching keypoints.
    """

    transform: Transform
    agreement: float
    inliers: int


def align_by_keypoints(a: BlockInput, b: BlockInput, *, is_mirrored: bool) -> Alignment | None:
    """Align the second image with the first; None if keypoints give no transform, or the images hardly overlap."""
    import cv2

    over = np.ascontiguousarray(b.pixels[:, ::-1]) if is_mirrored else b.pixels
    moving = keypoints.mirror(b.keypoints, over.shape[1]) if is_mirrored else b.keypoints
    match = keypoints.match(moving, a.keypoints)
    if match.transform is None:
        return None
    found, under = match.transform, a.pixels
    if scale_of(found) > 1:  # warp the finer image onto the coarser one
        found, under, over = inverse(found), over, under
    scale = scale_of(found)
    if scale < _SCALES[0]:
        return None
    height, width = under.shape[:2]
    fine = cv2.GaussianBlur(over, (0, 0), 0.4 / scale) if scale < _SCALES[1] else over
    moved = np.asarray(cv2.warpAffine(fine, found, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    full = np.full(over.shape[:2], 255, np.uint8)
    mask = np.asarray(cv2.warpAffine(full, found, (width, height), flags=cv2.INTER_NEAREST), np.uint8)
    if (mask > 0).sum() < _OVERLAP * min(over.shape[0] * over.shape[1] * scale**2, width * height):
        return None
    return Alignment(match.transform, _agreement(under, moved, mask), match.count)


def scale_of(transform: Transform) -> float:
    """Return the scale of a transform."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def inverse(transform: Transform) -> Transform:
    """Return the inverse of a transform."""
    import cv2

    return np.asarray(cv2.invertAffineTransform(transform), np.float64)


def _agreement(under: Pixels, moved: Pixels, mask: NDArray[np.uint8]) -> float:
    import cv2

    left, top, columns, rows = cv2.boundingRect(mask)
    part = slice(top, top + rows), slice(left, left + columns)
    blocks = split_blocks(under[part]), split_blocks(moved[part])
    agreement, is_sparse, *_ = block_agreement(*blocks, whole_blocks(mask[part]))
    return 0.0 if is_sparse else float(agreement)
