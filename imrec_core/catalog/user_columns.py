"""A person's own columns, joined to the rows of a generation."""

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
from imrec_core.catalog.path_lookup import AMBIGUOUS, STRANGER, find_rows
from imrec_core.catalog.scan import scan_source
from imrec_core.errors import BadColumns, BadSource
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

_VERSION = 1  # goes up when the same files would give other columns
_SHOWN = 5


@dataclass(frozen=True)
class Joined:
    """What came of one file.

    Attributes:
        file: Where it lies.
        columns: Those that it gave.
        images: Rows of the generation that it says something of.
        unmatched: Its rows that name no image of the generation.
        first: The first five of these names.
    """

    file: str
    columns: Sequence[str]
    images: int
    unmatched: int = 0
    first: Sequence[str] = ()

    def in_words(self) -> str:
        """As a person reads it."""
        said = f"{', '.join(self.columns)} of {self.images} images from {self.file}"
        if not self.unmatched:
            return said
        which = ", the first five" if self.unmatched > len(self.first) else ""
        return f"{said}; {self.unmatched} of its rows name no image that is here{which}: {', '.join(self.first)}"


def made_from(settings: Settings) -> list[Any]:
    """What a fingerprint takes of the files: their bytes, and the roots that absolute paths begin with.

    Empty where there are none. A file that cannot be read counts as another one: the build says what is wrong.
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
    """Refuse files that could not be joined to what lies in the sources now; scans them.

    Raises:
        BadColumns: As `join`, or a file names no image.
    """
    places = []
    for name in settings.sources:
        try:
            found = scan_source(settings.source(name), settings, leave_out=lake.root)
            places.append(found.to_arrow().cast(schemas.CATALOG))
        except BadSource:  # away: what it held when it was there
            manifests = [lake.catalog_path(shard) for shard in lake.shards() if source_of(shard) == name]
            places.extend(map(lake.read_table, manifests))
    _, joined = join(pa.concat_tables(places) if places else schemas.CATALOG.empty_table(), settings)
    for of_file in joined:
        if not of_file.images:
            raise BadColumns(
                files.place(of_file.file),
                f"none of its {of_file.unmatched} rows names an image of the lake: {', '.join(of_file.first)}; a path "
                "is below its source, SOURCE/path or absolute, an image_id as in: imrec sql 'SELECT * FROM rows'",
            )


def join(images: pa.Table, settings: Settings) -> tuple[pa.Table, list[Joined]]:
    """`images` with the columns of the files after its own, null where a file says nothing of an image.

    That a file names no image at all, or none any more, is told and no error: images come and go.

    Args:
        images: With the columns `image_id`, `source` and `path`.

    Returns:
        The table, and what came of each file.

    Raises:
        BadColumns: A file cannot be read, has no key, an image twice with different values, a name that is taken or
            empty, a type that SQL does not know, or a path of several sources.
    """
    taken = {name.lower(): "the rows have it already" for name in schemas.ROWS.names}
    joined = []
    for file in map(files.place, settings.columns):
        key, keys, values = read(file)
        _refuse_names(file, values.column_names, taken)
        rows = _rows_of(file, key, keys, images, settings)
        strangers = keys.filter(pa.array(rows == STRANGER))
        at, place = _one_each(file, keys, values, rows)
        wanted = np.full(len(images), -1)
        wanted[at] = place
        for name, column in _aligned(values, wanted).items():
            images = images.append_column(name, column)
        first = strangers.slice(0, _SHOWN).to_pylist()
        joined.append(Joined(str(file), values.column_names, len(at), len(strangers), first))
    return images, joined


def _refuse_names(file: AnyPath, names: Sequence[str], taken: dict[str, str]) -> None:
    """Refuse names that are empty or in `taken`, and note the others there; letter case ignored, as SQL does."""
    if not names:
        raise BadColumns(file, "has no column but its key; add one to join")
    for name in names:
        if not name.strip():
            raise BadColumns(file, f"has a column without a name beside {names}; name it, or leave it out")
        if name.lower() in taken:
            raise BadColumns(file, f"column {name!r} cannot be joined: {taken[name.lower()]}; give it another name")
        taken[name.lower()] = f"{file} has it already"


def _rows_of(file: AnyPath, key: str, keys: pa.Array, images: pa.Table, settings: Settings) -> NDArray[np.int64]:
    """The image of each row of the file, `STRANGER` where there is none."""
    if key == "image_id":
        found = pc.index_in(pc.utf8_lower(keys), value_set=images["image_id"])
        rows = np.asarray(pc.fill_null(found, STRANGER), np.int64)
    else:
        rows = find_rows(keys, images, settings.sources)
    several = np.flatnonzero(rows == AMBIGUOUS)
    if len(several):
        path = keys[int(several[0])]
        raise BadColumns(
            file, f"{path} is in several sources ({len(several)} such rows); write it as SOURCE/{path}, or absolute"
        )
    return rows


def _one_each(
    file: AnyPath, keys: pa.Array, values: pa.Table, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images that the file knows, ascending, and its row for each; rows that say the same again are dropped."""
    there = np.flatnonzero(rows >= 0)
    at, first, nth = np.unique(rows[there], return_index=True, return_inverse=True)
    again = there[first[nth]] != there
    if again.any():
        repeats, originals = there[again], there[first[nth]][again]
        _refuse_difference(file, keys, values, originals, repeats)
    return at, there[first]


def _refuse_difference(
    file: AnyPath, keys: pa.Array, values: pa.Table, originals: NDArray[np.int64], repeats: NDArray[np.int64]
) -> None:
    a, b = values.take(originals), values.take(repeats)
    if a.equals(b):
        return
    for name in values.column_names:
        for i, (one, other) in enumerate(zip(a[name].to_pylist(), b[name].to_pylist(), strict=True)):
            if repr(one) != repr(other):  # not by value: NaN is no difference
                rows = f"rows {originals[i] + 1} and {repeats[i] + 1}"
                said = f"{name!r} is {one!r} and {other!r}"
                raise BadColumns(file, f"{keys[int(repeats[i])]} is there twice ({rows}), {said}; keep one")


def _aligned(values: pa.Table, wanted: NDArray[np.int64]) -> dict[str, pa.ChunkedArray]:
    """The values at the wanted rows, null where that is -1."""
    indices = pa.array(wanted, mask=wanted < 0)
    return {name: values[name].take(indices) for name in values.column_names}
