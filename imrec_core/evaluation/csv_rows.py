"""Reading of CSV files that name images: labels and pairs. Files of user columns are in `catalog/column_files.py`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.catalog.path_lookup import AMBIGUOUS, NOT_FOUND
from imrec_core.errors import QueryError
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath


def read_csv_rows(file: Path, required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Read the rows of a CSV file in UTF-8 with a header, as strings by column.

    Args:
        required: Columns that must exist and may not be empty.

    Yields:
        The number of the line and the row. A value is None if the line is too short for it.

    Raises:
        QueryError: The file cannot be read, has no such column, or a required value is empty.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines, strict=True)
            columns = table.fieldnames or ()
            if missing := set(required) - set(columns):
                names = ", ".join(columns) or "none"
                raise QueryError(f"{file} has no column {' and '.join(sorted(missing))}; its columns are {names}")
            for row in table:
                if not all(row[name] for name in required):
                    raise QueryError(f"{file}, line {table.line_num}: {' or '.join(required)} is empty")
                yield table.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise QueryError(f"{file} cannot be read as CSV: {error}") from error


def find_listed_rows(
    generation: Generation, file: Path, paths: Sequence[str], sources: Mapping[str, AnyPath]
) -> NDArray[np.int64]:
    """Find the row of each path in a file `(n,)`.

    Args:
        file: The file that lists the paths, for messages.
        paths: Relative to a source, `SOURCE/path`, or absolute.
        sources: Root folders by name, for absolute paths.

    Raises:
        QueryError: A path matches no image, or several sources.
    """
    rows = generation.find_rows(pa.array(paths, pa.string()), sources)
    unknown = list(dict.fromkeys(path for path, row in zip(paths, rows, strict=True) if row == NOT_FOUND))
    if unknown:
        raise QueryError(
            f"{file} names {len(unknown)} files that are not in the lake"
            f"{', the first five' if len(unknown) > 5 else ''}: {', '.join(unknown[:5])}"
        )
    for path, row in zip(paths, rows, strict=True):
        if row == AMBIGUOUS:
            raise QueryError(f"{file}: {path} is in several sources; write it as SOURCE/{path}")
    return rows
