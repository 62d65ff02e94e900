"""Agreement of two aligned images, block by block: structure, brightness and colour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imrec_core.images.rgb import Pixels

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_SIDE, _CELLS = 256, 8  # pixels and blocks along a side of the square
_BLOCK = _SIDE // _CELLS  # pixels along a side of a block
_BLUR = 2.0  # pixels of the square: finer detail is lost in copies of half the size or of JPEG quality 20
_BANDS = (1, 2)  # blocks along one side that may be a caption; along any side, as the image may be rotated
_CORRELATION = 0.8, 0.95  # of whole images, of aligned images; two aligned photos of one place reach 0.92
_TEXTURE = 4.0  # standard deviation in grey levels, below which a block is flat
_LEAST_TEXTURED = 8  # blocks that must agree in structure, not only in colour; with fewer, an image is sparse
_LEAST_BLOCKS = 32
_LUMA, _CHROMA = 16.0, 12.0  # maximum differences of the means of a block, in levels
_GAIN, _OFFSET = 2.0, 64.0  # maximum contrast and brightness change between two copies
_BLOWN = 250.0  # brighter blocks are clipped, and left out of the fit of brightness and contrast
_AS_BRIGHT = 0.6  # minimum share of blocks of equal brightness, to compare their structure


class BlockAgreement(NamedTuple):
    """Agreement of two images by blocks.

    Attributes:
        share: Share of the blocks that agree, 0 to 1.
        is_sparse: Whether too few blocks have texture; the others agree in colour only, which is no evidence.
        gain, offset: Contrast and brightness: the luma of the second image is that of the first · gain + offset.
    """

    share: float
    is_sparse: bool = False
    gain: float = 1.0
    offset: float = 0.0


NO_AGREEMENT = BlockAgreement(0.0)


def split_blocks(pixels: Pixels) -> Floats:
    """Compute luma and chroma `(3, 64, n)` of the blocks of an image, resized to the square."""
    import cv2

    ycc = cv2.cvtColor(_resize_to_square(pixels), cv2.COLOR_RGB2YCrCb)
    kernel = cv2.getGaussianKernel(2 * round(4 * _BLUR) + 1, _BLUR, cv2.CV_32F)
    smooth = np.asarray(cv2.sepFilter2D(ycc, cv2.CV_32F, kernel, kernel), np.float32)
    cells = smooth.reshape(_CELLS, _BLOCK, _CELLS, _BLOCK, 3).transpose(4, 0, 2, 1, 3)
    return np.ascontiguousarray(cells).reshape(3, _CELLS**2, _BLOCK**2)


def orient_blocks(blocks: Floats, turns: int, *, is_mirrored: bool) -> Floats:
    """Return the blocks of the image mirrored left to right if requested, then rotated by quarter turns to the left."""
    cells = blocks.reshape(3, _CELLS, _CELLS, _BLOCK, _BLOCK)
    if is_mirrored:
        cells = cells[:, :, ::-1, :, ::-1]
    cells = np.rot90(np.rot90(cells, turns, axes=(1, 2)), turns, axes=(3, 4))
    return np.ascontiguousarray(cells).reshape(blocks.shape)


def mean_levels(blocks: Floats) -> Floats:
    """Compute the mean luma of each block `(8, 8)`, centred, of length 1."""
    levels = blocks[0].mean(axis=1).reshape(_CELLS, _CELLS)
    levels = levels - levels.mean()
    return np.asarray(levels / max(float(np.linalg.norm(levels)), 1e-6))


def whole_blocks(mask: Pixels) -> Flags:
    """Flag the blocks `(64,)` in which a mask `(h, w)` is 255 everywhere."""
    cells = _resize_to_square(mask).reshape(_CELLS, _BLOCK, _CELLS, _BLOCK)
    return np.asarray(cells.min(axis=(1, 3)).ravel() == 255)


def block_agreement(a: Floats, b: Floats, inside: Flags | None = None) -> BlockAgreement:
    """Compute the share of the blocks that agree; 0 if there are too few blocks.

    Args:
        a, b: Blocks as returned by `split_blocks`.
        inside: Flags of the blocks to count `(64,)`; None counts all, and ignores a caption along one side.
    """
    means_a, means_b = a.mean(axis=2), b.mean(axis=2)
    counted = np.ones(_CELLS**2, np.bool_) if inside is None else inside
    if counted.sum() < _LEAST_BLOCKS:
        return NO_AGREEMENT
    gain, offset = _fit_gain_and_offset(means_a[0, counted], means_b[0, counted])
    is_swapped = gain < 1
    if is_swapped:  # the image of higher contrast is the clipped one
        gain, offset = _fit_gain_and_offset(means_b[0, counted], means_a[0, counted])
        a, b, means_a, means_b = b, a, means_b, means_a
    if gain > _GAIN or abs(offset) > _OFFSET:
        return NO_AGREEMENT
    if (np.abs(means_a[0] * gain + offset - means_b[0])[counted] < 2 * _LUMA * gain).mean() < _AS_BRIGHT:
        return NO_AGREEMENT
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
    levels = (1 / gain, -offset / gain) if is_swapped else (gain, offset)
    if is_textured[counted].sum() < _LEAST_TEXTURED:
        return BlockAgreement(float(agrees[counted].mean()), True, *levels)
    parts = _block_sets(counted, is_whole=inside is None)
    return BlockAgreement(max(_share_that_agrees(agrees, is_textured, part) for part in parts), False, *levels)


def _fit_gain_and_offset(a: Floats, b: Floats) -> tuple[float, float]:
    """Fit gain and offset from the levels `a` to `b`, without clipped blocks and the worst quarter."""
    usable = np.maximum(a, b) < _BLOWN
    usable = usable if usable.sum() >= _LEAST_TEXTURED else np.ones(len(a), np.bool_)
    wrong = np.abs(b - a - np.median((b - a)[usable]))
    kept, gain, offset = usable & (wrong <= _at_share(wrong[usable], 0.6)), 1.0, 0.0  # excludes a caption
    for _ in range(4):
        mean_a, mean_b = float(a[kept].mean()), float(b[kept].mean())
        variance = float(((a[kept] - mean_a) ** 2).mean())
        covariance = float(((a[kept] - mean_a) * (b[kept] - mean_b)).mean())
        gain = max(covariance / variance, 1e-3) if variance > _TEXTURE**2 else 1.0
        offset = mean_b - gain * mean_a
        wrong = np.abs(a * gain + offset - b)
        kept = usable & (wrong <= _at_share(wrong[usable], 0.75))
    return gain, offset


def _at_share(values: Floats, share: float) -> float:
    """Return the value below which a share of the values lies, without the overhead of `np.quantile`."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


def _block_sets(counted: Flags, *, is_whole: bool) -> list[Flags]:
    """List the sets of blocks to test: all, and of whole images also all but a band along one side."""
    parts = [counted]
    for width in _BANDS if is_whole else ():
        for band in (slice(None, width), slice(-width, None)):
            for side in ((band, slice(None)), (slice(None), band)):
                part = counted.reshape(_CELLS, _CELLS).copy()
                part[side] = False
                parts.append(part.ravel())
    return parts


def _share_that_agrees(agrees: Flags, is_textured: Flags, part: Flags) -> float:
    """Compute the share of blocks that agree, of all and of the textured ones; return the smaller."""
    textured = is_textured & part
    if (agrees & textured).sum() < _LEAST_TEXTURED:
        return 0.0
    return float(min(agrees[part].mean(), agrees[textured].mean()))


def _resize_to_square(pixels: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
