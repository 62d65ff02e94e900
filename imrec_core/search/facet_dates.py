"""The facet of dates: a histogram of `taken`, by year, month or day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from imrec_core.index.generation import Generation

MISSING = "taken IS NULL"
"""Condition of the images without a date."""

# Dates of clocks that were not set are outside.
_FIRST, _AFTER = np.datetime64("1900-01-01", "D"), np.datetime64("2100-01-01", "D")
_MOST_DAYS, _MOST_MONTHS = 92, 144  # bars of days, and of months; more are bars of years
_NUMPY_UNITS = {"day": "M8[D]", "month": "M8[M]", "year": "M8[Y]"}


@dataclass(frozen=True)
class DateBin:
    """A bar of the histogram: its images were taken from `start` until the day before `end`."""

    start: date
    end: date
    images: int


@dataclass(frozen=True)
class DateCounts:
    """A histogram of dates.

    Attributes:
        unit: `year`, `month` or `day`.
        bins: All bins from the first to the last date, empty ones included; none if no image has a date.
        missing: Number of images without a date.
        outside: Number of images with a date outside the bins.
    """

    unit: str
    bins: Sequence[DateBin]
    missing: int
    outside: int


class DateFacet:
    """Days on which the images of a generation were taken."""

    def __init__(self, generation: Generation) -> None:
        taken = generation.columns("taken")["taken"]
        days = taken.to_numpy().astype("M8[D]")
        self._is_known: NDArray[np.bool_] = ~np.isnat(days)
        self._days: NDArray[np.int32] = np.where(self._is_known, days, np.datetime64(0, "D")).astype(np.int32)
        plausible = self._is_known & generation.is_live & (days >= _FIRST) & (days < _AFTER)
        of_bins = self._days[plausible]
        self._span = (int(of_bins.min()), int(of_bins.max())) if len(of_bins) else None

    def count(self, allowed: NDArray[np.bool_], span: tuple[date, date] | None = None) -> DateCounts:
        """Count the allowed rows by date.

        Args:
            allowed: Rows to count `(rows,)`.
            span: First and last day of the histogram; None for those of the lake.
        """
        missing = int(np.count_nonzero(allowed & ~self._is_known))
        known = self._days[allowed & self._is_known]
        limits = self._limits(span)
        if limits is None:
            return DateCounts("year", [], missing, len(known))
        unit = _unit(*limits)
        edges = _edges(*limits, unit)
        days = edges.astype("M8[D]").astype(np.int32)
        images, _ = np.histogram(known, days)
        images[-1] -= np.count_nonzero(known == days[-1])  # numpy counts the right edge of the last bin in it
        dates = edges.astype("M8[D]").tolist()
        bins = [DateBin(dates[i], dates[i + 1], int(count)) for i, count in enumerate(images.tolist())]
        return DateCounts(unit, bins, missing, len(known) - int(images.sum()))

    def _limits(self, span: tuple[date, date] | None) -> tuple[np.datetime64, np.datetime64] | None:
        """Return the first and the last day of the histogram; None if no image has a plausible date."""
        if self._span is None:
            return None
        first, last = (np.datetime64(day, "D") for day in self._span)
        if span is None:
            return first, last
        start, end = max(first, np.datetime64(span[0], "D")), min(last, np.datetime64(span[1], "D"))
        return (start, end) if start <= end else (first, last)


def _unit(first: np.datetime64, last: np.datetime64) -> str:
    if (last - first).astype(int) < _MOST_DAYS:
        return "day"
    months = (last.astype("M8[M]") - first.astype("M8[M]")).astype(int)
    return "month" if months < _MOST_MONTHS else "year"


def _edges(first: np.datetime64, last: np.datetime64, unit: str) -> NDArray[np.datetime64]:
    """Return the edges of the bins from that of the first day to that after the last."""
    kind = _NUMPY_UNITS[unit]
    return np.arange(first.astype(kind), last.astype(kind) + 2)
