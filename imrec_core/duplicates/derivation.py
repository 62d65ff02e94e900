"""Which of two matching images the other one was made from, where their pixels tell.

A screenshot, a letterboxed copy or a frame contains the other image with something around it. An enlargement has more
pixels, but no more detail. A file that was compressed again has larger quantisation steps, or traces of the other's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.alignment import align
from imrec_core.duplicates.block_agreement import Floats
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.keypoint_alignment import Transform, inverse, scale_of
from imrec_core.errors import ImageError
from imrec_core.images.decode import decode
from imrec_core.images.header import read_header
from imrec_core.images.jpeg_quantization import decode_luma, has_traces, luma_table
from imrec_core.images.jpeg_segments import JPEG_START
from imrec_core.images.rgb import Pixels

FRAMED, ENLARGED, COMPRESSED, CONVERTED = "framed", "enlarged", "compressed", "converted"
CHANGES = {
    FRAMED: "has something around it",
    ENLARGED: "is enlarged without more detail",
    COMPRESSED: "is compressed once more",
    CONVERTED: "is converted from it",
}
"""What was done to the original, as a predicate of the other file."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels."""

_MAX_PIXELS = 50_000_000  # of an image that is decoded at full size
_WINDOW = 768  # pixels of the part in the middle that is compared at full size

_LARGER = 1.1  # ratio of the sides of an enlargement
_NEW_DETAIL = 0.3  # residual of an enlargement of the smaller image, in units of the finest detail of that image
_NEW_DETAIL_FRAMED = 0.5  # the same where a border was found, and the images are aligned by keypoints
_LEAST_DETAIL = 1.0  # levels
_DROP = 0.35  # that ratio must be this much smaller than the ratio of detail from octave to octave in the smaller image
# An original that is out of focus has no more detail than a copy of half its size, but then the copy has little either.

_COARSER = 1.5  # ratio of the mean quantisation steps from which the pixels were compressed more
_SAME_LEVELS = 12.0  # root mean square difference up to which compression explains it

_LEAST_MARGIN = 0.01  # of the longer side of the containing image
_TURN = 0.03  # rotation in radians, from which no border is looked for
_STEP = 3  # pixels
_BREAK, _SMOOTH_BREAK = 3.0, 0.8  # difference across the edge, relative to that of two lines of the image beside it
_SMOOTH, _LEAST_ROUGHNESS = 0.25, 4.0  # roughness of a smooth border relative to that of the image, in levels
_FINER = 0.9  # pixels of the contained image per pixel of the other one, along a side, from which it has all detail
# `python -m tests.benchmarks originals` counts right and wrong answers for all of these.


@dataclass(frozen=True)
class Derivation:
    """One of two images was made from the other one.

    Attributes:
        original: 0 if the first one is the original, 1 for the second one.
        change: Key of `CHANGES`.
    """

    original: int
    change: str


def derive_whole(a: BlockInput, b: BlockInput) -> Derivation | None:
    """Find the original of two images that show the same, as far as their files can still be read."""
    try:
        ratio = b.width / a.width
        if max(a.width * a.height, b.width * b.height) > _MAX_PIXELS:
            return None
        if (a.width, a.height) == (b.width, b.height):
            return _derive_compressed(a.read_bytes(), b.read_bytes())
        small, large, original = (a, b, 0) if ratio > 1 else (b, a, 1)
        if max(ratio, 1 / ratio) < _LARGER or _adds_detail(_full(small), _full(large), is_framed=False):
            return None
    except (ImageError, OSError, IndexError):  # IndexError: the content has been dropped
        return None
    return Derivation(original, ENLARGED)


def derive_same_pixels(a: BlockInput, b: BlockInput) -> Derivation | None:
    """Find the original of two files with equal pixels: the one whose format loses some, and would have lost them."""
    try:
        lossy = [_is_lossy(image.read_bytes()) for image in (a, b)]
    except (OSError, IndexError):
        return None
    return None if lossy[0] == lossy[1] else Derivation(lossy.index(True), CONVERTED)


def derive_contained(a: BlockInput, b: BlockInput, transform: Transform) -> Derivation | None:
    """Find the original of two images of which one contains the other.

    A crop has no border in the image around it: it gives no answer.

    Args:
        transform: From `pixels` of the second image to those of the first.
    """
    for outer, inner, moved, original in ((a, b, transform, 1), (b, a, inverse(transform), 0)):
        box = _box(inner, moved)
        if box is None or not _has_border(outer.pixels, box):
            continue
        finer = inner.width / inner.pixels.shape[1] / scale_of(moved) / (outer.width / outer.pixels.shape[1])
        try:
            if finer >= _FINER or not _adds_detail(_full(inner), _cut(_full(outer), box, outer), is_framed=True):
                return Derivation(original, FRAMED)
        except (ImageError, OSError, IndexError):
            return None
    return None


def _full(image: BlockInput) -> Pixels:
    """Decode an image at full size.

    Raises:
        ImageError, OSError: It is too large, or cannot be read any more.
    """
    pixels = decode(image.read_bytes(), max_pixels=min(image.max_pixels, _MAX_PIXELS), allow_truncated=True).pixels
    return np.asarray(pixels[..., :3], np.uint8)


def _cut(pixels: Pixels, box: Box, image: BlockInput) -> Pixels:
    """Cut the box, in `pixels` of an image, out of the image at full size."""
    left, top, right, bottom = (round(edge * image.width / image.pixels.shape[1]) for edge in box)
    return pixels[max(top, 0) : bottom, max(left, 0) : right]


# -- borders ------------------------------------------------------------------------------------------------


def _box(inner: BlockInput, transform: Transform) -> Box | None:
    """Return the edges of an image that is moved into another one; None if it is rotated."""
    if abs(float(np.arctan2(transform[1, 0], transform[0, 0]))) > _TURN:
        return None
    height, width = inner.pixels.shape[:2]
    corners = np.array([[0, 0, 1], [width - 1, height - 1, 1]]) @ transform.T
    left, top, right, bottom = map(float, corners.ravel())
    return left, top, right, bottom


def _has_border(outer: Pixels, box: Box) -> bool:
    """Test whether an image has a border around a box, and the box does not go beyond the image."""
    height, width = outer.shape[:2]
    left, top, right, bottom = box
    least = max(_LEAST_MARGIN * max(width, height), 2 * _STEP)
    margins = left, top, width - 1 - right, height - 1 - bottom
    if min(margins) < -least or max(margins) < least:
        return False
    part = slice(max(round(top), 0), round(bottom) + 1), slice(max(round(left), 0), round(right) + 1)
    # Each side is turned to the top: rows above `edge` are outside.
    turned = (
        (outer[:, part[1]], margins[1]),
        (outer[::-1, part[1]], margins[3]),
        (outer[part[0]].transpose(1, 0, 2), margins[0]),
        (outer[part[0]].transpose(1, 0, 2)[::-1], margins[2]),
    )
    lines = [_lines(side, round(margin)) for side, margin in turned if margin >= least]
    outside, inside, deeper = (np.concatenate(some) for some in zip(*lines, strict=True))
    across, beside = _root_mean_square(inside - outside), _root_mean_square(inside - deeper)
    rough_outside, rough_inside = (
        _root_mean_square(np.concatenate([np.diff(line[i], axis=0) for line in lines])) for i in (0, 1)
    )
    is_smooth = rough_inside > _LEAST_ROUGHNESS and rough_outside < _SMOOTH * rough_inside
    return across > (_SMOOTH_BREAK if is_smooth else _BREAK) * (beside + 1)


def _lines(pixels: Pixels, edge: int) -> list[Floats]:
    """Return a row above an edge, and two rows below it."""
    return [pixels[min(edge + offset, len(pixels) - 1)].astype(np.float32) for offset in (-_STEP, _STEP, 3 * _STEP)]


# -- enlargement --------------------------------------------------------------------------------------------


def _adds_detail(small: Pixels, large: Pixels, *, is_framed: bool) -> bool:
    """Test whether an image has detail that an enlargement of another one lacks; both show the same area.

    True also where there is too little detail to tell.
    """
    import cv2

    seen = _grey(_middle(large))
    finest, coarser = _detail(_grey(_middle(small, _WINDOW * len(small) / len(large))))
    if finest < _LEAST_DETAIL:
        return True
    found = []
    for kind in (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        expected = _grey(_middle(_resized(small, large.shape[1], large.shape[0], kind)))
        found.append(_residual(seen, expected))
    smooth = _resized(small, large.shape[1], large.shape[0], cv2.INTER_CUBIC)
    aligned = align(_middle(large), _middle(smooth))
    if aligned is not None:
        found.append(_residual(*map(_grey, aligned)))
    least = _NEW_DETAIL_FRAMED if is_framed else min(_NEW_DETAIL, _DROP * finest / coarser)
    return min(found) >= least * finest


def _detail(grey: Floats) -> tuple[float, float]:
    """Return the root mean square of what is lost when an image is shrunk to half its size, and to half of that."""
    import cv2

    lost = []
    for _ in range(2):
        height, width = grey.shape
        size = max(width // 2, 1), max(height // 2, 1)
        half = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
        back = np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        lost.append(_residual(grey, back))
        grey = half
    return lost[0], max(lost[1], _LEAST_DETAIL)


def _residual(a: Floats, b: Floats) -> float:
    """Return the root mean square difference of two images up to gain and offset, without their edges."""
    edge = 4 if min(a.shape) > 16 else 0
    x, y = (image[edge : image.shape[0] - edge, edge : image.shape[1] - edge].ravel() for image in (b, a))
    x, y = x - x.mean(), y - y.mean()
    gain = float(x @ y) / max(float(x @ x), 1e-6)
    return _root_mean_square(y - gain * x)


def _resized(pixels: Pixels, width: int, height: int, kind: int) -> Pixels:
    import cv2

    if kind == cv2.INTER_NEAREST:  # OpenCV takes the pixel at the corner, other programs the one at the centre
        sides = zip((height, width), pixels.shape[:2], strict=True)
        rows, columns = (((np.arange(large) + 0.5) * small / large).astype(int) for large, small in sides)
        return np.asarray(pixels[rows][:, columns], np.uint8)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)


def _middle(pixels: Pixels, size: float = _WINDOW) -> Pixels:
    top, left = (max(side - round(size), 0) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + round(size), left : left + round(size)])


def _grey(pixels: Pixels) -> Floats:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), np.float32)


# -- compression --------------------------------------------------------------------------------------------


def _derive_compressed(first: bytes, second: bytes) -> Derivation | None:
    """Find the original of two files of one size, at least one of them JPEG."""
    tables = [luma_table(data) for data in (first, second)]
    steps = [0.0 if table is None else float(table.mean()) for table in tables]
    finer, coarser = (0, 1) if steps[0] <= steps[1] else (1, 0)
    table = tables[coarser]
    if table is None:
        return None
    luma = [_luma(data) for data in (first, second)]
    if luma[0].shape != luma[1].shape or _root_mean_square(luma[0].astype(np.float32) - luma[1]) > _SAME_LEVELS:
        return None
    has = has_traces(luma[finer], table, tables[finer])
    if has:
        return Derivation(coarser, COMPRESSED if tables[finer] is not None else CONVERTED)
    is_lossless = tables[finer] is None and not _is_lossy((first, second)[finer])
    is_clear = is_lossless or (tables[finer] is not None and steps[coarser] >= _COARSER * steps[finer])
    # Copies that were converted to other profiles were stored once each: their tables do not tell.
    is_clear &= len({read_header(data).color_profile for data in (first, second)}) == 1
    return Derivation(finer, COMPRESSED) if has is False and is_clear else None


def _luma(data: bytes) -> NDArray[np.uint8]:
    """Decode to luma, of JPEG as stored: neither rotated nor converted to sRGB."""
    if luma_table(data) is not None:
        return decode_luma(data)
    return np.asarray(_grey(decode(data, max_pixels=_MAX_PIXELS).pixels[..., :3]), np.uint8)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float32))))


def _is_lossy(data: bytes) -> bool:
    """Test for JPEG, WebP with loss, HEIC and AVIF."""
    return data.startswith(JPEG_START) or data[8:16] == b"WEBPVP8 " or data[4:8] == b"ftyp"
