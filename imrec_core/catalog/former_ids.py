r"""Ids that images had under a former name of their source, and paths in user files with such a name.

An id is a hash of the name of the source and of the path. So the former id of an image follows from its path.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.catalog.ids import image_id
from imrec_core.catalog.path_lookup import NOT_FOUND, find_rows
from imrec_core.errors import LakeError
from imrec_core.lake.storage.files import AnyPath

_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")
_MAX_ESCAPES = 12  # in a path of which only some are literal text; 4,096 combinations


def raw_path(source: str, path: str, identity: str) -> str:
    r"""Return the path of a file as the `os` module has it, from the stored form, which escapes bytes as `\xff`.

    Args:
        identity: Id of the image, which tells escaped bytes from a name with a literal backslash.

    Raises:
        LakeError: The id is not that of this source and path.
    """
    for candidate in _raw_candidates(path):
        if image_id(source, candidate) == identity:
            return candidate
    raise LakeError(f"image {identity} of source {source!r} has another path than {path!r}; run: imrec build")


def _raw_candidates(path: str) -> Iterator[str]:
    """Yield the path as it is, with all escapes as bytes, and with some of them."""
    yield path
    parts = _ESCAPED.split(path)
    escapes = _ESCAPED.findall(path)
    if not escapes:
        return
    as_bytes = [os.fsdecode(bytes([int(escape[2:], 16)])) for escape in escapes]
    yield _join(parts, as_bytes)
    if len(escapes) <= _MAX_ESCAPES:
        for some in itertools.product(*zip(escapes, as_bytes, strict=True)):
            yield _join(parts, some)


def _join(parts: list[str], between: list[str] | tuple[str, ...]) -> str:
    return "".join(itertools.chain.from_iterable(itertools.zip_longest(parts, between, fillvalue="")))


def renamed_ids(images: pa.Table, source: str, new: str) -> pa.Array:
    """Return the ids that the images of a source have under a new name `(n,)`.

    Args:
        images: Table with the columns `image_id` and `path`, of images of the source.

    Raises:
        LakeError: An id is not that of its path.
    """
    columns = images.select(["image_id", "path"]).to_pydict()
    raw = (raw_path(source, path, identity) for identity, path in zip(*columns.values(), strict=True))
    return pa.array([image_id(new, path) for path in raw], pa.string())


def former_ids(images: pa.Table, former: Mapping[str, str]) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return all former ids of some images, and the position of each in the table.

    Args:
        images: Table with the columns `image_id`, `source` and `path`.
        former: Name of each source by its former name.
    """
    ids, positions = [pa.array([], pa.string())], [np.empty(0, np.int64)]
    for old, new in former.items():
        at = np.flatnonzero(pc.equal(images["source"], new).to_numpy(zero_copy_only=False))
        ids.append(renamed_ids(images.take(at), new, old))
        positions.append(at)
    return pa.concat_arrays(ids), np.concatenate(positions)


def find_former_rows(
    paths: pa.Array, images: pa.Table, sources: Mapping[str, AnyPath], former: Mapping[str, str]
) -> NDArray[np.int64]:
    """Find the image of each path as `path_lookup.find_rows` does; `SOURCE/path` may have a former name."""
    rows = find_rows(paths, images, sources)
    for old, new in former.items():
        missing = np.flatnonzero((rows == NOT_FOUND) & pc.starts_with(paths, f"{old}/").to_numpy(zero_copy_only=False))
        if len(missing):
            renamed = pc.replace_substring_regex(paths.take(missing), f"^{re.escape(old)}/", f"{new}/")
            rows = rows.copy()
            rows[missing] = find_rows(renamed, images, sources)
    return rows
