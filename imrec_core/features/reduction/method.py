"""Declaration of a reduction method, and functions that all methods share: settings, limits, sampling, curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError, LakeError, UnknownName

Matrix = NDArray[Any]
Arrays = dict[str, NDArray[Any]]
Facts = dict[str, Any]
Block = Callable[[], Matrix]  # reads the vectors of one shard, `(n, base dims)`

# Small blocks are joined to this many rows. Otherwise 5,000 shards of 20 images would cost 5,000 products and sums of
# `(dims, dims)`, 60 times the work for the rows themselves.
_ROWS = 4096


@dataclass(frozen=True)
class Method:
    """A dimensionality reduction method.

    Attributes:
        fit: `fit(blocks, *, dims, folder, **params)` returns the arrays for `project`, and statistics for display. It
            creates `folder` if needed, and keeps the state there from which an interrupted fit resumes.
        project: Maps vectors `(n, base dims)` and the arrays to `(n, dims)` float32. Row i depends on vector i only.
        params: Names and defaults of the settings of `fit`; a setting has the type of its default.
        check_grid: Raises `DeclarationError` for an invalid `grid` of hyperparameters; None for a method without one.
    """

    name: str
    summary: str
    source: str
    fit: Callable[..., tuple[Arrays, Facts]]
    project: Callable[[Matrix, Arrays], Matrix]
    params: Mapping[str, int | float]
    check_grid: Callable[[Any], None] | None = None

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given settings, with defaults for the others.

        Raises:
            UnknownName: A given setting does not exist.
            DeclarationError: A setting has another type or is negative, or both `trials` and a `grid` are given.
        """
        chosen: dict[str, Any] = dict(self.params)
        for name, value in given.items():
            if name == "grid" and self.check_grid is not None:
                self.check_grid(value)
                if "trials" in given:
                    raise DeclarationError(f"{self.name}: a grid tries all its combinations; leave out trials")
                chosen[name] = value
                continue
            if name not in chosen:
                raise UnknownName(f"setting of {self.name}", name, self.params)
            kind = type(chosen[name])
            fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
            if not fits or not 0 <= value < float("inf"):
                expected = "a whole number" if kind is int else "a number"
                raise DeclarationError(f"{self.name}: {name} is {value!r}; expected {expected}, 0 or more")
            chosen[name] = kind(value)
        return chosen


def require_rows(name: str, rows: int, *, least: int) -> None:
    """Check that a method has enough rows for a fit.

    Raises:
        LakeError: There are fewer than `least` rows.
    """
    if rows < least:
        raise LakeError(f"{name} needs at least {least} rows; found {rows}")


def check_dims(name: str, dims: int, width: int) -> None:
    """Check that a reduction does not increase the number of dims.

    Raises:
        DeclarationError: `dims` is not between 1 and `width`.
    """
    if not 1 <= dims <= width:
        raise DeclarationError(f"{name} cannot reduce vectors of {width} dims to {dims}; choose 1 to {width}")


def iterate_rows(blocks: Sequence[Block], rows: int = _ROWS) -> Iterator[Matrix]:
    """Yield the rows of all blocks in order, joined to at least `rows` rows."""
    pending: list[Matrix] = []
    for block in blocks:
        pending.append(block())
        if sum(map(len, pending)) >= rows:
            yield np.concatenate(pending)
            pending = []
    if sum(map(len, pending)):
        yield np.concatenate(pending)


def sample_rows(blocks: Sequence[Block], count: int, seed: int) -> tuple[Matrix, int]:
    """Draw a uniform random sample of rows in one pass.

    This is reservoir sampling (Vitter 1985, algorithm R). The sample depends on the rows and their order, but not on
    the sizes of the blocks.

    Returns:
        Rows `(min(count, total), base dims)` as stored, and the total number of rows.
    """
    rng = np.random.default_rng(seed)
    kept: Matrix = np.empty((0, 0))
    seen = 0
    for block in blocks:
        rows = block()
        if not len(rows):
            continue
        numbers = np.arange(seen, seen + len(rows))
        places = np.where(numbers < count, numbers, (rng.random(len(rows)) * (numbers + 1)).astype(np.int64))
        if seen < count:
            grown = np.empty((min(count, seen + len(rows)), rows.shape[1]), rows.dtype)
            grown[:seen] = kept[:seen] if seen else 0
            kept = grown
        is_drawn = places < count
        kept[places[is_drawn]] = rows[is_drawn]  # the last of several rows for one place stays
        seen += len(rows)
    return kept, seen


def share_curve(title: str, shares: NDArray[np.floating], x_label: str, y_label: str) -> Facts:
    """Return the cumulative sum of shares as plot data.

    The form is `{title: {"x", "y", "x_label", "y_label"}}`.
    """
    return curve(title, np.cumsum(shares), x_label, y_label)


def curve(title: str, values: Any, x_label: str, y_label: str) -> Facts:
    """Return values over 1, 2, 3, … as plot data."""
    y = [round(float(value), 6) for value in values]
    return {title: {"x": list(range(1, len(y) + 1)), "y": y, "x_label": x_label, "y_label": y_label}}


def orient_axes(axes: Matrix) -> Matrix:
    """Flip axes `(dims, n)` so that their entry of largest magnitude is positive.

    The sign of an eigenvector is arbitrary.
    """
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return np.asarray(axes * np.where(largest < 0, -1, 1)[:, None])
