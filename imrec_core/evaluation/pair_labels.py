"""Labelled pairs of images, same or different, read from a CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.evaluation.csv_rows import find_listed_rows, read_csv_rows
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath

Rows = NDArray[np.int64]

_LABELS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class Pairs:
    """Labelled pairs of rows `(n, 2)`, the smaller row first, without repetitions, ascending.

    Attributes:
        same: Pairs that belong together; one or more.
        different: Pairs that do not. If empty, every pair of an image of `same` and another image of the lake that is
            not in `same` counts as different.
    """

    same: Rows
    different: Rows


def csv_pairs(generation: Generation, file: Path, sources: Mapping[str, AnyPath]) -> Pairs:
    """Read pairs from a CSV file with the columns `a`, `b` and optionally `same`; other columns are ignored.

    Repeated pairs, in either order, count once.

    Args:
        file: Paths in it are relative to a source, `SOURCE/path`, or absolute. `same` is 1, 0, true or false.
        sources: Root folders by name, for absolute paths.

    Raises:
        QueryError: The file cannot be read, has a path that matches no image or several sources, pairs an image with
            itself, labels a pair both same and different, or has no pair labelled same.
    """
    listed = list(_read_pairs(file))
    if not listed:
        raise QueryError(f"{file} lists no pairs; expected rows below the header a,b or a,b,same")
    paths = [path for a, b, _ in listed for path in (a, b)]
    rows = find_listed_rows(generation, file, paths, sources).reshape(-1, 2)
    labels: dict[tuple[int, int], bool] = {}
    for (a, b, same), pair in zip(listed, rows, strict=True):
        low, high = sorted(pair.tolist())
        if low == high:
            raise QueryError(f"{file} pairs {a} with itself ({b}); expected two different files")
        if labels.setdefault((low, high), same) != same:
            raise QueryError(f"{file} lists {a} and {b} both as same and as different; keep one of the rows")
    same_pairs = sorted(pair for pair, is_same in labels.items() if is_same)
    different_pairs = sorted(pair for pair, is_same in labels.items() if not is_same)
    if not same_pairs:
        raise QueryError(f"{file} lists {len(different_pairs)} pairs, all different; add at least one that is the same")
    return Pairs(np.array(same_pairs, np.int64), np.array(different_pairs, np.int64).reshape(-1, 2))


def _read_pairs(file: Path) -> Iterator[tuple[str, str, bool]]:
    for line, row in read_csv_rows(file, ("a", "b")):
        label = (row["same"] or "") if "same" in row else "1"
        if label.strip().lower() not in _LABELS:
            raise QueryError(f"{file}, line {line}: same is {label!r}; expected 1, 0, true or false")
        yield str(row["a"]), str(row["b"]), _LABELS[label.strip().lower()]
