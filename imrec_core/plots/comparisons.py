"""Plots of a query and its hits, each image next to its histogram or hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.plots.canvas import FAINT, INK, RED, new_figure, plain, remove_ticks, render

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


def draw_histograms(
    query: ImageWithVector, hits: Sequence[ImageWithVector], bins: Bins, *, format: str = "png"
) -> bytes:
    """Plot a row for the query and for each hit: the image and its histogram, with that of the query as a line.

    Of a joint histogram, the bins that are fullest in these images are shown, those of the query first.
    """
    rows = [query, *hits]
    figure = new_figure(9.6, 1.9 * len(rows) + 0.3)
    pairs = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1, 3.6))
    vectors = np.array([row.vector for row in rows], np.float64)
    chosen = _fullest(vectors) if bins.is_joint else np.arange(vectors.shape[1])
    highest = vectors[:, chosen].max() * 1.08 or 1.0
    for i, (row, (left, right)) in enumerate(zip(rows, pairs, strict=True)):
        _draw_image(left, row)
        _draw_bars(right, vectors[i][chosen], None if bins.colours is None else bins.colours[chosen])
        right.stairs(vectors[0][chosen], np.arange(len(chosen) + 1) - 0.5, color=INK, linewidth=1.2, baseline=None)
        right.set(ylim=(0, highest), xlim=(-0.5, len(chosen) - 0.5), xticks=(), ylabel="share")
        for n, (channel, start) in enumerate(bins.channels):
            right.axvline(start - 0.5, color=FAINT, linewidth=0.8 if n else 0)
            right.annotate(channel, (start, highest * 0.96), va="top", fontsize="small")
    count = f"the {len(chosen)} fullest of {vectors.shape[1]} bins" if bins.is_joint else f"{len(chosen)} bins"
    pairs[0][1].set_title(f"bars: the image on the left; line: the query; {count}", fontsize="small")
    return render(figure, format)


def _fullest(vectors: Floats) -> NDArray[np.intp]:
    """Select the bins with the largest values in any of the histograms `(n, bins)`; order by the first, then all."""
    chosen = np.argsort(-vectors.max(axis=0), kind="stable")[:_SHOWN]
    return chosen[np.lexsort((-vectors[:, chosen].sum(axis=0), -vectors[0][chosen]))]


def _draw_bars(axes: Axes, heights: Floats, colours: Floats | None) -> None:
    shown: Any = FAINT if colours is None else colours
    edge = 0.4 if len(heights) <= 2 * _SHOWN else 0
    axes.bar(np.arange(len(heights)), heights, width=1.0, color=shown, edgecolor=FAINT, linewidth=edge)


def _draw_image(axes: Axes, row: ImageWithVector) -> None:
    remove_ticks(axes)
    axes.set_title("\n".join(plain(line, 24) for line in row.lines), fontsize="small")
    if row.image is None:
        axes.set_aspect("equal")
        axes.annotate("no image", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=FAINT)
    else:
        axes.imshow(row.image)
        axes.set_anchor("S")  # close to the plot below


def draw_hashes(
    query: ImageWithVector, hits: Sequence[ImageWithVector], *, columns: int = 6, format: str = "png"
) -> bytes:
    """Plot query and hits, each image above its hash as a grid of bits; red crosses mark bits that differ.

    Args:
        query, hits: Images with bits as vectors; the number of bits is a square.
        columns: Maximum number of images per line.
        format: As for `canvas.render`.
    """
    cells = [query, *hits]
    columns = min(columns, len(cells))
    lines = -(-len(cells) // columns)
    figure = new_figure(1.8 * columns, 3.9 * lines)
    every = figure.subplots(2 * lines, columns, squeeze=False)
    for i, cell in enumerate(cells):
        line, column = divmod(i, columns)
        _draw_image(every[2 * line][column], cell)
        _draw_hash(every[2 * line + 1][column], cell.vector, query.vector)
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
