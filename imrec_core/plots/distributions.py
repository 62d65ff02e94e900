"""Plots of distributions: distances of random pairs, and values of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.plots.canvas import grid, legend_below, new_figure, plain, render
from imrec_core.plots.style import BLUE, GREEN, INK, RED, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec

Floats = NDArray[np.float64]

_BINS = 60
_MOST, _HALF = "middle 90 % of the images", "middle 50 % of the images"


@dataclass(frozen=True)
class Threshold:
    """Distance up to which images match, with the false match rate that it was chosen for."""

    distance: float
    false_match_rate: float


@dataclass(frozen=True)
class Distances:
    """Distances by one feature.

    Attributes:
        name: `feature:metric`.
        pairs: Distances of random pairs, in any order; infinite where a feature has nothing to compare.
        copies: Cumulative distribution of the distances of edited copies to their originals: distances, ascending, and
            the share of copies within each of them. None if no copies were measured.
        threshold: Match threshold; None for no threshold.
        hits: Distances of hits.
        unit: Unit of the distances, such as `bits`; empty for none.
    """

    name: str
    pairs: NDArray[Any]
    copies: tuple[Sequence[float], Sequence[float]] | None = None
    threshold: Threshold | None = None
    hits: Sequence[float] = ()
    unit: str = ""


@styled
def draw_distances(
    panels: Sequence[Distances], *, title: str = "Distances of random pairs", about: str = "", format: str = "png"
) -> bytes:
    """Plot a panel per feature: histogram of the distances of random pairs, match threshold, and ticks for the hits.

    Distances within the threshold are shaded. With a threshold the shares are on a logarithmic scale, because few pairs
    are within it. If distances are whole numbers, each bin holds one or more of them, and so does the threshold.

    Args:
        title, about: Heading.
        format: As for `canvas.render`.
    """
    columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(max(4.0 * columns, 6.4), 2.9 * rows + 0.5, title=title, about=about)
    for i, (axes, panel) in enumerate(zip(grid(figure, len(panels), columns), panels, strict=True)):
        _draw_panel(axes, panel)
        axes.set_ylabel("" if i % columns else "share of the pairs")
    legend_below(figure)
    return render(figure, format)


def _draw_panel(axes: Axes, panel: Distances) -> None:
    compared = panel.pairs[np.isfinite(panel.pairs)]
    is_whole = _is_whole(compared)
    edges = _edges(compared, panel.hits)
    counts, _ = np.histogram(compared, edges)
    shares = counts / len(panel.pairs)
    axes.stairs(shares, edges, fill=True, color=BLUE, alpha=0.75, label="random pairs")
    if panel.copies:
        distances, at_most = panel.copies
        copies = _shares(edges, (0.0, *distances), (0.0, *at_most))
        axes.stairs(copies, edges, color=GREEN, linewidth=1.5, label="edited copies")
    title = plain(panel.name, 36)
    if panel.threshold is not None:
        cut, rate = panel.threshold.distance, panel.threshold.false_match_rate
        if is_whole:
            cut = float(np.floor(cut))  # the same pairs are within it
        axes.axvspan(edges[0], cut, color=RED, alpha=0.12, linewidth=0)
        axes.axvline(cut, color=RED, linestyle="--", label=f"threshold at a false match rate of {rate:g}")
        title += f"\nthreshold {f'{cut:.0f}' if is_whole else f'{cut:.3g}'} {panel.unit}".rstrip()
        if panel.hits:
            title += f": {np.count_nonzero(np.array(panel.hits) <= cut)} of {len(panel.hits)} hits pass"
        axes.set_yscale("log", nonpositive="clip")
        axes.minorticks_off()  # they nearly double the time for many panels
    if panel.hits:
        ticks = axes.get_xaxis_transform()
        axes.plot(panel.hits, np.full(len(panel.hits), 0.06), "|", color=INK, ms=16, transform=ticks, label="hits")
    lowest = 0.0 if panel.threshold is None else 0.5 / max(len(panel.pairs), 1)
    unit = f", in {panel.unit}" if panel.unit else ""
    axes.set(title=title, xlabel=f"distance{unit}", xlim=(edges[0], edges[-1]), ylim=(lowest, None))
    axes.grid()


def _is_whole(distances: NDArray[Any]) -> bool:
    """Return whether all distances are whole numbers, and not only 0 and 1."""
    return bool(distances.max(initial=0) >= 2 and (distances == np.rint(distances)).all())


def _edges(pairs: NDArray[Any], hits: Sequence[float]) -> Floats:
    """Compute the edges of bins from 0 to the largest distance; whole numbers are at the centre of their bins."""
    farthest = max([float(pairs.max(initial=0)), *hits, 1e-3])
    if farthest < 2 or not _is_whole(pairs):
        return np.linspace(0, farthest * 1.02, _BINS + 1)
    step = int(np.gcd.reduce(pairs.astype(np.int64)))  # distances of phash are even: half of its bits are set
    while farthest / step > 64:
        step *= 2
    return np.arange(-step / 2, farthest + step, step)


def _shares(edges: Floats, distances: Sequence[float], rates: Sequence[float]) -> Floats:
    """Compute the share in each bin from a cumulative distribution: `rates` are the shares within `distances`."""
    whole = edges[0] < 0  # then 3.5 includes the same distances as 3
    return np.diff(np.interp(np.floor(edges) if whole else edges, distances, rates, left=0.0))


@dataclass(frozen=True)
class Values:
    """Values of a feature or of a column.

    Attributes:
        name: Title of the panel.
        values: Vectors `(n, dims)`, bits `(n, dims)` of dtype bool, or a column `(n,)`.
    """

    name: str
    values: NDArray[Any]


@styled
def draw_values(
    rows: Sequence[Values], *, title: str = "Distribution of values", about: str = "", format: str = "png"
) -> bytes:
    """Plot a row per feature: the values by dimension, and a histogram of all values.

    Vectors are plotted by dimension: the median, and the ranges of the middle 50 % and 90 % of the images. Bits are
    plotted as the share of images in which each is set, and a histogram of the set bits per image. A column has only a
    histogram.

    Args:
        title, about: Heading.
        format: As for `canvas.render`.
    """
    figure = new_figure(10.0, 2.4 * len(rows) + 0.3, title=title, about=about)
    cells = figure.add_gridspec(len(rows), 2, width_ratios=(3, 2))
    for i, row in enumerate(rows):
        if row.values.ndim == 1:
            axes = figure.add_subplot(cells[i, :])
            _draw_histogram(axes, row.values, plain(row.name), "images")
        elif row.values.dtype == np.bool_:
            _draw_bits(figure, cells, i, row)
        else:
            _draw_vectors(figure, cells, i, row)
    legend_below(figure)
    return render(figure, format)


def _draw_vectors(figure: Any, cells: GridSpec, i: int, row: Values) -> None:
    left, right = figure.add_subplot(cells[i, 0]), figure.add_subplot(cells[i, 1])
    values = row.values.astype(np.float32)
    low, lower, middle, upper, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    x = np.arange(values.shape[1])
    for below, above, alpha, label in ((low, high, 0.25, _MOST), (lower, upper, 0.5, _HALF)):
        left.fill_between(x, below, above, step="mid", color=BLUE, alpha=alpha, linewidth=0, label=label)
    left.step(x, middle, where="mid", color=INK, linewidth=0.8, label="median")
    left.set(title=plain(row.name), xlabel=f"dimension, of {values.shape[1]:,}", ylabel="value")
    left.grid()
    _draw_histogram(right, values.ravel(), "all dimensions together", "number of values")
    right.set_yscale("log")


def _draw_bits(figure: Any, cells: GridSpec, i: int, row: Values) -> None:
    left, right = figure.add_subplot(cells[i, 0]), figure.add_subplot(cells[i, 1])
    count = row.values.shape[1]
    left.bar(np.arange(count), row.values.mean(axis=0), width=1.0, color=BLUE)
    left.axhline(0.5, color=RED, linestyle="--", label="bit set in half of the images: most informative")
    left.set(title=plain(row.name), xlabel=f"bit, of {count}", ylabel="share of the images", ylim=(0, 1.02))
    left.grid()
    set_bits, images = np.unique(row.values.sum(axis=1), return_counts=True)
    right.bar(set_bits, images, width=1.0, color=BLUE)
    right.set(title="bits set in an image", xlabel=f"bits, of {count}", ylabel="images", xlim=(0, count))
    right.xaxis.get_major_locator().set_params(integer=True)
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.grid()


def _draw_histogram(axes: Axes, values: NDArray[Any], title: str, of: str) -> None:
    axes.hist(values, bins=_BINS, color=BLUE)
    axes.set(title=title, xlabel="value", ylabel=of)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid()
