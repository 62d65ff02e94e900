"""Are two pictures the same one? The tier of a pair, decided by its pixels and not by hashes or embeddings.

Both pictures are squeezed into one square, blurred a little and cut into 8×8 blocks. A block agrees where its structure
correlates and its colour is the same, up to one brightness and contrast for all of the picture; nearly all blocks must
agree. Turned and mirrored copies are compared so in all eight orientations. Cropped ones are first laid over each other
by their SIFT keypoints and then compared by the same blocks: keypoints alone would pair two photos of one thing.

Of 1066 photos 1553 pairs are 18 bits of phash or less apart: one of them, two shots of an elephant, agrees in 0.7 of
the blocks, one of horses in 0.6, all others in 0.3 and less. Copies by `edits.EDITS` agree in nearly all (2026-11).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imrec_core import keypoints
from imrec_core.decode import MAX_PIXELS, Pixels, decode
from imrec_core.errors import ImageError, UnknownName, UnreadableImage
from imrec_core.keypoints import Keypoints, bounded
from imrec_core.storage import AnyPath, place, read_bytes

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

TIERS = ("identical", "same_pixels", "near", "edited")
"""From the closest to the widest; each takes in those before it."""

_SIDE, _CELLS = 256, 8
_BLOCK = _SIDE // _CELLS
_BLUR = 2.0  # pixels of the square: what is finer is lost in a copy of half the size or of JPEG quality 20
_LONGEST = 512  # pixels that are held of the longer side
_MIN_SIDE = 256
_ASPECT = 0.02  # by which the shapes of two copies may differ

_AGREEING = 0.94  # two shots of grazing horses, laid over each other, agreed in 0.91; crops in 0.97 and more
_BANDS = (1, 2)  # blocks from a side that may be a caption; of a turned picture at any side
_CORRELATION = 0.8, 0.95  # of whole pictures; of one moved onto the other, where two photos of one place reach 0.92
_TEXTURE = 4.0  # grey levels of standard deviation; a block of less is flat
_LEAST_TEXTURED = 8  # blocks that agree in structure, not in colour alone
_LEAST_BLOCKS = 32
_LUMA, _CHROMA = 16.0, 12.0  # levels by which the means of a block may differ
_GAIN, _OFFSET = 2.0, 64.0  # at most, between two copies
_BLOWN = 250.0  # blocks as bright say nothing of brightness and contrast
_COARSE = 0.2  # correlation of the blocks' levels below which an orientation is not looked at
_AS_BRIGHT = 0.6  # share of blocks that are so, below which their structure is not looked at
_PLAIN = 3.0  # levels by which two pictures may differ that show nothing

_OVERLAP = 0.75  # of the smaller picture
_SCALES = 0.05, 0.8  # not compared below the first; smoothed before it is shrunk below the second

_TURNS = ("", "turned 90° against the clock", "turned 180°", "turned 90° with the clock")


@dataclass(frozen=True)
class Comparison:
    """What two pictures have in common.

    Attributes:
        tier: The closest of `TIERS` that they are in; None for different pictures.
        agreement: Share of the blocks that agree, 0 to 1.
        how: In words.
    """

    tier: str | None
    agreement: float
    how: str

    def holds(self, tier: str) -> bool:
        """Whether the pair is in that tier or in a closer one."""
        return self.tier is not None and TIERS.index(self.tier) <= TIERS.index(tier)


IDENTICAL = Comparison("identical", 1.0, "the same bytes")
SAME_PIXELS = Comparison("same_pixels", 1.0, "the same pixels")
DIFFERENT = Comparison(None, 0.0, "different pictures")


def checked_tier(tier: str) -> str:
    """The tier of that name.

    Raises:
        UnknownName: There is none.
    """
    if tier not in TIERS:
        raise UnknownName("tier", tier, TIERS)
    return tier


class Look:
    """One picture as it is compared: bounded in size; what is derived from it is computed once.

    Args:
        pixels: RGB `(h, w, 3)` or with a fourth channel that is not looked at; uint8, upright.
        width, height: Of the file's picture, at full size.
    """

    def __init__(self, pixels: Pixels, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = np.ascontiguousarray(bounded(pixels, _LONGEST)[..., :3])

    @classmethod
    def of(cls, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Look:
        """From the bytes of a file.

        Raises:
            ImageError: They cannot be decoded.
        """
        picture = decode(data, max_pixels=max_pixels, min_side=_MIN_SIDE)
        return cls(picture.pixels, picture.width, picture.height)

    @cached_property
    def blocks(self) -> Floats:
        return _blocks(self.pixels)

    @cached_property
    def coarse(self) -> Floats:
        """The luma of each block `(8, 8)`, less the mean of all, of length 1."""
        levels = self.blocks[0].mean(axis=1).reshape(_CELLS, _CELLS)
        levels = levels - levels.mean()
        return np.asarray(levels / max(float(np.linalg.norm(levels)), 1e-6))

    @cached_property
    def keypoints(self) -> Keypoints:
        return keypoints.find(self.pixels)

    def oriented(self, turns: int, *, is_mirrored: bool) -> Pixels:
        """The picture mirrored left to right, then turned by quarters against the clock."""
        return np.rot90(self.pixels[:, ::-1] if is_mirrored else self.pixels, turns)


def compare_files(
    a: str | os.PathLike[str], b: str | os.PathLike[str], *, tier: str = "edited", max_pixels: int = MAX_PIXELS
) -> Comparison:
    """Which tier two files are in.

    Args:
        tier: The widest that is looked for.
        max_pixels: Pictures of more are refused.

    Raises:
        ImageError: One cannot be read or decoded; the message names it.
        UnknownName: No such tier.
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
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error


def may_be_same_pixels(a: Look, b: Look, found: Comparison) -> bool:
    """Whether it is worth to decode two pictures in full: they are near and of one size."""
    return found.tier == "near" and (a.width, a.height) == (b.width, b.height)


def pixels_of(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """A digest of size and RGB values, all of them; equal just where two pictures are the same pixel by pixel."""
    from hashlib import blake2b

    pixels = decode(data, max_pixels=max_pixels).pixels
    digest = blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels[..., :3]).data)
    return digest.digest()


def compare(a: Look, b: Look, *, tier: str = "edited") -> Comparison:
    """Whether two pictures of different bytes are `near`, or where that is asked for `edited`; symmetric."""
    agreement = _agreement(a.blocks, b.blocks) if _is_of_one_shape(a, b) else 0.0
    if agreement >= _AGREEING:
        return Comparison("near", agreement, "the same picture")
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
                    words = " and ".join(filter(None, ("mirrored" if is_mirrored else "", _TURNS[turns])))
                    return Comparison("edited", agreement, words)
    return None


def _compare_laid_over(a: Look, b: Look) -> Comparison | None:
    for is_mirrored in (False, True):
        agreement, inliers = _laid_over(a, b, is_mirrored=is_mirrored)
        if agreement >= _AGREEING:
            words = "mirrored, a" if is_mirrored else "a"
            return Comparison("edited", agreement, f"{words} part of it or more, by {inliers} keypoints")
    return None


# -- blocks -------------------------------------------------------------------------------------------------


def _square(pixels: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _blocks(pixels: Pixels) -> Floats:
    """Luma and the two colour differences `(3, 64, n)` of the blocks of a picture, squeezed into the square."""
    import cv2

    ycc = cv2.cvtColor(_square(pixels), cv2.COLOR_RGB2YCrCb).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(ycc, (0, 0), _BLUR), np.float32)
    cells = smooth.reshape(_CELLS, _BLOCK, _CELLS, _BLOCK, 3).transpose(4, 0, 2, 1, 3)
    return np.ascontiguousarray(cells).reshape(3, _CELLS**2, _BLOCK**2)


def _agreement(a: Floats, b: Floats, inside: Flags | None = None) -> float:
    """Share of the blocks that agree; 0 where there is too little to go by.

    Args:
        a, b: As from `_blocks`.
        inside: Those that count `(64,)`; without it all do, and a caption along a side is let pass.
    """
    means_a, means_b = a.mean(axis=2), b.mean(axis=2)
    counted = np.ones(_CELLS**2, np.bool_) if inside is None else inside
    if counted.sum() < _LEAST_BLOCKS:
        return 0.0
    gain, offset = _brightness_and_contrast(means_a[0, counted], means_b[0, counted])
    if gain < 1:  # what became brighter is what was clipped
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
    # Where a channel is blown out, the colour fades.
    is_as_coloured = (chroma < _CHROMA * gain) | (means_a[0] * gain + offset > _BLOWN - 40)
    agrees = is_as_bright & is_as_coloured & (~is_textured | (correlation > _CORRELATION[inside is not None]))
    if not is_textured[counted].any():
        return float(np.abs(a - b)[:, counted].max() <= _PLAIN) if inside is None else 0.0
    return max(_share(agrees, is_textured, part) for part in _parts(counted, is_whole=inside is None))


def _parts(counted: Flags, *, is_whole: bool) -> list[Flags]:
    """The blocks that are to agree: all, or all but those of a caption."""
    parts = [counted]
    for width in _BANDS if is_whole else ():
        for band in (slice(None, width), slice(-width, None)):
            for side in ((band, slice(None)), (slice(None), band)):
                part = counted.reshape(_CELLS, _CELLS).copy()
                part[side] = False
                parts.append(part.ravel())
    return parts


def _share(agrees: Flags, is_textured: Flags, part: Flags) -> float:
    """Share of the blocks that agree, of all and of those with structure, whichever is less."""
    textured = is_textured & part
    if (agrees & textured).sum() < _LEAST_TEXTURED:
        return 0.0
    return float(min(agrees[part].mean(), agrees[textured].mean()))


def _brightness_and_contrast(a: Floats, b: Floats) -> tuple[float, float]:
    """Gain and offset that make the levels `a` most like `b`, without the worst quarter and what is blown out."""
    usable = np.maximum(a, b) < _BLOWN
    usable = usable if usable.sum() >= _LEAST_TEXTURED else np.ones(len(a), np.bool_)
    wrong = np.abs(b - a - np.median((b - a)[usable]))
    kept, gain, offset = usable & (wrong <= np.quantile(wrong[usable], 0.6)), 1.0, 0.0  # a caption is not among them
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
    """Agreement where one picture lies over the other when moved, turned and scaled; keypoints that say how."""
    import cv2

    over = np.ascontiguousarray(b.pixels[:, ::-1]) if is_mirrored else b.pixels
    moving = keypoints.mirrored(b.keypoints, over.shape[1]) if is_mirrored else b.keypoints
    match = keypoints.match(moving, a.keypoints)
    found, inliers = match.move, match.count
    if found is None:
        return 0.0, inliers
    under, scale = a.pixels, float(np.hypot(found[0, 0], found[1, 0]))
    if scale > 1:  # the finer onto the coarser
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
