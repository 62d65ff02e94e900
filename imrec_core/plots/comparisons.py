"""Pictures of a query and its hits, side by side with what a feature sees in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.plots.canvas import FAINT, INK, RED, new_figure, plain, without_ticks, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

_SHOWN = 28  # bins of a joint histogram: the fullest ones, as most of hundreds are empty


@dataclass(frozen=True)
class Pictured:
    """An image with its vector.

    Attributes:
        picture: Small; None where the file is gone, or where there is none.
        lines: What is written over it.
        vector: A histogram `(bins,)`, or bits `(bits,)`.
    """

    picture: Image.Image | None
    lines: Sequence[str]
    vector: NDArray[Any]


@dataclass(frozen=True)
class Bins:
    """What the bins of a histogram stand for.

    Attributes:
        colours: Red, green and blue of each `(bins, 3)`, 0 to 1; None where they are no colours.
        channels: Where a channel begins, by its name; none where there are no channels.
        is_joint: Only the fullest bins are worth showing.
    """

    colours: Floats | None = None
    channels: Sequence[tuple[str, int]] = ()
    is_joint: bool = False


def draw_histograms(query: Pictured, hits: Sequence[Pictured], bins: Bins, *, format: str = "png") -> bytes:
    """A row for the query and for each hit: the picture, and its histogram with that of the query as a line over it.

    Of a joint histogram the bins are shown that are fullest in these pictures, those of the query first.
    """
    rows = [query, *hits]
    figure = new_figure(9.6, 1.9 * len(rows) + 0.3)
    pairs = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1, 3.6))
    vectors = np.array([row.vector for row in rows], np.float64)
    chosen = _fullest(vectors) if bins.is_joint else np.arange(vectors.shape[1])
    highest = vectors[:, chosen].max() * 1.08 or 1.0
    for i, (row, (left, right)) in enumerate(zip(rows, pairs, strict=True)):
        _picture(left, row)
        _bars(right, vectors[i][chosen], None if bins.colours is None else bins.colours[chosen])
        right.stairs(vectors[0][chosen], np.arange(len(chosen) + 1) - 0.5, color=INK, linewidth=1.2, baseline=None)
        right.set(ylim=(0, highest), xlim=(-0.5, len(chosen) - 0.5), xticks=(), ylabel="share")
        for n, (channel, start) in enumerate(bins.channels):
            right.axvline(start - 0.5, color=FAINT, linewidth=0.8 if n else 0)
            right.annotate(channel, (start, highest * 0.96), va="top", fontsize="small")
    words = f"the {len(chosen)} fullest of {vectors.shape[1]} bins" if bins.is_joint else f"{len(chosen)} bins"
    pairs[0][1].set_title(f"bars: the picture beside them; line: the query; {words}", fontsize="small")
    return written(figure, format)


def _fullest(vectors: Floats) -> NDArray[np.intp]:
    """Bins that hold most of any of the histograms `(n, bins)`; in the order of the first histogram, then of all."""
    chosen = np.argsort(-vectors.max(axis=0), kind="stable")[:_SHOWN]
    return chosen[np.lexsort((-vectors[:, chosen].sum(axis=0), -vectors[0][chosen]))]


def _bars(axes: Axes, heights: Floats, colours: Floats | None) -> None:
    shown: Any = FAINT if colours is None else colours
    edge = 0.4 if len(heights) <= 2 * _SHOWN else 0
    axes.bar(np.arange(len(heights)), heights, width=1.0, color=shown, edgecolor=FAINT, linewidth=edge)


def _picture(axes: Axes, row: Pictured) -> None:
    without_ticks(axes)
    axes.set_title("\n".join(plain(line, 24) for line in row.lines), fontsize="small")
    if row.picture is None:
        axes.set_aspect("equal")
        axes.annotate("no picture", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=FAINT)
    else:
        axes.imshow(row.picture)
        axes.set_anchor("S")  # near to what stands below


def draw_hashes(query: Pictured, hits: Sequence[Pictured], *, columns: int = 6, format: str = "png") -> bytes:
    """Query and hits, each picture over its hash as a grid of bits; a red cross marks a bit that the query has not.

    Args:
        query, hits: With bits as vectors, of a number that is a square.
        columns: Pictures in a line, at most.
        format: As `canvas.written` has it.
    """
    cells = [query, *hits]
    columns = min(columns, len(cells))
    lines = -(-len(cells) // columns)
    figure = new_figure(1.8 * columns, 3.9 * lines)
    every = figure.subplots(2 * lines, columns, squeeze=False)
    for i, cell in enumerate(cells):
        line, column = divmod(i, columns)
        _picture(every[2 * line][column], cell)
        _hash(every[2 * line + 1][column], cell.vector, query.vector)
    for i in range(len(cells), lines * columns):
        for axes in every[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]:
            axes.set_axis_off()
    return written(figure, format)


def _hash(axes: Axes, bits: Bits, asked: Bits) -> None:
    side = round(len(bits) ** 0.5)
    square = bits.reshape(side, side)
    axes.imshow(square, cmap="gray_r", vmin=-0.25, vmax=1.6, interpolation="nearest")  # light and dark grey
    without_ticks(axes)
    down, right = np.nonzero((bits != asked).reshape(side, side))
    axes.plot(right, down, "x", color=RED, markersize=64 / side, markeredgewidth=16 / side + 0.6)
