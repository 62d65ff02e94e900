"""User columns: files of additional columns, joined to the rows of a generation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.catalog.column_files import read
from imrec_core.catalog.former_ids import find_former_rows, former_ids
from imrec_core.catalog.path_lookup import AMBIGUOUS, NOT_FOUND
from imrec_core.catalog.scan import scan_source
from imrec_core.errors import BadColumns, BadSource
from imrec_core.lake import schemas, tags
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

_VERSION = 2  # increment it when equal files give different columns
_SHOWN = 5


@dataclass(frozen=True)
class Joined:
    """Result of joining one file.

    Attributes:
        file: Path of the file.
        columns: Names of the joined columns.
        images: Number of images with a row in the file.
        unmatched: Number of rows of the file that match no image.
        first: Keys of the first five of these rows.
    """

    file: str
    columns: Sequence[str]
    images: int
    unmatched: int = 0
    first: Sequence[str] = ()

    def summary(self) -> str:
        """Format the result as text."""
        text = f"{', '.join(self.columns)} of {self.images} images from {self.file}"
        if not self.unmatched:
            return text
        which = ", the first five" if self.unmatched > len(self.first) else ""
        return f"{text}; {self.unmatched} of its rows match no image{which}: {', '.join(self.first)}"


def made_from(settings: Settings) -> list[Any]:
    """Collect the inputs for the fingerprint of a generation: digests of the files, and the roots of the sources.

    Returns an empty list without files. An unreadable file has its own digest, None; the build reports the error.
    """
    if not settings.columns:
        return []
    roots = {name: str(root) for name, root in settings.sources.items()}
    return [_VERSION, [_digest(files.place(file)) for file in settings.columns], roots]


def _digest(file: AnyPath) -> str | None:
    try:
        return hashlib.blake2b(files.read_bytes(file)).hexdigest()
    except OSError:
        return None


def check(lake: Lake, settings: Settings) -> None:
    """Require that all files can be joined to the current contents of the sources, which are scanned.

    Raises:
        BadColumns: As for `join`, or a file matches no image.
    """
    places = []
    for name in settings.sources:
        try:
            found = scan_source(settings.source(name), settings, leave_out=lake.root)
            places.append(found.select(schemas.CATALOG.names).to_arrow().cast(schemas.CATALOG))
        except BadSource:  # not available now: use its last catalog
            manifests = [lake.catalog_path(shard) for shard in lake.shards() if source_of(shard) == name]
            places.extend(lake.read_table(path, schemas.CATALOG.names) for path in manifests)
    _, joined = join(pa.concat_tables(places) if places else schemas.empty_table(schemas.CATALOG), settings)
    for of_file in joined:
        if not of_file.images:
            raise BadColumns(
                files.place(of_file.file),
                f"none of its {of_file.unmatched} rows matches an image of the lake: {', '.join(of_file.first)}; "
                "expected paths relative to a source, SOURCE/path, absolute paths, "
                "or an image_id from: imrec sql 'SELECT * FROM rows'",
            )


def join(images: pa.Table, settings: Settings) -> tuple[pa.Table, list[Joined]]:
    """Append the columns of the files to a table of images; null for images without a row in a file.

    A column with the name of one of `schemas.LATER_COLUMNS`, or `tags`, gets the prefix `own_`.

    A file without matching images is no error, because images come and go: the report lists unmatched rows.

    Args:
        images: Table with the columns `image_id`, `source` and `path`.

    Returns:
        The extended table, and a result per file.

    Raises:
        BadColumns: A file cannot be read, has no key, has two different rows for an image, a column name that is
            empty or taken, an unsupported type, or a path that matches several sources.
    """
    taken = {name.lower(): "the rows already have it" for name in schemas.ROWS.names}
    joined = []
    for file in map(files.place, settings.columns):
        key, keys, values = read(file)
        values = values.rename_columns([_free_name(name) for name in values.column_names])
        _refuse_names(file, values.column_names, taken)
        rows = _rows_of(file, key, keys, images, settings)
        unmatched = keys.filter(pa.array(rows == NOT_FOUND))
        at, place = _drop_repeats(file, keys, values, rows)
        file_rows = np.full(len(images), -1)
        file_rows[at] = place
        for name, column in _align(values, file_rows).items():
            images = images.append_column(name, column)
        first = unmatched.slice(0, _SHOWN).to_pylist()
        joined.append(Joined(str(file), values.column_names, len(at), len(unmatched), first))
    return images, joined


def _free_name(name: str) -> str:
    """Return the name of a column, or another if rows have had a column of that name since 0.1.

    A lake of 0.1 must still build when one of its files has such a column, or one named like that of the tags.
    """
    return f"own_{name}" if name.lower() in (*schemas.LATER_COLUMNS, tags.COLUMN) else name


def _refuse_names(file: AnyPath, names: Sequence[str], taken: dict[str, str]) -> None:
    """Refuse names that are empty or in `taken`, and add the others to it; case-insensitive, like SQL."""
    if not names:
        raise BadColumns(file, "has no column besides the key; add one to join")
    for name in names:
        if not name.strip():
            raise BadColumns(file, f"has a column without a name among {names}; name or remove it")
        if name.lower() in taken:
            raise BadColumns(file, f"column {name!r} cannot be joined: {taken[name.lower()]}; rename it")
        taken[name.lower()] = f"{file} already has it"


def _rows_of(file: AnyPath, key: str, keys: pa.Array, images: pa.Table, settings: Settings) -> NDArray[np.int64]:
    """Find the image of each row of the file; `NOT_FOUND` for rows that match none."""
    if key == "image_id":
        rows = _find_ids(pc.utf8_lower(keys), images, settings)
    else:
        rows = find_former_rows(keys, images, settings.sources, settings.former_names)
    several = np.flatnonzero(rows == AMBIGUOUS)
    if len(several):
        path = keys[int(several[0])]
        raise BadColumns(
            file, f"{path} is in several sources ({len(several)} such rows); write it as SOURCE/{path}, or absolute"
        )
    return rows


def _find_ids(keys: pa.Array, images: pa.Table, settings: Settings) -> NDArray[np.int64]:
    """Find the image of each id, which may be one that it had under a former name of its source."""
    found = pc.index_in(keys, value_set=images["image_id"])
    rows = np.array(pc.fill_null(found, NOT_FOUND), np.int64)
    missing = np.flatnonzero(rows == NOT_FOUND)
    if len(missing) and settings.former_names:
        ids, positions = former_ids(images, settings.former_names)
        again = pc.index_in(keys.take(missing), value_set=ids)
        is_found = again.is_valid().to_numpy(zero_copy_only=False)
        rows[missing[is_found]] = positions[again.drop_null().to_numpy()]
    return rows


def _drop_repeats(
    file: AnyPath, keys: pa.Array, values: pa.Table, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the matched images, ascending, and the file's first row for each; repeats must be equal."""
    matched = np.flatnonzero(rows >= 0)
    at, first, nth = np.unique(rows[matched], return_index=True, return_inverse=True)
    is_repeat = matched[first[nth]] != matched
    if is_repeat.any():
        repeats, originals = matched[is_repeat], matched[first[nth]][is_repeat]
        _refuse_difference(file, keys, values, originals, repeats)
    return at, matched[first]


def _refuse_difference(
    file: AnyPath, keys: pa.Array, values: pa.Table, originals: NDArray[np.int64], repeats: NDArray[np.int64]
) -> None:
    a, b = values.take(originals), values.take(repeats)
    if a.equals(b):
        return
    for name in values.column_names:
        for i, (one, other) in enumerate(zip(a[name].to_pylist(), b[name].to_pylist(), strict=True)):
            if repr(one) != repr(other):  # by repr, so that NaN equals NaN
                rows = f"rows {originals[i] + 1} and {repeats[i] + 1}"
                difference = f"{name!r} is {one!r} and {other!r}"
                raise BadColumns(file, f"{keys[int(repeats[i])]} occurs twice ({rows}), {difference}; keep one")


def _align(values: pa.Table, rows: NDArray[np.int64]) -> dict[str, pa.ChunkedArray]:
    """Take the values at some rows, null for -1."""
    indices = pa.array(rows, mask=rows < 0)
    return {name: values[name].take(indices) for name in values.column_names}
