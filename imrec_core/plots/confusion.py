"""Which labels are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.plots.canvas import INK, new_figure, plain, written

_IN_NUMBERS = 26  # labels; of more the squares are too small to write in


def draw_confusion(names: Sequence[str], counts: NDArray[np.int64], *, title: str = "", format: str = "png") -> bytes:
    """Draw a confusion matrix, each row as shares of its sum: darker is more.

    Args:
        names: Labels, `n` of them.
        counts: Nearest images `(n, n + 1)`: a row for the label that asks, a column for the label of its neighbours;
            the last column, for all other labels, is left out where it is empty.
    """
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    names = [plain(name, 28) for name in names]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    side = max(0.34 * len(names), 2.4)
    figure = new_figure(side + 3.0, side + 2.4)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    beside = [*names, "others"][: counts.shape[1]]
    axes.set_xticks(range(len(beside)), beside, rotation=90, fontsize="small")
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set(title=title, xlabel="of this label are the nearest images", ylabel="label of the image that asks")
    if len(names) <= _IN_NUMBERS:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.005:
                ink = "white" if share > 0.55 else INK
                axes.annotate(f"{100 * share:.0f}", (j, i), ha="center", va="center", fontsize=7, color=ink)
    return written(figure, format)
