"""Comparison of two images by their pixels: the duplicate tier of a pair.

Both images are resized to one square, slightly blurred and cut into 8×8 blocks. A block agrees if its structure
correlates and its colour is equal, up to one brightness and contrast for the whole image. Nearly all blocks must agree.
Rotated and mirrored copies are compared in all eight orientations. Cropped copies are first aligned by SIFT keypoints,
then compared by the same blocks: keypoints alone would match two photos of one object.

Of 1066 photos, 1553 pairs are at most 18 bits of phash apart. Of these, two shots of an elephant agree in 0.7 of the
blocks, two of horses in 0.6, all others in at most 0.3. Copies made by `edits.EDITS` agree in nearly all (2026-11).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import ImageError, UnknownName, UnreadableImage
from imrec_core.images import keypoints
from imrec_core.images.decode import MAX_PIXELS, Pixels, decode
from imrec_core.images.keypoints import Keypoints, bounded
from imrec_core.lake.storage.files import AnyPath, place, read_bytes

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

TIERS = ("identical", "same_pixels", "near", "edited")
"""Tiers from the narrowest to the widest; each includes those before it."""

_SIDE, _CELLS = 256, 8
_BLOCK = _SIDE // _CELLS
_BLUR = 2.0  # pixels of the square: finer detail is lost in copies of half the size or of JPEG quality 20
_LONGEST = 512  # maximum of the longer side in pixels
_MIN_SIDE = 256
_ASPECT = 0.02  # maximum difference of the logarithms of the aspect ratios

_AGREEING = 0.94  # two aligned shots of grazing horses agreed in 0.91 of the blocks, crops in at least 0.97
_BANDS = (1, 2)  # blocks along one side that may be a caption; along any side, as the image may be rotated
_CORRELATION = 0.8, 0.95  # of whole images, of aligned images; two aligned photos of one place reach 0.92
_TEXTURE = 4.0  # standard deviation in grey levels, below which a block is flat
_LEAST_TEXTURED = 8  # blocks that must agree in structure, not only in colour
_LEAST_BLOCKS = 32
_LUMA, _CHROMA = 16.0, 12.0  # maximum differences of the means of a block, in levels
_GAIN, _OFFSET = 2.0, 64.0  # maximum contrast and brightness change between two copies
_BLOWN = 250.0  # brighter blocks are clipped, and left out of the fit of brightness and contrast
_COARSE = 0.2  # minimum correlation of the mean levels of the blocks, to compare an orientation
_AS_BRIGHT = 0.6  # minimum share of blocks of equal brightness, to compare their structure
_PLAIN = 3.0  # maximum difference of two images without texture, in levels

_OVERLAP = 0.75  # minimum, as a share of the smaller image
_SCALES = 0.05, 0.8  # minimum scale; scale below which the image is smoothed before it shrinks

_TURNS = ("", "rotated 90° counterclockwise", "rotated 180°", "rotated 90° clockwise")


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two images.

    Attributes:
        tier: Narrowest of `TIERS` that the pair belongs to; None for different images.
        agreement: Share of the blocks that agree, 0 to 1.
        how: Explanation, for display.
    """

    tier: str | None
    agreement: float
    how: str

    def holds(self, tier: str) -> bool:
        """Test whether the pair belongs to a tier, or to a narrower one."""
        return self.tier is not None and TIERS.index(self.tier) <= TIERS.index(tier)


IDENTICAL = Comparison("identical", 1.0, "the same bytes")
SAME_PIXELS = Comparison("same_pixels", 1.0, "the same pixels")
DIFFERENT = Comparison(None, 0.0, "different images")


def checked_tier(tier: str) -> str:
    """Require a known tier.

    Raises:
        UnknownName: There is no such tier.
    """
    if tier not in TIERS:
        raise UnknownName("tier", tier, TIERS)
    return tier


class Look:
    """An image prepared for comparison: bounded in size, with derived values computed once.

    Args:
        pixels: RGB `(h, w, 3)`, or with an ignored fourth channel; uint8, upright.
        width, height: Full size of the image in the file.
    """

    def __init__(self, pixels: Pixels, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = np.ascontiguousarray(bounded(pixels, _LONGEST)[..., :3])

    @classmethod
    def of(cls, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Look:
        """Decode the bytes of a file.

        Raises:
            ImageError: They cannot be decoded.
        """
        decoded = decode(data, max_pixels=max_pixels, min_side=_MIN_SIDE)
        return cls(decoded.pixels, decoded.width, decoded.height)

    @cached_property
    def blocks(self) -> Floats:
        """Luma and chroma of the blocks `(3, 64, n)`."""
        return _blocks(self.pixels)

    @cached_property
    def coarse(self) -> Floats:
        """Mean luma of each block `(8, 8)`, centred, of length 1."""
        levels = self.blocks[0].mean(axis=1).reshape(_CELLS, _CELLS)
        levels = levels - levels.mean()
        return np.asarray(levels / max(float(np.linalg.norm(levels)), 1e-6))

    @cached_property
    def keypoints(self) -> Keypoints:
        """SIFT keypoints of the image."""
        return keypoints.find(self.pixels)

    def oriented(self, turns: int, *, is_mirrored: bool) -> Pixels:
        """Mirror the image left to right if asked, then rotate it by quarter turns counterclockwise."""
        return np.rot90(self.pixels[:, ::-1] if is_mirrored else self.pixels, turns)


def compare_files(
    a: str | os.PathLike[str], b: str | os.PathLike[str], *, tier: str = "edited", max_pixels: int = MAX_PIXELS
) -> Comparison:
    """Find the tier of two files.

    Args:
        tier: Widest tier to test.
        max_pixels: Images with more pixels raise `ImageTooLarge`.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
        UnknownName: There is no such tier.
    """
    checked_tier(tier)
    first, second = (_read(place(path)) for path in (a, b))
    if first == second:
        return IDENTICAL
    one, other = (_look(path, data, max_pixels) for path, data in ((a, first), (b, second)))
    if tier == "identical":
        return DIFFERENT
    found = compare(one, other, tier=tier)
    if may_be_same_pixels(one, other, found) and pixels_of(first, max_pixels) == pixels_of(second, max_pixels):
        return SAME_PIXELS
    return found if found.holds(tier) else Comparison(None, found.agreement, DIFFERENT.how)


def _look(path: str | os.PathLike[str], data: bytes, max_pixels: int) -> Look:
    try:
        return Look.of(data, max_pixels=max_pixels)
    except ImageError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def _read(path: AnyPath) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL character in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error


def may_be_same_pixels(a: Look, b: Look, found: Comparison) -> bool:
    """Test whether two images can have the same pixels, before decoding both at full size."""
    return found.tier == "near" and (a.width, a.height) == (b.width, b.height)


def pixels_of(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """Hash the size and all RGB values of an image; equal if and only if two images have equal pixels."""
    from hashlib import blake2b

    pixels = decode(data, max_pixels=max_pixels).pixels
    digest = blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels[..., :3]).data)
    return digest.digest()


def compare(a: Look, b: Look, *, tier: str = "edited") -> Comparison:
    """Compare two images of different bytes for the tier `near` and, if asked, `edited`; symmetric."""
    agreement = _agreement(a.blocks, b.blocks) if _is_of_one_shape(a, b) else 0.0
    if agreement >= _AGREEING:
        return Comparison("near", agreement, "the same image")
    if tier != "edited":
        return Comparison(None, agreement, DIFFERENT.how)
    return _compare_oriented(a, b) or _compare_laid_over(a, b) or Comparison(None, agreement, DIFFERENT.how)


def _is_of_one_shape(a: Look, b: Look, turns: int = 0) -> bool:
    width, height = (b.height, b.width) if turns % 2 else (b.width, b.height)
    slack = _ASPECT + 1 / min(a.width, a.height, width, height)
    return abs(math.log(a.width * height / (a.height * width))) <= slack


def _compare_oriented(a: Look, b: Look) -> Comparison | None:
    for is_mirrored in (False, True):
        for turns in range(4):
            if (turns or is_mirrored) and _is_of_one_shape(a, b, turns):
                coarse = np.rot90(b.coarse[:, ::-1] if is_mirrored else b.coarse, turns)
                if (a.coarse * coarse).sum() < _COARSE:
                    continue
                agreement = _agreement(a.blocks, _blocks(b.oriented(turns, is_mirrored=is_mirrored)))
                if agreement >= _AGREEING:
                    edits = " and ".join(filter(None, ("mirrored" if is_mirrored else "", _TURNS[turns])))
                    return Comparison("edited", agreement, edits)
    return None


def _compare_laid_over(a: Look, b: Look) -> Comparison | None:
    for is_mirrored in (False, True):
        agreement, inliers = _laid_over(a, b, is_mirrored=is_mirrored)
        if agreement >= _AGREEING:
            edits = "mirrored and cropped" if is_mirrored else "cropped"
            return Comparison("edited", agreement, f"{edits}, by {inliers} matching keypoints")
    return None


# -- blocks -------------------------------------------------------------------------------------------------


def _square(pixels: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _blocks(pixels: Pixels) -> Floats:
    """Compute luma and chroma `(3, 64, n)` of the blocks of an image, resized to the square."""
    import cv2

    ycc = cv2.cvtColor(_square(pixels), cv2.COLOR_RGB2YCrCb).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(ycc, (0, 0), _BLUR), np.float32)
    cells = smooth.reshape(_CELLS, _BLOCK, _CELLS, _BLOCK, 3).transpose(4, 0, 2, 1, 3)
    return np.ascontiguousarray(cells).reshape(3, _CELLS**2, _BLOCK**2)


def _agreement(a: Floats, b: Floats, inside: Flags | None = None) -> float:
    """Compute the share of the blocks that agree; 0 if there are too few blocks or too little texture.

    Args:
        a, b: Blocks as returned by `_blocks`.
        inside: Flags of the blocks to count `(64,)`; None counts all, and ignores a caption along one side.
    """
    means_a, means_b = a.mean(axis=2), b.mean(axis=2)
    counted = np.ones(_CELLS**2, np.bool_) if inside is None else inside
    if counted.sum() < _LEAST_BLOCKS:
        return 0.0
    gain, offset = _brightness_and_contrast(means_a[0, counted], means_b[0, counted])
    if gain < 1:  # the image of higher contrast is the clipped one
        gain, offset = _brightness_and_contrast(means_b[0, counted], means_a[0, counted])
        a, b, means_a, means_b = b, a, means_b, means_a
    if gain > _GAIN or abs(offset) > _OFFSET:
        return 0.0
    if (np.abs(means_a[0] * gain + offset - means_b[0])[counted] < 2 * _LUMA * gain).mean() < _AS_BRIGHT:
        return 0.0
    luma = np.clip(a[0] * gain + offset, 0, 255)
    level = luma.mean(axis=1)
    rise_a, rise_b = luma - level[:, None], b[0] - means_b[0][:, None]
    spread_a, spread_b = (np.sqrt(np.einsum("ij,ij->i", rise, rise)) for rise in (rise_a, rise_b))
    correlation = np.einsum("ij,ij->i", rise_a, rise_b) / np.maximum(spread_a * spread_b, 1e-6)
    is_textured = np.maximum(spread_a, spread_b) / _BLOCK > _TEXTURE * gain
    is_as_bright = np.abs(level - means_b[0]) < _LUMA * gain
    chroma = np.abs((means_a[1:] - 128) * gain - (means_b[1:] - 128)).max(axis=0)
    # Colours fade where a channel is clipped.
    is_as_coloured = (chroma < _CHROMA * gain) | (means_a[0] * gain + offset > _BLOWN - 40)
    agrees = is_as_bright & is_as_coloured & (~is_textured | (correlation > _CORRELATION[inside is not None]))
    if not is_textured[counted].any():
        return float(np.abs(a - b)[:, counted].max() <= _PLAIN) if inside is None else 0.0
    return max(_share(agrees, is_textured, part) for part in _parts(counted, is_whole=inside is None))


def _parts(counted: Flags, *, is_whole: bool) -> list[Flags]:
    """List the sets of blocks to test: all, and of whole images also all but a band along one side."""
    parts = [counted]
    for width in _BANDS if is_whole else ():
        for band in (slice(None, width), slice(-width, None)):
            for side in ((band, slice(None)), (slice(None), band)):
                part = counted.reshape(_CELLS, _CELLS).copy()
                part[side] = False
                parts.append(part.ravel())
    return parts


def _share(agrees: Flags, is_textured: Flags, part: Flags) -> float:
    """Compute the share of blocks that agree, of all and of the textured ones; return the smaller."""
    textured = is_textured & part
    if (agrees & textured).sum() < _LEAST_TEXTURED:
        return 0.0
    return float(min(agrees[part].mean(), agrees[textured].mean()))


def _brightness_and_contrast(a: Floats, b: Floats) -> tuple[float, float]:
    """Fit gain and offset from the levels `a` to `b`, without clipped blocks and the worst quarter."""
    usable = np.maximum(a, b) < _BLOWN
    usable = usable if usable.sum() >= _LEAST_TEXTURED else np.ones(len(a), np.bool_)
    wrong = np.abs(b - a - np.median((b - a)[usable]))
    kept, gain, offset = usable & (wrong <= np.quantile(wrong[usable], 0.6)), 1.0, 0.0  # excludes a caption
    for _ in range(4):
        mean_a, mean_b = float(a[kept].mean()), float(b[kept].mean())
        variance = float(((a[kept] - mean_a) ** 2).mean())
        covariance = float(((a[kept] - mean_a) * (b[kept] - mean_b)).mean())
        gain = max(covariance / variance, 1e-3) if variance > _TEXTURE**2 else 1.0
        offset = mean_b - gain * mean_a
        wrong = np.abs(a * gain + offset - b)
        kept = usable & (wrong <= np.quantile(wrong[usable], 0.75))
    return gain, offset


# -- keypoints ----------------------------------------------------------------------------------------------


def _laid_over(a: Look, b: Look, *, is_mirrored: bool) -> tuple[float, int]:
    """Align one image with the other by keypoints; return their agreement, and the number of matching keypoints."""
    import cv2

    over = np.ascontiguousarray(b.pixels[:, ::-1]) if is_mirrored else b.pixels
    moving = keypoints.mirrored(b.keypoints, over.shape[1]) if is_mirrored else b.keypoints
    match = keypoints.match(moving, a.keypoints)
    found, inliers = match.move, match.count
    if found is None:
        return 0.0, inliers
    under, scale = a.pixels, float(np.hypot(found[0, 0], found[1, 0]))
    if scale > 1:  # warp the finer image onto the coarser one
        found, scale, under, over = np.asarray(cv2.invertAffineTransform(found), np.float64), 1 / scale, over, under
    if scale < _SCALES[0]:
        return 0.0, inliers
    height, width = under.shape[:2]
    fine = cv2.GaussianBlur(over, (0, 0), 0.4 / scale) if scale < _SCALES[1] else over
    moved = np.asarray(cv2.warpAffine(fine, found, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    full = np.full(over.shape[:2], 255, np.uint8)
    mask = np.asarray(cv2.warpAffine(full, found, (width, height), flags=cv2.INTER_NEAREST), np.uint8)
    if (mask > 0).sum() < _OVERLAP * min(over.shape[0] * over.shape[1] * scale**2, width * height):
        return 0.0, inliers
    left, top, columns, rows = cv2.boundingRect(mask)
    part = slice(top, top + rows), slice(left, left + columns)
    inside = _square(mask[part]).reshape(_CELLS, _BLOCK, _CELLS, _BLOCK).min(axis=(1, 3)).ravel() == 255
    return _agreement(_blocks(under[part]), _blocks(moved[part]), inside), inliers
