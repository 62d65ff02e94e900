"""Conversion between stored hashes and `ImageHash` objects of the imagehash library."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features.feature import Feature

if TYPE_CHECKING:
    from imagehash import ImageHash

SHAPES = {"ahash": (8, 8), "dhash": (8, 8), "phash": (8, 8), "whash": (8, 8), "colorhash": (14, 3)}
"""Shape of the bits in imagehash, by feature."""


@runtime_checkable
class HashObject(Protocol):
    """An `ImageHash` of the imagehash library, which need not be imported to know one.

    Attributes:
        hash: Its bits, a matrix.
    """

    hash: NDArray[np.bool_]


def pack_image_hash(image_hash: HashObject, feature: Feature) -> NDArray[np.uint64]:
    """Pack an `ImageHash` as the vector `(1,)` of a feature.

    Raises:
        QueryError: The feature is not one of imagehash, or its hashes have another shape.
    """
    expected = _shape(feature)
    bits = np.asarray(image_hash.hash, np.bool_)
    if bits.shape != expected:
        found, wanted = ("×".join(map(str, shape)) for shape in (bits.shape, expected))
        raise QueryError(f"the ImageHash has {found} bits; {feature.name} has {wanted}, the default of imagehash")
    word = np.zeros(64, np.bool_)
    word[-bits.size :] = bits.ravel()
    return np.packbits(word).view(">u8").astype(np.uint64)


def unpack_image_hash(vector: NDArray[np.uint64], feature: Feature) -> ImageHash:
    """Return the vector `(1,)` of a feature as an `ImageHash`.

    Raises:
        QueryError: The feature is not one of imagehash.
    """
    shape = _shape(feature)
    from imagehash import ImageHash

    bits = np.unpackbits(vector.astype(">u8").view(np.uint8)).astype(np.bool_)
    return ImageHash(bits[-math.prod(shape) :].reshape(shape))


def _shape(feature: Feature) -> tuple[int, int]:
    if feature.name not in SHAPES:
        raise QueryError(f"{feature.name} is not a hash of imagehash; choose one of: {', '.join(SHAPES)}")
    return SHAPES[feature.name]
