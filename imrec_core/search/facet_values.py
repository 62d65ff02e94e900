"""Facets with few values: camera, size, orientation, format, colour and traits.

Each value has a condition in SQL, and a number of images. A facet has the value of every row as an integer, so that
counting is one pass over integers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.index.generation import Generation

MOST_VALUES = 30
"""Values of a facet that are listed; the others are counted."""

_MEGAPIXELS = (0, 1, 4, 12, 24)  # lower limits of the classes of sizes

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FacetValue:
    """A value of a facet.

    Attributes:
        label: Value in words.
        where: Condition that images with this value satisfy.
        images: Number of images.
    """

    label: str
    where: str
    images: int


@dataclass(frozen=True)
class FacetCounts:
    """Values of a facet with their numbers of images.

    Attributes:
        values: The most frequent values, at most `MOST_VALUES`, and the chosen ones.
        further_values: Number of other values.
        further_images: Number of images that have one of these.
    """

    name: str
    values: Sequence[FacetValue]
    further_values: int
    further_images: int


@dataclass(frozen=True)
class Facet:
    """A facet over the rows of a generation.

    Attributes:
        labels, conditions: Words and SQL of each value.
        flags: Masks `(rows,)` of each value, for values that an image can have at once; else None.
        codes: Number of the value of each row `(rows,)`, -1 for none; empty if there are `flags`.
        is_ordered: Whether values are listed in their order and not by frequency.
    """

    name: str
    labels: Sequence[str]
    conditions: Sequence[str]
    codes: NDArray[np.int32]
    flags: Sequence[Mask] | None = None
    is_ordered: bool = False

    def count(self, allowed: Mask, chosen: str) -> FacetCounts:
        """Count the allowed rows of each value.

        Args:
            allowed: Rows to count `(rows,)`.
            chosen: Condition of this facet; values that it names are listed however rare they are.
        """
        images = self._images(allowed)
        order = np.arange(len(images)) if self.is_ordered else np.argsort(-images, kind="stable")
        listed = [i for at, i in enumerate(order.tolist()) if at < MOST_VALUES or self.conditions[i] in chosen]
        rest = np.setdiff1d(order, listed)
        values = [FacetValue(self.labels[i], self.conditions[i], int(images[i])) for i in listed]
        with_images = rest[images[rest] > 0]
        return FacetCounts(self.name, values, len(with_images), int(images[rest].sum()))

    def _images(self, allowed: Mask) -> NDArray[np.int64]:
        if self.flags is not None:
            return np.array([np.count_nonzero(flag & allowed) for flag in self.flags], np.int64)
        codes = self.codes[allowed]
        return np.bincount(codes[codes >= 0], minlength=len(self.labels)).astype(np.int64)

    def divides(self, rows: Mask) -> bool:
        """Return whether a choice of a value would leave out some of the rows."""
        total = int(np.count_nonzero(rows))
        return any(0 < count < total for count in self._images(rows).tolist())


def value_facets(generation: Generation) -> list[Facet]:
    """Return the facets that divide the images of a generation."""
    names = set(generation.column_names)
    makers: list[tuple[Collection[str], Callable[[Generation], Facet]]] = [
        (("camera",), lambda of: _text_facet(of, "camera", "No camera")),
        (("width", "height"), _size_facet),
        (("width", "height"), _orientation_facet),
        (("format",), lambda of: _text_facet(of, "format", "No format")),
        (("is_grey",), _colour_facet),
        ((), _traits),
    ]
    facets = [make(generation) for needed, make in makers if names.issuperset(needed)]
    return [facet for facet in facets if facet.divides(generation.is_live)]


def quote(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def codes_of(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.int32], list[Any]]:
    """Return the number of the value of each row of a column `(rows,)`, -1 for null, and the values."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array.dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32)
    return codes, encoded.dictionary.to_pylist()


def _text_facet(generation: Generation, name: str, missing: str) -> Facet:
    """Make a facet of the values of a text column; a missing value is the last."""
    codes, values = codes_of(generation.columns(name)[name])
    labels = [" ".join(str(value).split()) or "(empty)" for value in values]
    conditions = [f"{name} = {quote(str(value))}" for value in values]
    codes = np.where(codes < 0, len(values), codes).astype(np.int32)
    return Facet(name, [*labels, missing], [*conditions, f"{name} IS NULL"], codes)


def _sides(generation: Generation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return width and height of each row, 0 if they are not known."""
    table = generation.columns("width", "height")
    width, height = (
        np.asarray(table[name].fill_null(0).to_numpy(zero_copy_only=False), np.int64) for name in ("width", "height")
    )
    return width, height


def _size_facet(generation: Generation) -> Facet:
    width, height = _sides(generation)
    pixels = width * height
    codes = np.searchsorted(np.array(_MEGAPIXELS) * 1_000_000, pixels, side="right").astype(np.int32) - 1
    product = "width::BIGINT * height"  # the product of two integers of 32 bits can be too large for one
    labels, conditions = ["Below 1 MP"], [f"{product} < 1000000"]
    for low, high in pairwise(_MEGAPIXELS[1:]):
        labels.append(f"{low} to {high} MP")
        conditions.append(f"{product} BETWEEN {low * 1_000_000} AND {high * 1_000_000 - 1}")
    labels.append(f"{_MEGAPIXELS[-1]} MP and more")
    conditions.append(f"{product} >= {_MEGAPIXELS[-1] * 1_000_000}")
    return Facet("size", labels, conditions, np.where(pixels > 0, codes, -1).astype(np.int32), is_ordered=True)


def _orientation_facet(generation: Generation) -> Facet:
    width, height = _sides(generation)
    codes = np.select([width * height == 0, width > height, width < height], [-1, 0, 1], 2).astype(np.int32)
    conditions = ["width > height", "width < height", "width = height"]
    return Facet("orientation", ["Landscape", "Portrait", "Square"], conditions, codes, is_ordered=True)


def _colour_facet(generation: Generation) -> Facet:
    column = generation.columns("is_grey")["is_grey"]
    codes = np.asarray(column.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False), np.int32)
    return Facet("colour", ["In colour", "Grey"], ["NOT is_grey", "is_grey"], codes, is_ordered=True)


def _traits(generation: Generation) -> Facet:
    """Make the facet of traits that few images have, of the columns that the generation has."""
    traits = {
        "has_alpha": ("Transparent", "has_alpha"),
        "frames": ("Several frames or pages", "frames > 1"),
        "damaged": ("Damaged", "damaged"),
    }
    labels, conditions, flags = [], [], []
    for name, (label, condition) in traits.items():
        if name in generation.column_names:
            values = generation.columns(name)[name].cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
            labels.append(label)
            conditions.append(condition)
            flags.append(np.asarray(values > (name == "frames"), np.bool_))
    keep = [i for i, flag in enumerate(flags) if np.any(flag & generation.is_live)]
    none = np.empty(0, np.int32)
    return Facet(
        "traits", [labels[i] for i in keep], [conditions[i] for i in keep], none, [flags[i] for i in keep], True
    )
