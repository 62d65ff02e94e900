"""Rejection of candidate pairs by small summaries of two images, before their pixels are compared.

Of the candidates for tier `edited` one pair in a thousand is a copy. A comparison decodes two images, detects their
keypoints and aligns them; a summary is computed once per image and takes 20 kB.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.images import keypoints
from imrec_core.images.keypoints import FewKeypoints
from imrec_core.images.rgb import Pixels

Floats = NDArray[np.float32]

_SIDE, _CELLS, _MARKS = 256, 8, 32  # pixels, cells of levels, and cells of marks along a side of the square
_GAIN, _OFFSET = 2.5, 80.0  # maximum contrast and brightness change; `block_agreement` allows 2 and 64
_LEVELS, _AGREEING = 20.0, 0.88  # differences of levels in the share of the cells that must agree; there 16 in 0.94
# Minimum correlation of the cells that agree, and the standard deviation in levels below which it says nothing. Copies
# of 60 photos and 60 parts of photos by `edits.EDITS` correlate by 0.99 and more (2026-11).
_CORRELATION, _FAINT_CELLS = 0.9, 3.0
_KEPT = 48  # cells of 64 to which gain and offset are fitted
_BANDS = (1, 2)  # cells along one side that may be a caption
_FLAT = 16.0  # standard deviation of the levels, below which images are compared by their marks
_MARK, _FAINT = 12.0, 2.0  # levels by which a mark differs from the ground; by which its copy, perhaps brighter, does
_MARKS_FOUND = 0.75  # minimum share of the marks of one image that the other one has
_MARKS_OF_VARIANT = 0.5  # the same for tier `variant`; a page that lacks a clear mark is not `near`

# Pixels of the longer side. The second takes three times as long, so only images with few keypoints get it: 160 of 900
# parts of photos. 91 of these have hardly any, and at the larger size at most 9, too few to be aligned (2026-11).
_KEYPOINT_SIDES, _KEYPOINTS, _FEW_KEYPOINTS, _HARDLY_ANY = (200, keypoints.MAX_SIDE), 150, 20, 5
# Of 4541 candidate pairs of 1066 photos 2 % have 6 inliers or more. Crops to a third of the area, stored as JPEG of
# quality 40, have at least 13, to half the area 30 (30 photos, 2026-11).
_INLIERS, _LEAST_INLIERS = 0.04, 5  # as a share of the keypoints of the image with fewer; at least


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary of an image.

    Attributes:
        levels: Mean luma of 8×8 cells.
        marks: Largest difference from the median level in each of 32×32 cells, in levels; None if the levels differ.
        keypoints: Few keypoints; None if they were not asked for.
    """

    levels: Floats
    marks: NDArray[np.int16] | None
    keypoints: FewKeypoints | None

    @classmethod
    def of(cls, pixels: Pixels, *, with_keypoints: bool) -> Summary:
        """Summarise an RGB image `(h, w, 3)`."""
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        square = np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        levels = np.asarray(cv2.resize(square, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32)
        found = _find_keypoints(pixels) if with_keypoints else None
        return cls(levels, _find_marks(square, float(np.median(levels))) if levels.std() < _FLAT else None, found)

    @classmethod
    def of_parts(cls, levels: Floats, marks: NDArray[np.int16] | None, keypoints: FewKeypoints | None) -> Summary:
        """Restore a summary from flat arrays."""
        cells = None if marks is None else marks.reshape(_MARKS, _MARKS)
        return cls(levels.reshape(_CELLS, _CELLS), cells, keypoints)

    def with_copied_keypoints(self, copy: Callable[[NDArray[Any]], NDArray[Any]]) -> Summary:
        """Return the same summary, with its keypoints in arrays that `copy` has made."""
        found = self.keypoints
        if found is None:
            return self
        return replace(self, keypoints=FewKeypoints(found.width, copy(found.positions), copy(found.descriptors)))


def _find_keypoints(pixels: Pixels) -> FewKeypoints:
    """Detect the keypoints of a small image or, if these are few, those at the size that an alignment uses."""
    small, large = _KEYPOINT_SIDES
    found = keypoints.find_few(pixels, small, _KEYPOINTS)
    return keypoints.find_few(pixels, large, _KEYPOINTS) if _HARDLY_ANY <= len(found) < _FEW_KEYPOINTS else found


def _find_marks(square: Pixels, ground: float) -> NDArray[np.int16]:
    """Compute the largest difference from the ground in each cell of a grey square."""
    import cv2

    smooth = np.asarray(cv2.GaussianBlur(square, (0, 0), 1.5), np.uint8).reshape(_MARKS, _SIDE // _MARKS, _MARKS, -1)
    low = smooth.min(axis=1).min(axis=2).astype(np.int16) - round(ground)
    high = smooth.max(axis=1).max(axis=2).astype(np.int16) - round(ground)
    return np.asarray(np.where(-low > high, low, high), np.int16)


@dataclass(frozen=True)
class Screened:
    """Result for a pair of images.

    Attributes:
        may_be_near: The images may be equal but for levels and a caption, in some orientation for tier `edited`.
        may_be_aligned: One image may be a part of the other.
    """

    may_be_near: bool = False
    may_be_aligned: bool = False

    @property
    def may_match(self) -> bool:
        """Whether the pixels must be compared."""
        return self.may_be_near or self.may_be_aligned


def distance(a: Summary, b: Summary) -> float:
    """Compute the mean difference of two images of similar hashes, in levels; smaller is closer."""
    if a.marks is not None and b.marks is not None:
        return float(np.abs(a.marks - b.marks).mean())
    return float(np.abs(a.levels - b.levels).mean())


def screen(a: Summary, b: Summary, tier: str) -> Screened:
    """Test two images for a tier and the narrower ones."""
    return Screened(may_be_near(a, b, tier), tier == "edited" and may_be_aligned(a, b))


def may_be_near(a: Summary, b: Summary, tier: str) -> bool:
    """Test whether two images may be equal but for levels and a caption, for `edited` in any of eight orientations."""
    is_edited = tier == "edited"
    oriented = _orientations(b.levels) if is_edited else b.levels[None]
    if not _have_equal_levels(a.levels, oriented):
        return False
    if is_edited or a.marks is None or b.marks is None:
        return True
    return _have_equal_marks(a.marks, b.marks, _MARKS_OF_VARIANT if tier == "variant" else _MARKS_FOUND)


def may_be_aligned(a: Summary, b: Summary) -> bool:
    """Test whether one image may be a part of the other, mirrored or not, by few keypoints."""
    assert a.keypoints is not None and b.keypoints is not None
    fewest = min(len(a.keypoints), len(b.keypoints))
    if fewest < keypoints.MIN_INLIERS:
        return False
    least = max(math.ceil(_INLIERS * fewest), _LEAST_INLIERS)
    return keypoints.have_inliers(a.keypoints, b.keypoints, least)


def _orientations(levels: Floats) -> Floats:
    return np.stack([np.rot90(some, turns) for some in (levels, levels[:, ::-1]) for turns in range(4)])


def _have_equal_levels(a: Floats, oriented: Floats) -> bool:
    """Test whether most cells of the first image are equal to those of the second, up to gain and offset.

    In the first orientation, the second image may have a caption on any side. Gain and offset are fitted twice, the
    second time without the worst quarter of the cells.

    Args:
        oriented: Levels of the second image in each orientation `(n, 8, 8)`.
    """
    upright, *turned = oriented.reshape(len(oriented), -1)
    x, y = a.ravel(), np.stack([upright] * len(_PARTS) + turned)
    part = np.concatenate([_PARTS, np.ones((len(turned), x.size), np.bool_)])
    used = part
    for _ in range(2):
        count = used.sum(axis=1, keepdims=True)
        mean_x, mean_y = ((values * used).sum(axis=1, keepdims=True) / count for values in (x, y))
        off_x, off_y = (x - mean_x) * used, (y - mean_y) * used
        products = (off_x * off_x, off_y * off_y, off_x * off_y)
        spread_x, spread_y, common = (product.sum(axis=1, keepdims=True) for product in products)
        gain = np.where(spread_x > count, common / np.maximum(spread_x, 1), 1)
        gain = np.clip(gain, 1 / _GAIN, _GAIN)
        offset = np.clip(mean_y - gain * mean_x, -_OFFSET * _GAIN, _OFFSET * _GAIN)
        wrong = np.abs(x * gain + offset - y)
        used = part & (wrong <= np.partition(wrong, _KEPT, axis=1)[:, _KEPT, None])
    agrees = (wrong < _LEVELS * np.maximum(gain, 1)) & part
    are_equal = agrees.sum(axis=1) >= _AGREEING * part.sum(axis=1)
    is_faint = np.minimum(spread_x, spread_y) < _FAINT_CELLS**2 * count
    correlates = is_faint | (common >= _CORRELATION * np.sqrt(spread_x * spread_y))
    return bool((are_equal & correlates[:, 0]).any())


def _parts() -> NDArray[np.bool_]:
    """List the sets of cells to compare `(9, 64)`: all, and all but a band along one side."""
    parts = [np.ones((_CELLS, _CELLS), np.bool_)]
    for width in _BANDS:
        for band in (slice(None, width), slice(-width, None)):
            for side in ((band, slice(None)), (slice(None), band)):
                part = np.ones((_CELLS, _CELLS), np.bool_)
                part[side] = False
                parts.append(part)
    return np.stack(parts).reshape(len(parts), -1)


_PARTS = _parts()


def _have_equal_marks(a: NDArray[np.int16], b: NDArray[np.int16], share: float) -> bool:
    """Test whether at least a share of the marks of each of two flat images is near a mark of the other one."""
    import cv2

    for one, other in ((a, b), (b, a)):
        is_mark = np.abs(one) >= _MARK
        if not is_mark.any():
            continue
        around = np.ones((3, 3), np.uint8)
        darkest, brightest = cv2.erode(other, around), cv2.dilate(other, around)
        is_found = np.where(one < 0, -darkest, brightest) >= _FAINT
        if is_found[is_mark].mean() < share:
            return False
    return True
