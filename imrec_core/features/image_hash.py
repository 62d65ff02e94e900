"""Conversion between stored hashes and `ImageHash` and `ImageMultiHash` objects of the imagehash library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features.crop_resistant import MAX_SEGMENTS, crop_resistant_hash, pad
from imrec_core.features.feature import Feature

if TYPE_CHECKING:
    from imagehash import ImageHash, ImageMultiHash

SHAPES = {"ahash": (8, 8), "dhash": (8, 8), "phash": (8, 8), "whash": (8, 8), "colorhash": (14, 3)}
"""Shape of the bits in imagehash, by feature."""


@runtime_checkable
class HashObject(Protocol):
    """An `ImageHash` of the imagehash library, which need not be imported to know one.

    Attributes:
        hash: Its bits, a matrix.
    """

    hash: NDArray[np.bool_]


@runtime_checkable
class MultiHashObject(Protocol):
    """An `ImageMultiHash` of the imagehash library.

    Attributes:
        segment_hashes: Its hashes.
    """

    segment_hashes: Sequence[HashObject]


def pack_image_hash(image_hash: HashObject | MultiHashObject, feature: Feature) -> NDArray[np.uint64]:
    """Pack an `ImageHash`, or an `ImageMultiHash` for `crop_resistant_hash`, as the vector `(width,)` of a feature.

    Raises:
        QueryError: The feature is not one of imagehash, or its hashes have another shape or number.
    """
    is_multiple = isinstance(image_hash, MultiHashObject)
    if is_multiple != feature.is_variable:
        kinds = ("an ImageMultiHash", "an ImageHash")
        found, wanted = kinds if is_multiple else kinds[::-1]
        raise QueryError(f"{found} was given for {feature.name}; expected {wanted}")
    if isinstance(image_hash, MultiHashObject):
        words = [_pack(each, feature, (8, 8)) for each in image_hash.segment_hashes]
        return check_and_pad(np.concatenate([np.empty(0, np.uint64), *words]))
    return _pack(image_hash, feature, _shape(feature))


def check_and_pad(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the vector of `crop_resistant_hash` from the hashes of the segments.

    Raises:
        QueryError: There is no hash, or there are more than an image may have.
    """
    if not 1 <= len(hashes) <= MAX_SEGMENTS:
        raise QueryError(f"{len(hashes)} hashes of segments were given; expected 1 to {MAX_SEGMENTS}")
    return pad(hashes)


def _pack(image_hash: HashObject, feature: Feature, expected: tuple[int, int]) -> NDArray[np.uint64]:
    bits = np.asarray(image_hash.hash, np.bool_)
    if bits.shape != expected:
        found, wanted = ("×".join(map(str, shape)) for shape in (bits.shape, expected))
        raise QueryError(f"the ImageHash has {found} bits; {feature.name} has {wanted}, the default of imagehash")
    word = np.zeros(64, np.bool_)
    word[-bits.size :] = bits.ravel()
    return np.packbits(word).view(">u8").astype(np.uint64)


def unpack_image_hash(vector: NDArray[np.uint64], feature: Feature) -> ImageHash | ImageMultiHash:
    """Return the vector of a feature as an `ImageHash`, or an `ImageMultiHash` for `crop_resistant_hash`.

    Args:
        vector: `(1,)`, or the hashes of the segments.

    Raises:
        QueryError: The feature is not one of imagehash.
    """
    from imagehash import ImageMultiHash

    if feature.is_variable:
        return ImageMultiHash([_unpack(word[None], (8, 8)) for word in vector])
    return _unpack(vector, _shape(feature))


def _unpack(vector: NDArray[np.uint64], shape: tuple[int, int]) -> ImageHash:
    from imagehash import ImageHash

    bits = np.unpackbits(vector.astype(">u8").view(np.uint8)).astype(np.bool_)
    return ImageHash(bits[-math.prod(shape) :].reshape(shape))


def _shape(feature: Feature) -> tuple[int, int]:
    if feature.name not in SHAPES:
        known = ", ".join([*SHAPES, crop_resistant_hash.name])
        raise QueryError(f"{feature.name} is not a hash of imagehash; choose one of: {known}")
    return SHAPES[feature.name]
