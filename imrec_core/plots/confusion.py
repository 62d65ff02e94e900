"""Which labels are taken for which."""

from __future__ import annotations

import numpy as np

from imrec_core.confusion import Confusion
from imrec_core.plots.canvas import INK, new_figure, plain, written

_IN_NUMBERS = 26  # labels; of more the squares are too small to write in


def draw_confusion(found: Confusion, *, title: str = "", format: str = "png") -> bytes:
    """A row for each label that asks, a column for the label of its nearest images; shares of a row as shades.

    Darker is more. All other labels share the last column, which is left out where it is empty.
    """
    counts = found.counts if found.counts[:, -1].any() else found.counts[:, :-1]
    names = [plain(name, 28) for name in found.names]
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
