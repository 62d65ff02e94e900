"""Plot of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.plots.canvas import INK, new_figure, plain, render

_MOST_WITH_NUMBERS = 26  # labels; with more, the squares are too small for numbers


def draw_confusion(names: Sequence[str], counts: NDArray[np.int64], *, title: str = "", format: str = "png") -> bytes:
    """Plot a confusion matrix with each row as shares of its sum; darker is more.

    Args:
        names: The `n` labels.
        counts: Nearest images `(n, n + 1)` by label of the query (rows) and label of its neighbour (columns). The last
            column counts all other labels, and is left out if it is empty.
        title: Title of the plot.
        format: As for `canvas.render`.
    """
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    names = [plain(name, 28) for name in names]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    side = max(0.34 * len(names), 2.4)
    figure = new_figure(side + 3.0, side + 2.4)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    columns = [*names, "others"][: counts.shape[1]]
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set(title=title, xlabel="label of the nearest images", ylabel="label of the query image")
    if len(names) <= _MOST_WITH_NUMBERS:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.005:
                ink = "white" if share > 0.55 else INK
                axes.annotate(f"{100 * share:.0f}", (j, i), ha="center", va="center", fontsize=7, color=ink)
    return render(figure, format)
