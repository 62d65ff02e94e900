"""Arrow schemas of all tables of a lake, and conversion of vector columns from and to NumPy.

A vector column is `fixed_size_list<float>[dims]`; a 64-bit hash is one `uint64`, so that
`bit_count(xor(a, b))` works in SQL; longer hashes are lists of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import SchemaMismatch

CATALOG = pa.schema(
    [
        ("image_id", pa.string()),  # 16 hex digits: hash of the source's name and the path
        ("source", pa.string()),  # name of the source
        ("path", pa.string()),  # relative to the root of the source, with `/`
        ("byte_size", pa.int64()),  # size of the file
        ("mtime_ns", pa.int64()),  # modification time of the file, in nanoseconds since 1970
    ]
)

MANIFEST = pa.schema(  # what is written now; manifests of 0.1 have the columns of the catalog only
    [
        *CATALOG,
        ("inode", pa.uint64()),  # of the file; null where the disk has none, and in object stores
        ("ctime_ns", pa.int64()),  # when content, name or mode of the file last changed; null as `inode`
        ("reread_ns", pa.int64()),  # last scan that asked to read the file again with the same size and mtime; or null
    ]
)

OF_MANIFEST = frozenset(MANIFEST.names) - frozenset(CATALOG.names)
"""Columns that a manifest of 0.1 lacks."""

IMAGES_VERSION = 5  # increment it when columns are added or values change; older tables become stale
UPGRADABLE_VERSIONS = (3, 4)  # of tables that are upgraded, see extraction.images_upgrade; others are made again
IMAGES = pa.schema(
    [
        ("image_id", pa.string()),  # as in `catalog`
        ("byte_size", pa.int64()),  # as in `catalog` when the image was extracted
        ("mtime_ns", pa.int64()),  # as in `catalog` when the image was extracted
        ("content_hash", pa.string()),  # hash of the bytes of the file; null if it could not be read
        ("format", pa.string()),  # as Pillow names it: JPEG, PNG, …
        ("width", pa.int32()),  # upright, at full size
        ("height", pa.int32()),  # upright, at full size
        ("orientation", pa.int8()),  # EXIF tag; 1 if missing
        ("aspect", pa.float32()),  # width by height
        ("has_alpha", pa.bool_()),  # an alpha channel or a transparent colour
        ("frames", pa.int32()),  # pages, frames of an animation, images of a multi-picture file; the first is read
        ("color_profile", pa.string()),  # description in the ICC profile, `damaged` if it cannot be used; null without
        ("bit_depth", pa.int8()),  # bits per channel in the file
        ("damaged", pa.bool_()),  # part of the file is damaged or missing
        ("camera", pa.string()),  # EXIF maker and model; null if missing
        ("taken", pa.timestamp("us")),  # EXIF, by the clock of the camera, in an unknown time zone
        ("latitude", pa.float64()),  # EXIF or XMP, in degrees; south is negative
        ("longitude", pa.float64()),  # EXIF or XMP, in degrees; west is negative
        ("brightness", pa.float32()),  # mean luma, 0 to 1; see images.properties
        ("contrast", pa.float32()),  # standard deviation of luma, 0 to 0.5
        ("entropy", pa.float32()),  # entropy of luma in bits, 0 to 8
        ("sharpness", pa.float32()),  # variance of the Laplacian of luma, at a shorter side of 128 pixels
        ("is_grey", pa.bool_()),  # no visible colour
        ("status", pa.string()),  # ok or failed
        ("error", pa.string()),  # reason of a failure, beginning with the name of the error class
    ]
)

LATER_COLUMNS = ("frames", "color_profile", "bit_depth", "damaged", "latitude", "longitude")
"""Columns of images that lakes of 0.1 lack, so that files of user columns may have had their names."""

ROWS = pa.schema(
    [
        ("row", pa.int64()),  # number of the row in the generation, from 0
        ("image_id", pa.string()),  # as in `catalog`
        ("source", pa.string()),  # as in `catalog`
        ("path", pa.string()),  # as in `catalog`
        ("shard", pa.string()),  # shard of the image
        *[(field.name, field.type) for field in IMAGES if field.name not in ("image_id", "status", "error")],
        ("removed", pa.bool_()),  # the image was removed or has changed since; never found
    ]
)

MAP = pa.schema(
    [
        ("row", pa.int64()),  # number of the row in the generation
        ("image_id", pa.string()),  # as in `catalog`
        ("content", pa.uint64()),  # first 64 bits of the content hash, to detect changed images
        ("x", pa.float32()),  # horizontal place
        ("y", pa.float32()),  # vertical place
        ("cluster", pa.int32()),  # number of the cluster; -1 outside all clusters
        ("neighbours", pa.list_(pa.int64())),  # the nearest rows by the feature's own metric, nearest first
        ("distances", pa.list_(pa.float32())),  # distances of the neighbours
    ]
)


def empty_table(schema: pa.Schema) -> pa.Table:
    """Make a table without rows. Arrow's `Schema.empty_table` imports pandas if it is installed, which takes 0.2 s."""
    return pa.Table.from_batches([], schema)


def vector_type(dtype: str, width: int | None) -> pa.DataType:
    """Return the Arrow type of a vector of `width` numbers, None if it varies; a single `uint64` is a scalar."""
    item = pa.from_numpy_dtype(np.dtype(dtype))
    return item if dtype == "uint64" and width == 1 else pa.list_(item, -1 if width is None else width)


def feature_schema(dtype: str, width: int | None, columns: Mapping[str, str]) -> pa.Schema:
    """Make the schema of a feature table.

    Args:
        width: Numbers in a vector; None if it varies.
        columns: Dtypes of the columns beside the vector, by name.
    """
    beside = [(name, pa.from_numpy_dtype(np.dtype(kind))) for name, kind in columns.items()]
    return pa.schema([("image_id", pa.string()), ("vector", vector_type(dtype, width)), *beside])


def to_vectors(matrix: NDArray[Any], *, is_variable: bool = False) -> pa.Array:
    """Convert a matrix `(n, width)` to an Arrow column of vectors.

    Args:
        is_variable: Whether each row begins with the number of its values.
    """
    if is_variable:
        counts = matrix[:, 0].astype(np.int64)
        is_used = np.arange(matrix.shape[1] - 1) < counts[:, None]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix[:, 1:][is_used]))
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    width = matrix.shape[1]
    if matrix.dtype == np.uint64 and width == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, width)


def to_matrix(column: pa.ChunkedArray, width: int = 1) -> NDArray[Any]:
    """Convert a column of vectors to a matrix `(n, width)`, without a copy where possible.

    Args:
        width: For vectors of varying length: each row is then the length, the vector, and its first value up to this.

    Raises:
        SchemaMismatch: A vector of varying length does not fit into the width.
    """
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # several empty chunks stay chunked
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_list(array.type):
        return _pad(array, width)
    if not pa.types.is_fixed_size_list(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(-1, 1)
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(-1, array.type.list_size)


def _pad(array: pa.ListArray, width: int) -> NDArray[Any]:
    counts = array.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    if len(counts) and not 1 <= counts.min() <= counts.max() < width:
        raise SchemaMismatch(f"a vector has {counts.min()} to {counts.max()} values; expected 1 to {width - 1}")
    flat = array.flatten().to_numpy(zero_copy_only=False)
    places = np.arange(width - 1)
    starts = np.cumsum(counts) - counts
    matrix = np.empty((len(counts), width), flat.dtype)
    matrix[:, 0] = counts
    matrix[:, 1:] = flat[starts[:, None] + np.where(places < counts[:, None], places, 0)]
    return matrix
