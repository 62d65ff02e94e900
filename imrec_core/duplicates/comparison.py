"""Comparison of two images by their pixels: the duplicate tier of a pair.

Both images are resized to one square, slightly blurred and cut into 8×8 blocks. A block agrees if its structure
correlates and its colour is equal, up to one brightness and contrast for the whole image. Nearly all blocks must agree.
Then `local_differences.py` compares the images in small windows, at full size where the result is not clear: a pair
with another number, person or caption in one place is a variant. Where few blocks have texture, these windows alone
decide; where no window has detail, the pair is not `near`.

Rotated and mirrored copies are compared in all eight orientations. Cropped copies are first aligned by SIFT keypoints,
then compared by the same blocks: keypoints alone would match two photos of one object.

Of 1066 photos, 1553 pairs are at most 18 bits of phash apart. Of these, two shots of an elephant agree in 0.7 of the
blocks, two of horses in 0.6, all others in at most 0.3. Copies made by `edits.EDITS` agree in nearly all (2026-11).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from imrec_core.duplicates.blank_pages import is_plain, may_have_same_grain
from imrec_core.duplicates.block_agreement import block_agreement, orient_blocks
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.derivation import Derivation, derive_contained, derive_same_pixels, derive_whole
from imrec_core.duplicates.keypoint_alignment import align_by_keypoints
from imrec_core.duplicates.local_differences import LocalDifferences, find_local_differences
from imrec_core.duplicates.pixel_hash import pixel_hash
from imrec_core.errors import ImageError, UnknownName, UnreadableImage
from imrec_core.images.decode import MAX_BYTES, MAX_PIXELS
from imrec_core.images.frames import decode_frames
from imrec_core.lake.storage.files import AnyPath, place, read_bytes

TIERS = ("identical", "same_pixels", "near", "edited", "variant")
"""Tiers from the narrowest to the widest; each includes those before it, but `variant` does not include `edited`."""

_ASPECT = 0.02  # maximum difference of the logarithms of the aspect ratios

_AGREEING = 0.94  # two aligned shots of grazing horses agreed in 0.91 of the blocks, crops in at least 0.97
_COARSE = 0.2  # minimum correlation of the mean levels of the blocks, to compare an orientation

_FAINT, _CLEAR = 0.6, 1.5  # strengths of local differences between which the images are compared at full size
_DETAIL = 4  # minimum number of windows with detail, for a claim about an image with few textured blocks
_FEW_AGREE = 0.5  # share of such windows that agree, below which two images are different
_HARDLY_AGREE = 0.25  # the same, below which full size is not looked at
_BLANK_LEVELS = 1.0  # mean difference of the blocks of two frames without detail that agree
_PLAIN_LEVELS = 64.0  # maximum difference of the mean colours of two plain images that are not called different
_BLOCK_LEVELS = 3.0  # mean difference of the blocks of two images that may have equal pixels

_RANGE = 0.25  # difference of two black or white values, as a share of the range, from which they are other values

_TURNS = ("", "rotated 90° counterclockwise", "rotated 180°", "rotated 90° clockwise")


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two images.

    Attributes:
        tier: Narrowest of `TIERS` that the pair belongs to; None for different images.
        agreement: Share of the blocks that agree, 0 to 1.
        how: Explanation, for display.
        derivation: Which of the two was made from the other; None if their pixels do not tell.
    """

    tier: str | None
    agreement: float
    how: str
    derivation: Derivation | None = None

    def holds(self, tier: str) -> bool:
        """Test whether the pair belongs to a tier, or to a narrower one; an edited copy is no variant."""
        if self.tier is None or self.tier == tier:
            return self.tier is not None
        return TIERS.index(self.tier) < min(TIERS.index(tier), TIERS.index("edited"))


IDENTICAL = Comparison("identical", 1.0, "the same bytes")
SAME_PIXELS = Comparison("same_pixels", 1.0, "the same pixels")
DIFFERENT = Comparison(None, 0.0, "different images")
NO_DETAIL = Comparison(None, 0.0, "too little detail to compare")


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
    require_tier(tier)
    first, second = (_read(place(path)) for path in (a, b))
    if first == second:
        return IDENTICAL
    one, other = (_decode(path, data, max_pixels) for path, data in ((a, first), (b, second)))
    if tier == "identical":
        return DIFFERENT
    found = compare_contents(one, other, tier, lambda image: pixel_hash(image.read_bytes(), max_pixels))
    return found if found.holds(tier) else Comparison(None, found.agreement, _why_different(found))


def compare_contents(
    a: BlockInput,
    b: BlockInput,
    tier: str,
    hash_of: Callable[[BlockInput], bytes | None],
    *,
    may_be_aligned: bool = True,
) -> Comparison:
    """Compare two files of different bytes: the pixels of all frames, then the first frame, then the others.

    Args:
        hash_of: Returns the `pixel_hash` of a file.
        may_be_aligned: See `compare`.
    """
    if a.frames != b.frames:
        return Comparison(None, 0.0, f"a different number of frames: {a.frames} and {b.frames}")
    found = compare(a, b, tier=tier, may_be_aligned=may_be_aligned)
    if may_be_same_pixels(a, b, found):
        first, second = hash_of(a), hash_of(b)
        if first is not None and first == second:
            return replace(SAME_PIXELS, derivation=derive_same_pixels(a, b))
    if a.frames > 1 and found.tier is not None and not _are_frames_near(a, b):
        return Comparison(None, found.agreement, "a later frame differs")
    return replace(found, derivation=derive_whole(a, b)) if found.tier == "near" else found


def compare(a: BlockInput, b: BlockInput, *, tier: str = "edited", may_be_aligned: bool = True) -> Comparison:
    """Compare two images of different bytes for the tiers `near` and `variant` and, if requested, `edited`; symmetric.

    A variant is returned whatever the tier: `Comparison.holds` tests for the tier that is asked for. Images with grey
    of more than 8 bits are variants at most if their values have clearly other ranges, whatever their grey levels.

    Args:
        may_be_aligned: Whether keypoints are compared, which takes most of the time of the tier `edited`.
    """
    found = _compare_whole(a, b) if _is_same_shape(a, b) else DIFFERENT
    if found.agreement < _AGREEING and tier == "edited":
        found = _compare_oriented(a, b) or (_compare_aligned(a, b) if may_be_aligned else None) or found
    if found.tier is None or not _differ_in_range(a, b):
        return found
    ranges = " and ".join("{:g} to {:g}".format(*of) for of in sorted(filter(None, (a.value_range, b.value_range))))
    return Comparison("variant", found.agreement, f"the same image with other values: {ranges}")


def _differ_in_range(a: BlockInput, b: BlockInput) -> bool:
    """Test whether two images hold other measurements, such as elevations, though they look the same as grey levels.

    Copies that are resized may have slightly other extremes.
    """
    if a.value_range is None or b.value_range is None:
        return False
    (low, high), (other_low, other_high) = a.value_range, b.value_range
    slack = _RANGE * max(high - low, other_high - other_low)
    return abs(low - other_low) > slack or abs(high - other_high) > slack


def may_be_same_pixels(a: BlockInput, b: BlockInput, found: Comparison) -> bool:
    """Test whether two images can have the same pixels, before decoding both at full size.

    Plain images and images with little detail can, though they are not `near`.
    """
    if (a.width, a.height) != (b.width, b.height):
        return False
    if found.tier == "near":
        return True
    return may_have_same_grain(a.pixels, b.pixels) and float(np.abs(a.blocks - b.blocks).mean()) <= _BLOCK_LEVELS


def require_tier(tier: str) -> str:
    """Require a known tier.

    Raises:
        UnknownName: There is no such tier.
    """
    if tier not in TIERS:
        raise UnknownName("tier", tier, TIERS)
    return tier


def _read(path: AnyPath) -> bytes:
    try:
        return read_bytes(path, at_most=MAX_BYTES)
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL character in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error


def _decode(path: str | os.PathLike[str], data: bytes, max_pixels: int) -> BlockInput:
    try:
        return BlockInput.of_source(lambda: data, max_pixels=max_pixels)
    except ImageError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def _are_frames_near(a: BlockInput, b: BlockInput) -> bool:
    """Compare files with as many frames, frame by frame; false if a frame cannot be read, or there are too many."""
    try:
        frames = (decode_frames(f.read_bytes(), max_pixels=f.max_pixels, min_side=f.min_side) for f in (a, b))
        return all(
            _is_frame_near(BlockInput.of_pixels(x), BlockInput.of_pixels(y)) for x, y in zip(*frames, strict=True)
        )
    except (
        ImageError,
        OSError,
        IndexError,
        ValueError,
    ):  # IndexError: the content was dropped; ValueError: other counts
        return False


def _is_frame_near(a: BlockInput, b: BlockInput) -> bool:
    """Compare two frames; of blank ones, such as empty pages, the levels must agree."""
    found = compare(a, b, tier="near")
    is_blank = found == NO_DETAIL and float(np.abs(a.blocks - b.blocks).mean()) <= _BLANK_LEVELS
    return found.holds("near") or is_blank


def _is_same_shape(a: BlockInput, b: BlockInput, turns: int = 0) -> bool:
    width, height = (b.height, b.width) if turns % 2 else (b.width, b.height)
    slack = _ASPECT + 1 / min(a.width, a.height, width, height)
    return abs(math.log(a.width * height / (a.height * width))) <= slack


def _compare_whole(a: BlockInput, b: BlockInput) -> Comparison:
    """Compare two images of one shape for the tiers `near` and `variant`."""
    if is_plain(a.pixels) and is_plain(b.pixels):
        return DIFFERENT if _differ_in_colour(a, b) else NO_DETAIL
    blocks = block_agreement(a.blocks, b.blocks)
    agreement, is_sparse = blocks.share, blocks.is_sparse
    if agreement < _AGREEING:
        return Comparison(None, agreement, DIFFERENT.how)
    found = _compare_windows(a, b, blocks.gain, blocks.offset, is_sparse=is_sparse)
    if is_sparse and found.losses_of_detail.size < _DETAIL:
        return NO_DETAIL
    is_different = found.fits_at is None or found.contradicts or found.agreeing < _FEW_AGREE
    if is_sparse and is_different:
        return DIFFERENT
    if not found.differs:
        return Comparison("near", agreement, "the same image")
    return Comparison("variant", agreement, _describe(found))


def _differ_in_colour(a: BlockInput, b: BlockInput) -> bool:
    import cv2

    means = (np.array(cv2.mean(image.pixels)) for image in (a, b))
    return float(np.abs(np.subtract(*means)).max()) > _PLAIN_LEVELS


def _describe(found: LocalDifferences) -> str:
    if found.contradicts:
        return f"the same layout with another content in {found.contradiction:.0%} of the detail"
    x, y = (f"{share:.0%}" for share in found.place)
    regions = "one region" if found.count == 1 else f"{found.count} regions"
    return f"the same image except for {regions}, {x} from the left, {y} from the top"


def _compare_windows(a: BlockInput, b: BlockInput, gain: float, offset: float, *, is_sparse: bool) -> LocalDifferences:
    """Compare the pixels at hand and, if differences are neither clear nor ruled out, those at full size.

    Of images with few textured blocks, such as thousands of nearly blank pages, nearly all pairs are clear: they have
    no detail, or hardly any that agrees.
    """
    found = find_local_differences(a.pixels, b.pixels, gain, offset)
    is_clean = found.strength < _FAINT and found.fits_at == 0 and not found.contradicts
    is_apart = is_sparse and (found.losses_of_detail.size == 0 or found.agreeing < _HARDLY_AGREE)
    is_clear = is_clean or is_apart or found.strength >= _CLEAR
    if is_clear or not (a.is_reduced or b.is_reduced):
        return found
    return find_local_differences(a.full_pixels(), b.full_pixels(), gain, offset)


def _why_different(found: Comparison) -> str:
    return found.how if found.tier in (None, "variant") else DIFFERENT.how


def _compare_oriented(a: BlockInput, b: BlockInput) -> Comparison | None:
    for is_mirrored in (False, True):
        for turns in range(4):
            if (turns or is_mirrored) and _is_same_shape(a, b, turns):
                coarse = np.rot90(b.coarse[:, ::-1] if is_mirrored else b.coarse, turns)
                if (a.coarse * coarse).sum() < _COARSE:
                    continue
                blocks = block_agreement(a.blocks, orient_blocks(b.blocks, turns, is_mirrored=is_mirrored))
                if blocks.share >= _AGREEING and not blocks.is_sparse:
                    oriented = b.oriented(turns, is_mirrored=is_mirrored)
                    edits = " and ".join(filter(None, ("mirrored" if is_mirrored else "", _TURNS[turns])))
                    found = find_local_differences(a.pixels, oriented, blocks.gain, blocks.offset)
                    if found.differs:
                        return Comparison("variant", blocks.share, f"{edits}; {_describe(found)}")
                    return Comparison("edited", blocks.share, edits)
    return None


def _compare_aligned(a: BlockInput, b: BlockInput) -> Comparison | None:
    for is_mirrored in (False, True):
        found = align_by_keypoints(a, b, is_mirrored=is_mirrored)
        if found is not None and found.agreement >= _AGREEING:
            edits = "mirrored and cropped" if is_mirrored else "cropped"
            how = f"{edits}, by {found.inliers} matching keypoints"
            derivation = None if is_mirrored else derive_contained(a, b, found.transform)
            return Comparison("edited", found.agreement, how, derivation)
    return None
