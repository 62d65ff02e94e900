"""Plots of what was measured, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any


def draw_curves(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Curves side by side, one to a picture.

    Args:
        curves: By title: `x` and `y`, lists of the same length, `x_label` and `y_label`. Of a list of several curves,
            `y` maps their names to lists.
    """
    from matplotlib.figure import Figure  # costs 0.4 s, and few commands draw

    figure = Figure(figsize=(4.2 * len(curves), 2.8), dpi=90, layout="constrained")
    for axes, (title, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        several = curve["y"] if isinstance(curve["y"], Mapping) else {"": curve["y"]}
        for name, values in several.items():
            axes.plot(curve["x"], values, label=name, marker="." if len(values) < 30 else None)
        axes.set(title=title, xlabel=curve["x_label"], ylabel=curve["y_label"])
        axes.grid(alpha=0.3)
        if len(several) > 1:
            axes.legend(fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def draw_precision_recall(curves: Mapping[str, Sequence[float]], recalls: Sequence[float], *, title: str = "") -> bytes:
    """Precision/recall curves of several features in one picture.

    Args:
        curves: Precision at each of the recalls, by name.
        recalls: Ascending, from 0 to 1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for i, (name, precisions) in enumerate(curves.items()):
        # The palette has ten colours; then other strokes tell the curves apart.
        axes.plot(recalls, precisions, label=name, linestyle=("-", "--", ":", "-.")[i // 10 % 4])
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
