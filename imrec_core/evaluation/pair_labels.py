"""Pairs of images that a person says belong together, or do not: read from a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.catalog.path_lookup import AMBIGUOUS, STRANGER
from imrec_core.errors import QueryError
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath

Rows = NDArray[np.int64]

_SAID = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, `(n, 2)`, the smaller row first, each pair once, ascending.

    Attributes:
        same: Belong together; one or more.
        different: Do not; only these are the others then. None of them: every pair of an image of `same` with any other
            image of the lake that is not in `same` counts as different.
    """

    same: Rows
    different: Rows


def csv_pairs(generation: Generation, file: Path, sources: Mapping[str, AnyPath]) -> Pairs:
    """Pairs from a CSV file with the columns `a` and `b`, and `same` where some are different; others are ignored.

    A pair that is listed again, in either order, counts once.

    Args:
        file: A path in it is below its source, begins with the source's name, or is absolute. `same` is 1, 0, true or
            false.
        sources: Root folders by name, for absolute paths.

    Raises:
        QueryError: The file cannot be read, names files that are not in the lake or in several sources, pairs an image
            with itself, calls a pair both same and different, or lists none that is the same.
    """
    listed = list(_read(file))
    if not listed:
        raise QueryError(f"{file} lists no pairs; expected are rows below the heading a,b or a,b,same")
    rows = _found(generation, file, [path for a, b, _ in listed for path in (a, b)], sources).reshape(-1, 2)
    said: dict[tuple[int, int], bool] = {}
    for (a, b, same), pair in zip(listed, rows, strict=True):
        low, high = sorted(pair.tolist())
        if low == high:
            raise QueryError(f"{file} pairs {a} with itself ({b}); expected are two different files")
        if said.setdefault((low, high), same) != same:
            raise QueryError(f"{file} lists {a} and {b} both as same and as different; keep one")
    alike, unlike = (sorted(pair for pair, is_same in said.items() if is_same == wanted) for wanted in (True, False))
    if not alike:
        raise QueryError(f"{file} lists {len(unlike)} pairs, all of them different; there is nothing to be found")
    return Pairs(np.array(alike, np.int64), np.array(unlike, np.int64).reshape(-1, 2))


def _read(file: Path) -> Iterator[tuple[str, str, bool]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines, strict=True)
            columns = table.fieldnames or ()
            if missing := {"a", "b"} - set(columns):
                raise QueryError(
                    f"{file} has no column {' and '.join(sorted(missing))}; found are {', '.join(columns) or 'none'}"
                )
            for row in table:
                if not row["a"] or not row["b"]:
                    raise QueryError(f"{file}, line {table.line_num}: a or b is empty; expected are two paths")
                word = (row["same"] or "") if "same" in columns else "1"
                if word.strip().lower() not in _SAID:
                    raise QueryError(f"{file}, line {table.line_num}: same is {word!r}; it must be 1, 0, true or false")
                yield row["a"], row["b"], _SAID[word.strip().lower()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise QueryError(f"{file} cannot be read as CSV: {error}") from error


def _found(generation: Generation, file: Path, paths: Sequence[str], sources: Mapping[str, AnyPath]) -> Rows:
    """The row of each path.

    Raises:
        QueryError: Some are not in the lake, or in several sources.
    """
    rows = generation.find_rows(pa.array(paths, pa.string()), sources)
    strangers = list(dict.fromkeys(path for path, row in zip(paths, rows, strict=True) if row == STRANGER))
    if strangers:
        raise QueryError(
            f"{file} names {len(strangers)} files that are not in the lake"
            f"{', the first five' if len(strangers) > 5 else ''}: {', '.join(strangers[:5])}"
        )
    for path, row in zip(paths, rows, strict=True):
        if row == AMBIGUOUS:
            raise QueryError(f"{file}: {path} is in several sources; write it as SOURCE/{path}")
    return rows
