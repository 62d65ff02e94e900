"""How distances of random pairs, and the values of features, are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.plots.canvas import BLUE, FAINT, GREEN, INK, RED, grid, new_figure, plain, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec

Floats = NDArray[np.float64]

_BINS = 60


@dataclass(frozen=True)
class Threshold:
    """The distance below which images match, and the false match rate that it was chosen for."""

    distance: float
    false_match_rate: float


@dataclass(frozen=True)
class Distances:
    """The distances by one feature.

    Attributes:
        name: `feature:metric`.
        pairs: Of random pairs, in any order.
        copies: Of edited copies to their originals, as a cumulative distribution: distances, ascending, and the share
            of the copies that are at most so far. None where none were measured.
        threshold: Where is cut; None for no cut.
        hits: Distances of hits.
    """

    name: str
    pairs: NDArray[Any]
    copies: tuple[Sequence[float], Sequence[float]] | None = None
    threshold: Threshold | None = None
    hits: Sequence[float] = ()


def draw_distances(panels: Sequence[Distances], *, format: str = "png") -> bytes:
    """A panel for each feature: how far random pairs are apart, where is cut, and ticks for the hits.

    What a cut lets through is shaded. Of whole numbers a bin holds one number or several.
    """
    columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(max(4.4 * columns, 5.6), 2.9 * rows + 0.5)
    for axes, panel in zip(grid(figure, len(panels), columns), panels, strict=True):
        _draw_panel(axes, panel)
    found = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found), fontsize="small")
    return written(figure, format)


def _draw_panel(axes: Axes, panel: Distances) -> None:
    edges = _edges(panel.pairs, panel.hits)
    counts, _ = np.histogram(panel.pairs, edges)
    shares = counts / len(panel.pairs)
    axes.stairs(shares, edges, fill=True, color=BLUE, alpha=0.75, label="random pairs")
    if panel.copies:
        distances, at_most = panel.copies
        copies = _shares(edges, (0.0, *distances), (0.0, *at_most))
        axes.stairs(copies, edges, color=GREEN, linewidth=1.5, label="edited copies")
    title = plain(panel.name)
    if panel.threshold is not None:
        cut, rate = panel.threshold.distance, panel.threshold.false_match_rate
        axes.axvspan(edges[0], cut, color=RED, alpha=0.12, linewidth=0)
        axes.axvline(cut, color=RED, linestyle="--", label=f"cut at a false match rate of {rate:g}")
        title += f"\ncut at {cut:.3g}"
        if panel.hits:
            title += f": {np.count_nonzero(np.array(panel.hits) <= cut)} of {len(panel.hits)} hits pass"
    if panel.hits:
        ticks = axes.get_xaxis_transform()
        axes.plot(panel.hits, np.full(len(panel.hits), 0.06), "|", color=INK, ms=16, transform=ticks, label="hits")
    axes.set_title(title, fontsize="medium")
    axes.set(xlabel="distance", ylabel="share of pairs", xlim=(edges[0], edges[-1]), ylim=(0, None))
    axes.grid(alpha=0.3)


def _edges(pairs: NDArray[Any], hits: Sequence[float]) -> Floats:
    """Of bins from 0 to the farthest; whole numbers lie in the middle of theirs."""
    farthest = max([float(pairs.max()), *hits, 1e-3])
    if farthest < 2 or (pairs != np.rint(pairs)).any():
        return np.linspace(0, farthest * 1.02, _BINS + 1)
    step = int(np.gcd.reduce(pairs.astype(np.int64)))  # distances of phash are even: half of its bits are set
    while farthest / step > 64:
        step *= 2
    return np.arange(-step / 2, farthest + step, step)


def _shares(edges: Floats, distances: Sequence[float], rates: Sequence[float]) -> Floats:
    """The share in each bin of a cumulative distribution; rates are of what is at most so far."""
    whole = edges[0] < 0  # what is at most 3.5 is at most 3
    return np.diff(np.interp(np.floor(edges) if whole else edges, distances, rates, left=0.0))


@dataclass(frozen=True)
class Values:
    """The values of a feature, or of a column.

    Attributes:
        values: A row for each image: numbers `(n, dims)`, bits `(n, dims)` as truths, or of a column `(n,)`.
    """

    name: str
    values: NDArray[Any]


def draw_values(rows: Sequence[Values], *, format: str = "png") -> bytes:
    """A row for each feature: its numbers place by place, and all of them together.

    Place by place it is the median and what the middle 50 % and 90 % of the images have; of bits the share of images
    in which it is set, and how many of an image are. A column has one histogram.
    """
    figure = new_figure(10.0, 2.7 * len(rows))
    places = figure.add_gridspec(len(rows), 2, width_ratios=(3, 2))
    for i, row in enumerate(rows):
        if row.values.ndim == 1:
            axes = figure.add_subplot(places[i, :])
            _histogram(axes, row.values, plain(row.name), "images")
        elif row.values.dtype == np.bool_:
            _bits(figure, places, i, row)
        else:
            _numbers(figure, places, i, row)
    return written(figure, format)


def _numbers(figure: Any, places: GridSpec, i: int, row: Values) -> None:
    left, right = figure.add_subplot(places[i, 0]), figure.add_subplot(places[i, 1])
    values = row.values.astype(np.float32)
    low, lower, middle, upper, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    x = np.arange(values.shape[1])
    for below, above, alpha, label in ((low, high, 0.25, "90 %"), (lower, upper, 0.5, "50 %")):
        left.fill_between(x, below, above, step="mid", color=BLUE, alpha=alpha, linewidth=0, label=f"{label} of images")
    left.step(x, middle, where="mid", color=INK, linewidth=0.8, label="median")
    left.set(title=plain(row.name), xlabel=f"which of {values.shape[1]} numbers", ylabel="value")
    left.legend(fontsize="small", loc="upper right")
    left.grid(alpha=0.3)
    _histogram(right, values.ravel(), "all of them", "numbers")
    right.set_yscale("log")


def _bits(figure: Any, places: GridSpec, i: int, row: Values) -> None:
    left, right = figure.add_subplot(places[i, 0]), figure.add_subplot(places[i, 1])
    count = row.values.shape[1]
    left.bar(np.arange(count), row.values.mean(axis=0), width=1.0, color=BLUE)
    left.axhline(0.5, color=RED, linestyle="--", label="half of the images: tells most")
    left.set(title=plain(row.name), xlabel=f"which of {count} bits", ylabel="set in this share", ylim=(0, 1.25))
    left.legend(fontsize="small", loc="upper right")
    set_bits, images = np.unique(row.values.sum(axis=1), return_counts=True)
    right.bar(set_bits, images, width=1.0, color=BLUE)
    right.set(title="bits that are set", xlabel="bits", ylabel="images")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(alpha=0.3)


def _histogram(axes: Axes, values: NDArray[Any], title: str, of: str) -> None:
    axes.hist(values, bins=_BINS, color=BLUE)
    axes.set(title=title, xlabel="value", ylabel=of)
    axes.grid(alpha=0.3, color=FAINT)
