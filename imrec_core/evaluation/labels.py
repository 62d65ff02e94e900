"""Labels of images: from folders, CSV files, or the file names of a benchmark."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError, UnknownName
from imrec_core.evaluation.csv_rows import find_listed_rows, read_csv_rows
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Labels of the images of a generation, as groups of rows that are relevant to each other.

    Attributes:
        groups: Group of each row `(rows,)`; -1 for a row without a label.
        queries: Rows to query with, ascending; each has another row in its group.
        group_of_four: Whether the groups are those of UKBench, for which N-S is defined.
        names: Labels by group.
    """

    groups: Rows
    queries: Rows
    group_of_four: bool = False
    names: tuple[str, ...] = ()


def folder_labels(generation: Generation) -> Labels:
    """Label each image by its folder in its source, or by the source if it is in no folder.

    Raises:
        QueryError: There are fewer than two folders, or no folder has two images.
    """
    labels: list[str | None] = [None] * len(generation)
    files = generation.live_table(["source", "path"]).to_pylist()
    for row, file in zip(generation.live.tolist(), files, strict=True):
        labels[row] = os.path.dirname(file["path"]) or file["source"]
    return _group(labels, "folders")


def column_labels(generation: Generation, column: str) -> Labels:
    """Read labels from a column of the rows, such as a user column; images where it is null have none.

    Raises:
        UnknownName: There is no such column.
        QueryError: There are too few labels.
    """
    if column not in generation.column_names:
        raise UnknownName("column", column, generation.column_names)
    values = generation.columns(column)[column].to_pylist()
    is_live = generation.is_live.tolist()
    labels = [None if v is None or not live else str(v) for v, live in zip(values, is_live, strict=True)]
    return _group(labels, f"column {column}")


def csv_labels(generation: Generation, file: Path, sources: Mapping[str, AnyPath]) -> Labels:
    """Read labels from a CSV file with the columns `path` and `label`; other columns are ignored.

    Args:
        file: Paths in it are relative to a source, `SOURCE/path`, or absolute.
        sources: Root folders by name, for absolute paths.

    Raises:
        QueryError: The file cannot be read, has a path that matches no image or several sources, labels an image twice,
            or has too few labels.
    """
    listed = [(str(row["path"]), str(row["label"])) for _, row in read_csv_rows(file, ("path", "label"))]
    rows = find_listed_rows(generation, file, [path for path, _ in listed], sources)
    labels: list[str | None] = [None] * len(generation)
    for (path, label), row in zip(listed, rows.tolist(), strict=True):
        if labels[row] not in (None, label):
            raise QueryError(f"{file}: {path} is labelled {labels[row]!r} and {label!r}; keep one")
        labels[row] = label
    return _group(labels, str(file))


@dataclass(frozen=True)
class Naming:
    """File names of a benchmark: the number in a name determines the group.

    Attributes:
        pattern: Regular expression of the stem; its only group is the number.
        size: How many numbers a group has.
        first_only: Whether only the first image of a group is a query.
    """

    pattern: str
    size: int
    first_only: bool


NAMINGS = {
    "holidays": Naming(r"(\d{6})", 100, True),  # 100001.jpg is relevant to the query 100000.jpg
    "ukbench": Naming(r"ukbench(\d{5})", 4, False),
}


def named_labels(generation: Generation, naming: str) -> Labels:
    """Label images by the file names of INRIA Holidays (`holidays`) or UKBench (`ukbench`).

    Files with other names have no label.

    Raises:
        QueryError: There are fewer than two groups, or no group with a query and another image.
        UnknownName: There is no such naming.
    """
    if naming not in NAMINGS:
        raise UnknownName("naming", naming, NAMINGS)
    rule = NAMINGS[naming]
    stems = [Path(path).stem for path in generation.columns("path")["path"].to_pylist()]
    matches = [re.fullmatch(rule.pattern, stem) for stem in stems]
    numbers = [int(m[1]) if m and live else -1 for m, live in zip(matches, generation.is_live.tolist(), strict=True)]
    labels = _group([None if n < 0 else str(n // rule.size) for n in numbers], f"names as in {naming}")
    if not rule.first_only:
        return replace(labels, group_of_four=True)
    first = labels.queries[[numbers[row] % rule.size == 0 for row in labels.queries]]
    if not len(first):
        raise QueryError(f"no file is a query of {naming}; expected a number that ends in 00")
    return replace(labels, queries=first)


def _group(labels: Sequence[str | None], origin: str) -> Labels:
    """Group the rows with equal labels.

    Raises:
        QueryError: There are fewer than two labels, or no two rows with the same label.
    """
    counts = Counter(label for label in labels if label is not None)
    if len(counts) < 2:
        raise QueryError(
            f"{origin}: {len(counts)} different labels; two or more are needed. Sort the images into folders, "
            "or give a file of labels: --labels FILE.csv; without labels there is: imrec evaluate --copies"
        )
    number = {label: i for i, label in enumerate(counts)}
    groups = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    queries = np.flatnonzero([label is not None and counts[label] > 1 for label in labels])
    if not len(queries):
        raise QueryError(f"{origin}: no two images have the same label; give one label to two or more")
    return Labels(groups, queries, names=tuple(counts))
