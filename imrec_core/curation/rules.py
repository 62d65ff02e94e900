"""Quality issues as data: what is measured of an image, and from which value on it is an issue.

The limit of a rule follows the images of the lake: a value far outside their distribution is an issue. Two fixed limits
bound it. A value beyond `sure` is an issue in every lake, so that many bad images do not hide each other. A value
within `loose` is none in any lake, so that a lake of good images has no issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import QueryError, UnknownName
from imrec_core.runtime.numbers import finite_number, shorten

Values = NDArray[np.float64]

_DEVIATIONS = 3.0  # robust standard deviations from the median of the lake, of the logarithm of the value
_NORMAL = 1.4826  # standard deviation of a normal distribution whose median absolute deviation is 1
_FLOOR = 1e-6  # smallest value of which the logarithm is taken
_MAX_GREY_SHARE = 0.25  # of the images of a lake in which greyscale is unusual


@dataclass(frozen=True)
class Rule:
    """Rule for one issue.

    Attributes:
        summary: The issue in words.
        measure: What is measured, in words.
        bad: Which values are issues: `low` ones below the limit, `high` ones above it, or `true`, the value 1.
        sure: Limit beyond which every image has the issue.
        loose: Limit within which no image has it; equal to `sure` for a fixed limit.
    """

    summary: str
    measure: str
    bad: Literal["low", "high", "true"]
    sure: float = 0.5
    loose: float = 0.5

    def limit(self, values: Values) -> float:
        """Compute the limit of a lake from the values `(n,)` of its images; NaN is left out."""
        known = values[np.isfinite(values)]
        if self.sure == self.loose or not len(known):
            return self.sure
        logs = np.log(np.maximum(known, _FLOOR))
        median = np.median(logs)
        spread = _DEVIATIONS * _NORMAL * np.median(np.abs(logs - median))
        fence = float(np.exp(median - spread if self.bad == "low" else median + spread))
        return float(np.clip(fence, min(self.sure, self.loose), max(self.sure, self.loose)))

    def severities(self, values: Values, limit: float) -> Values:
        """Compute the severities `(n,)`: 0 for no issue, above it up to 1 the farther a value is beyond the limit."""
        if self.bad == "true":
            return np.where(values == 1, 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = values / limit if self.bad == "low" else limit / values
        is_issue = values < limit if self.bad == "low" else values > limit
        return np.where(is_issue, np.clip(1 - beyond, _FLOOR, 1), 0.0)


RULES: Mapping[str, Rule] = {
    "near_black": Rule(
        "nearly black", "brightness of the brightest parts (mean + 2 standard deviations of luma)", "low", 0.08, 0.08
    ),
    "dark": Rule("dark", "brightness of the brightest parts, as for near_black", "low", 0.15, 0.30),
    "overexposed": Rule(
        "overexposed", "darkness of the darkest parts (1 - mean + 2 standard deviations of luma)", "low", 0.12, 0.35
    ),
    "plain": Rule("one colour", "contrast (standard deviation of luma)", "low", 0.01, 0.01),
    "low_information": Rule("little content", "entropy of the luma histogram in bits", "low", 1.5, 3.0),
    "blurred": Rule(
        "blurred, at a shorter side of 128 pixels",
        "sharpness (variance of the Laplacian) divided by the variance of luma",
        "low",
        0.01,
        0.04,
    ),
    "grey": Rule(
        f"greyscale, where at most {_MAX_GREY_SHARE:.0%} of the images are", "whether no colour is visible", "true"
    ),
    "odd_size": Rule(
        "much smaller or larger than the others",
        "ratio of the side (square root of the pixels) to the median, or its inverse",
        "high",
        10.0,
        3.0,
    ),
    "odd_shape": Rule(
        "much longer or squarer than the others",
        "ratio of the elongation (longer by shorter side) to the median, or its inverse",
        "high",
        4.0,
        2.0,
    ),
    "damaged": Rule("part of the file is damaged or missing", "whether decoding found damage", "true"),
    "outlier": Rule(
        "unlike all others",
        "mean distance to the 10 nearest images, by the median of the lake",
        "high",
        2.0,
        1.3,
    ),
}
"""Rules by the name of the issue."""

COLUMNS = ("width", "height", "brightness", "contrast", "sharpness", "entropy", "is_grey", "damaged")
"""Columns of a generation's rows that `measure` reads."""

MEASURED = tuple(name for name in RULES if name != "outlier")
"""Issues that the columns tell; outliers follow from the vectors."""


def measure(rows: pa.Table) -> dict[str, Values]:
    """Compute the values `(n,)` of each issue of `MEASURED`; NaN where a column is null or missing.

    Args:
        rows: Columns of the rows; those of `COLUMNS` that a generation of an earlier version lacks may be missing.
    """
    columns = {name: _column(rows, name) for name in COLUMNS}
    brightness, contrast = columns["brightness"], columns["contrast"]
    highlight = brightness + 2 * contrast
    is_plain = contrast < RULES["plain"].sure
    is_visible = ~is_plain & ~(highlight < RULES["near_black"].sure)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_sharpness = columns["sharpness"] / (255 * contrast) ** 2
        sides = np.sqrt(columns["width"] * columns["height"])
        elongations = np.maximum(columns["width"], columns["height"]) / np.minimum(columns["width"], columns["height"])
    is_grey = np.where(is_visible, columns["is_grey"], np.nan)  # a black or plain image has no colour to lose
    if np.nansum(is_grey) > _MAX_GREY_SHARE * max(len(rows), 1):
        is_grey = np.zeros_like(is_grey)
    return {
        "near_black": highlight,
        "dark": highlight,
        "overexposed": 1 - brightness + 2 * contrast,
        "plain": contrast,
        "low_information": columns["entropy"],
        "blurred": np.where(is_visible, relative_sharpness, np.nan),
        "grey": is_grey,
        "odd_size": _ratio_to_median(sides),
        "odd_shape": _ratio_to_median(elongations),
        "damaged": columns["damaged"],
    }


def _column(rows: pa.Table, name: str) -> Values:
    if name not in rows.column_names:
        return np.full(len(rows), np.nan)
    return np.asarray(rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _ratio_to_median(values: Values) -> Values:
    """Return how many times larger or smaller than the median each value is, 1 or more."""
    if not np.isfinite(values).any():
        return np.full(len(values), np.nan)
    ratios = values / np.nanmedian(values)
    return np.maximum(ratios, 1 / ratios)


def describe(name: str, limits: Mapping[str, float]) -> dict[str, Any]:
    """Describe an issue and its limit in a lake; `bad` says on which side of the limit the issues are."""
    rule = RULES[name]
    limit = None if rule.bad == "true" else limits.get(name)
    return {"issue": name, "summary": rule.summary, "measure": rule.measure, "bad": rule.bad, "limit": limit}


def check_limits(limits: Mapping[str, float]) -> dict[str, float]:
    """Require limits of issues that have one.

    Raises:
        UnknownName: There is no such issue.
        QueryError: The issue has no limit, or the limit is not a finite number above 0.
    """
    with_limit = [name for name, rule in RULES.items() if rule.bad != "true"]
    for name, limit in limits.items():
        if name not in RULES:
            raise UnknownName("issue", name, with_limit)
        if name not in with_limit:
            raise QueryError(f"the issue {name!r} has no limit; those with one: {', '.join(with_limit)}")
        number = finite_number(limit)
        if number is None or number <= 0:
            raise QueryError(f"the limit of {name!r} is {shorten(limit)}; expected a number above 0")
    return {name: float(limit) for name, limit in limits.items()}
