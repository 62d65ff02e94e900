"""What a way to reduce vectors is, and what all of them share: their settings, their limits, their rows."""

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

# Blocks are joined until they have this many rows: 5,000 shards of 20 images would else cost 5,000 products and sums
# of `(dims, dims)`, 60 times the work of the rows themselves.
_ROWS = 4096


@dataclass(frozen=True)
class Method:
    """A way to reduce vectors that is learnt from all of them.

    Attributes:
        fit: `fit(blocks, *, dims, folder, **params)` gives the arrays that `project` needs, and facts to show. The
            folder, made where it is not there, keeps what an interrupted fit goes on with.
        project: Vectors `(n, base dims)` and the arrays → `(n, dims)` float32. Row i depends on vector i only.
        params: Names and defaults of the settings that `fit` takes; a setting has the type of its default.
        check_grid: Refuses a bad `grid`, values of settings that are to be tried in all combinations, by raising
            `DeclarationError`; None where nothing is tried.
    """

    name: str
    summary: str
    source: str
    fit: Callable[..., tuple[Arrays, Facts]]
    project: Callable[[Matrix, Arrays], Matrix]
    params: Mapping[str, int | float]
    check_grid: Callable[[Any], None] | None = None

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, those that are not given by their defaults; a `grid` only if it is given.

        Raises:
            UnknownName: A setting of another name is given.
            DeclarationError: One has another type, or is negative, or there is a number of trials beside a grid.
        """
        chosen: dict[str, Any] = dict(self.params)
        for name, value in given.items():
            if name == "grid" and self.check_grid is not None:
                self.check_grid(value)
                if "trials" in given:
                    raise DeclarationError(f"{self.name}: all combinations of a grid are tried; leave out trials")
                chosen[name] = value
                continue
            if name not in chosen:
                raise UnknownName(f"setting of {self.name}", name, self.params)
            kind = type(chosen[name])
            fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
            if not fits or not 0 <= value < float("inf"):
                wanted = "a whole number" if kind is int else "a number"
                raise DeclarationError(f"{self.name}: {name} is {value!r}; it must be {wanted}, 0 or more")
            chosen[name] = kind(value)
        return chosen


def require(name: str, rows: int, *, least: int) -> None:
    """Complain where a method has too few rows to learn from.

    Raises:
        LakeError: They are fewer than `least`.
    """
    if rows < least:
        raise LakeError(f"{name} needs at least {least} rows, there are {rows}")


def check_dims(name: str, dims: int, width: int) -> None:
    """Complain where a reduction would not reduce.

    Raises:
        DeclarationError: `dims` is not among 1 … `width`.
    """
    if not 1 <= dims <= width:
        raise DeclarationError(f"{name} cannot make {dims} numbers of vectors of {width}; choose 1 to {width}")


def joined(blocks: Sequence[Block], rows: int = _ROWS) -> Iterator[Matrix]:
    """The rows of all blocks in order, small blocks joined until they have `rows` rows or more."""
    held: list[Matrix] = []
    for block in blocks:
        held.append(block())
        if sum(map(len, held)) >= rows:
            yield np.concatenate(held)
            held = []
    if sum(map(len, held)):
        yield np.concatenate(held)


def sampled(blocks: Sequence[Block], count: int, seed: int) -> tuple[Matrix, int]:
    """A random sample of rows in one pass, each row as likely as any other (Vitter 1985, algorithm R).

    The same rows in the same order give the same sample, however they are cut into blocks.

    Returns:
        Rows `(min(count, all), base dims)` as stored, and how many there are in all.
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
            room = np.empty((min(count, seen + len(rows)), rows.shape[1]), rows.dtype)
            room[:seen] = kept[:seen] if seen else 0
            kept = room
        taken = places < count
        kept[places[taken]] = rows[taken]  # of two rows for one place the later one stays
        seen += len(rows)
    return kept, seen


def share_curve(title: str, shares: NDArray[np.floating], x_label: str, y_label: str) -> Facts:
    """A curve of the running sum of shares, to be drawn: `{title: {"x", "y", "x_label", "y_label"}}`."""
    return curve(title, np.cumsum(shares), x_label, y_label)


def curve(title: str, values: Any, x_label: str, y_label: str) -> Facts:
    """A curve over 1, 2, 3, …, to be drawn."""
    y = [round(float(value), 6) for value in values]
    return {title: {"x": list(range(1, len(y) + 1)), "y": y, "x_label": x_label, "y_label": y_label}}


def upright(axes: Matrix) -> Matrix:
    """Axes `(dims, n)` turned so that the entry largest in size is positive: eigenvectors come with either sign."""
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return np.asarray(axes * np.where(largest < 0, -1, 1)[:, None])
