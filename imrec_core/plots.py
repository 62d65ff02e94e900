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


def draw_extraction(speeds: Sequence[float], reasons: Mapping[str, int]) -> bytes:
    """How fast shards were described, and beside it why images failed.

    Args:
        speeds: Images per second of each shard, in their order.
        reasons: Kinds of failure, with counts; without any they are left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4 if reasons else 4.2, 2.8), dpi=90, layout="constrained")
    left, *right = figure.subplots(1, 2 if reasons else 1, squeeze=False)[0]
    left.plot(range(1, len(speeds) + 1), speeds, marker="." if len(speeds) < 30 else None)
    left.set(title="speed of shards", xlabel="shard", ylabel="images per second", ylim=(0, None))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.grid(alpha=0.3)
    for axes in right:
        kinds = sorted(reasons, key=lambda kind: reasons[kind])
        bars = axes.barh(kinds, [reasons[kind] for kind in kinds], height=0.5, color="tab:red")
        axes.bar_label(bars, padding=2)
        axes.set(title="images that failed", xlabel="images")
        axes.margins(x=0.15)
        axes.xaxis.get_major_locator().set_params(integer=True)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def draw_precision_recall(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, tuple[float, float]] | None = None,
    steps: bool = False,
    title: str = "",
) -> bytes:
    """Precision/recall curves of several features in one picture.

    Args:
        curves: Recalls, ascending, and the precision at each of them, by name.
        marks: Recall and precision of a point to be seen on a curve, by its name.
        steps: A precision holds from the recall before it on, so that the area under a curve is average precision.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for i, (name, (recalls, precisions)) in enumerate(curves.items()):
        if steps:
            recalls, precisions = [0, *recalls], [precisions[0], *precisions]
        # The palette has ten colours; then other strokes tell the curves apart.
        stroke = ("-", "--", ":", "-.")[i // 10 % 4]
        (line,) = axes.plot(recalls, precisions, label=name, linestyle=stroke, drawstyle="steps" if steps else None)
        if marks and name in marks:
            axes.plot(*marks[name], "o", color=line.get_color(), clip_on=False)
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")  # inside it would hide curves
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
