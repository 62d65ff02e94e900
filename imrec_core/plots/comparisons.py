"""Plots of a query and its hits, each image next to its histogram or hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.plots.canvas import legend_below, new_figure, plain, remove_ticks, render
from imrec_core.plots.style import FAINT, INK, RED, SOFT_INK, SUNKEN, TEXT, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

_SHOWN = 28  # bins of a joint histogram: the fullest ones, because most of the hundreds are empty


@dataclass(frozen=True)
class ImageWithVector:
    """An image with its vector.

    Attributes:
        image: Thumbnail; None if there is no image or its file is missing.
        lines: Caption.
        vector: A histogram `(bins,)`, or bits `(bits,)`.
    """

    image: Image.Image | None
    lines: Sequence[str]
    vector: NDArray[Any]


@dataclass(frozen=True)
class Bins:
    """Meaning of the bins of a histogram.

    Attributes:
        colours: Red, green and blue of each bin `(bins, 3)`, 0 to 1; None if bins are not colours.
        channels: Names of the channels, with their first bins; empty without channels.
        is_joint: The histogram is joint over the channels; only its fullest bins are shown.
    """

    colours: Floats | None = None
    channels: Sequence[tuple[str, int]] = ()
    is_joint: bool = False


@styled
def draw_histograms(
    query: ImageWithVector,
    hits: Sequence[ImageWithVector],
    bins: Bins,
    *,
    title: str = "Histograms of the query and its hits",
    about: str = "",
    format: str = "png",
) -> bytes:
    """Plot a row for the query and for each hit: the image and its histogram, with that of the query as a line.

    Of a joint histogram, the bins that are fullest in these images are shown, those of the query first.

    Args:
        title, about: Heading.
        format: As for `canvas.render`.
    """
    rows = [query, *hits]
    figure = new_figure(9.6, 2.0 * len(rows) + 0.7, title=title, about=about)
    pairs = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1, 3.4))
    vectors = np.array([row.vector for row in rows], np.float64)
    chosen = _fullest(vectors) if bins.is_joint else np.arange(vectors.shape[1])
    highest = vectors[:, chosen].max() * 1.08 or 1.0
    for i, (row, (left, right)) in enumerate(zip(rows, pairs, strict=True)):
        _draw_image(left, row)
        left.set_anchor("NW")
        left.set_title(_caption(row, 30), fontsize=TEXT)
        _draw_bars(right, vectors[i][chosen], None if bins.colours is None else bins.colours[chosen])
        edges = np.arange(len(chosen) + 1) - 0.5
        right.stairs(vectors[0][chosen], edges, color=INK, linewidth=1.2, baseline=None, label="histogram of the query")
        right.set(ylim=(0, highest), xlim=(-0.5, len(chosen) - 0.5), xticks=(), ylabel="share")
        right.grid(axis="y")
        for n, (channel, start) in enumerate(bins.channels):
            right.axvline(start - 0.5, color=FAINT, linewidth=0.8 if n else 0)
            right.annotate(channel, (start, highest * 0.96), va="top", fontsize=TEXT, color=SOFT_INK)
    if bins.is_joint:
        count = f"the {len(chosen)} fullest of {vectors.shape[1]:,} bins, those of the query first"
    else:
        count = f"{len(chosen):,} bins"
    pairs[-1][1].set_xlabel(f"{count}{', in their colours' if bins.colours is not None else ''}")
    legend_below(figure)
    return render(figure, format)


def _fullest(vectors: Floats) -> NDArray[np.intp]:
    """Select the bins with the largest values in any of the histograms `(n, bins)`; order by the first, then all."""
    chosen = np.argsort(-vectors.max(axis=0), kind="stable")[:_SHOWN]
    return chosen[np.lexsort((-vectors[:, chosen].sum(axis=0), -vectors[0][chosen]))]


def _draw_bars(axes: Axes, heights: Floats, colours: Floats | None) -> None:
    shown: Any = FAINT if colours is None else colours
    edge = 0.4 if len(heights) <= 2 * _SHOWN else 0
    label = "histogram of the image beside it"
    axes.bar(np.arange(len(heights)), heights, 1.0, color=shown, edgecolor=FAINT, linewidth=edge, label=label)


def _draw_image(axes: Axes, row: ImageWithVector) -> None:
    remove_ticks(axes)
    if row.image is None:
        axes.set(aspect="equal", facecolor=SUNKEN)
        axes.annotate("no image", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=SOFT_INK)
    else:
        axes.imshow(row.image)


def _caption(row: ImageWithVector, letters: int) -> str:
    return "\n".join(plain(line, letters) for line in row.lines)


@styled
def draw_hashes(
    query: ImageWithVector,
    hits: Sequence[ImageWithVector],
    *,
    columns: int = 6,
    title: str = "Hashes of the query and its hits; a cross marks a bit that differs",
    about: str = "",
    format: str = "png",
) -> bytes:
    """Plot query and hits, each image above its hash as a grid of bits; red crosses mark bits that differ.

    Args:
        query, hits: Images with bits as vectors; the number of bits is a square.
        columns: Maximum number of images per line.
        title, about: Heading.
        format: As for `canvas.render`.
    """
    cells = [query, *hits]
    columns = min(columns, len(cells))
    lines = -(-len(cells) // columns)
    figure = new_figure(max(1.8 * columns, 3.6), 4.2 * lines, title=title, about=about)
    every = figure.subplots(2 * lines, columns, squeeze=False)
    for i, cell in enumerate(cells):
        line, column = divmod(i, columns)
        _draw_image(every[2 * line][column], cell)
        every[2 * line][column].set_anchor("S")  # close to its hash
        below = every[2 * line + 1][column]
        _draw_hash(below, cell.vector, query.vector)
        below.set_anchor("N")
        below.set_xlabel(_caption(cell, 22), color=INK, labelpad=6)  # captions of one line are at one height
    for i in range(len(cells), lines * columns):
        for axes in every[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]:
            axes.set_axis_off()
    return render(figure, format)


def _draw_hash(axes: Axes, bits: Bits, query: Bits) -> None:
    side = round(len(bits) ** 0.5)
    square = bits.reshape(side, side)
    axes.imshow(square, cmap="gray_r", vmin=-0.25, vmax=1.6, interpolation="nearest")  # light and dark grey
    remove_ticks(axes)
    down, right = np.nonzero((bits != query).reshape(side, side))
    axes.plot(right, down, "x", color=RED, markersize=64 / side, markeredgewidth=16 / side + 0.6)
