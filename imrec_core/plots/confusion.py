"""Plot of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.plots.canvas import new_figure, plain, render
from imrec_core.plots.style import INK, LINE, PAPER, SMALL, styled

_MOST_WITH_NUMBERS = 26  # classes; with more, the squares are too small for numbers
_LETTERS = 28  # longest name of a class


@styled
def draw_confusion(
    names: Sequence[str],
    counts: NDArray[np.int64],
    *,
    queries: Sequence[int] | None = None,
    title: str = "Confusion matrix",
    about: str = "",
    format: str = "png",
) -> bytes:
    """Plot a confusion matrix in % of each row; darker is more, and the diagonal is right.

    Args:
        names: The `n` labels.
        counts: Nearest images `(n, n + 1)` by label of the query (rows) and label of its neighbour (columns). The last
            column counts all other labels, and is left out if it is empty.
        queries: Number of query images of each label, shown beside its name.
        title, about: Heading.
        format: As for `canvas.render`.
    """
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(1)
    side = max(0.34 * len(names), 2.4)
    figure = new_figure(side + 3.6, side + 1.9, title=title, about=about)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    shown = [plain(name, _LETTERS) for name in names]
    rows = shown if queries is None else [f"{name}  ({n:,})" for name, n in zip(shown, queries, strict=True)]
    columns = [*shown, "other labels"][: counts.shape[1]]
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(names)), rows)
    asked = "label of the query image" if queries is None else "label of the query image (query images)"
    axes.set(xlabel="label of the nearest images", ylabel=asked)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color=LINE)
    figure.colorbar(image, ax=axes, label="% of the nearest images of a row", shrink=0.7, aspect=30)
    if len(names) <= _MOST_WITH_NUMBERS:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.5:
                ink = PAPER if share > 55 else INK
                axes.annotate(f"{share:.0f}", (j, i), ha="center", va="center", fontsize=SMALL, color=ink)
    return render(figure, format)
