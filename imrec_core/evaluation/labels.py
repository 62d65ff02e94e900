"""Labels of images: from folders, CSV files or columns."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.catalog.path_lookup import AMBIGUOUS, NOT_FOUND
from imrec_core.errors import QueryError, UnknownName
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What belongs together in a generation.

    Attributes:
        groups: A number for each row, equal for rows that belong together; -1 for one without a label.
        queries: Rows that ask, ascending; each has another one of its group.
        group_of_four: The groups are UKBench's, for which N-S is defined.
        names: Of the groups, by number.
    """

    groups: Rows
    queries: Rows
    group_of_four: bool = False
    names: tuple[str, ...] = ()


def folder_labels(generation: Generation) -> Labels:
    """The folder of an image below its source is its label; the source's name where it lies in none.

    Raises:
        QueryError: There are fewer than two folders, or none of them has two images.
    """
    labels: list[str | None] = [None] * len(generation)
    places = generation.live_table(["source", "path"]).to_pylist()
    for row, place in zip(generation.live.tolist(), places, strict=True):
        labels[row] = os.path.dirname(place["path"]) or place["source"]
    return _labels(labels, "folders")


def csv_labels(generation: Generation, file: Path, sources: Mapping[str, AnyPath]) -> Labels:
    """Labels from a CSV file with the columns `path` and `label`; others are ignored.

    Args:
        file: A path in it is below its source, begins with the source's name, or is absolute.
        sources: Root folders by name, for absolute paths.

    Raises:
        QueryError: The file cannot be read, names files that are not in the lake, or labels one twice.
    """
    given = list(_read_labels(file))
    rows = generation.find_rows(pa.array([path for path, _ in given], pa.string()), sources)
    labels: list[str | None] = [None] * len(generation)
    strangers: list[str] = []
    for (path, label), row in zip(given, rows.tolist(), strict=True):
        if row == AMBIGUOUS:
            raise QueryError(f"{file}: {path} is in several sources; write it as SOURCE/{path}")
        if row == NOT_FOUND:
            strangers.append(path)
        elif labels[row] not in (None, label):
            raise QueryError(f"{file}: {path} is labelled {labels[row]!r} and {label!r}; keep one")
        else:
            labels[row] = label
    if strangers:
        raise QueryError(
            f"{file} names {len(strangers)} files that are not in the lake"
            f"{', the first five' if len(strangers) > 5 else ''}: {', '.join(strangers[:5])}"
        )
    return _labels(labels, str(file))


def _read_labels(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines, strict=True)
            missing = {"path", "label"} - set(table.fieldnames or ())
            if missing:
                raise QueryError(
                    f"{file} has no column {' and '.join(sorted(missing))}; found are {table.fieldnames or 'none'}"
                )
            for row in table:
                if not row["path"] or not row["label"]:
                    raise QueryError(f"{file}, line {table.line_num}: a path or a label is empty")
                yield row["path"], row["label"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise QueryError(f"{file} cannot be read as CSV: {error}") from error


@dataclass(frozen=True)
class Naming:
    """How a benchmark says by the number in a file's name what belongs together.

    Attributes:
        size: Numbers of a group.
        first_asks: Only the first of a group is a query.
    """

    pattern: str
    size: int
    first_asks: bool


NAMINGS = {
    "holidays": Naming(r"(\d{6})", 100, True),  # 100000.jpg asks for 100001.jpg, …
    "ukbench": Naming(r"ukbench(\d{5})", 4, False),
}


def named_labels(generation: Generation, naming: str) -> Labels:
    """Groups as INRIA Holidays (`holidays`) or UKBench (`ukbench`) name their files; other files have no label.

    Raises:
        QueryError: No two files are named so.
        UnknownName: No such naming.
    """
    if naming not in NAMINGS:
        raise UnknownName("naming", naming, NAMINGS)
    rule = NAMINGS[naming]
    stems = [Path(path).stem for path in generation.columns("path")["path"].to_pylist()]
    matches = [re.fullmatch(rule.pattern, stem) for stem in stems]
    numbers = [int(m[1]) if m and live else -1 for m, live in zip(matches, generation.is_live.tolist(), strict=True)]
    labels = _labels([None if n < 0 else str(n // rule.size) for n in numbers], f"names as in {naming}")
    if not rule.first_asks:
        return replace(labels, group_of_four=True)
    first = labels.queries[[numbers[row] % rule.size == 0 for row in labels.queries]]
    if not len(first):
        raise QueryError(f"no file is a query of {naming}: the number of one ends in 00")
    return replace(labels, queries=first)


def _labels(labels: Sequence[str | None], origin: str) -> Labels:
    """Groups of equal labels.

    Raises:
        QueryError: Nothing can be judged by them.
    """
    counts = Counter(label for label in labels if label is not None)
    if len(counts) < 2:
        raise QueryError(
            f"{origin}: {len(counts)} different labels; two or more are needed. Sort the images into folders, "
            "or give a file of labels: imrec evaluate --labels FILE.csv; or without labels: imrec evaluate --copies"
        )
    number = {label: i for i, label in enumerate(counts)}
    groups = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    queries = np.flatnonzero([label is not None and counts[label] > 1 for label in labels])
    if not len(queries):
        raise QueryError(f"{origin}: no two images have the same label, so there is nothing to be found")
    return Labels(groups, queries, names=tuple(counts))
