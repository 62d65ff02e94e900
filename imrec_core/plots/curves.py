"""Plots of curves and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imrec_core.plots.canvas import PALETTE, RED, new_figure, plain, render, stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curves(curves: Mapping[str, Mapping[str, Any]], *, format: str = "png") -> bytes:
    """Plot curves in panels side by side.

    Args:
        curves: By panel title: `x` and `y`, lists of equal length, and `x_label` and `y_label`. For several curves in
            a panel, `y` maps their names to lists, and `x` may do so too.
        format: As for `canvas.render`.
    """
    figure = new_figure(4.2 * len(curves), 2.8)
    for axes, (title, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        several = curve["y"] if isinstance(curve["y"], Mapping) else {"": curve["y"]}
        for i, (name, values) in enumerate(several.items()):
            x = curve["x"][name] if isinstance(curve["x"], Mapping) else curve["x"]
            axes.plot(x, values, label=plain(name), marker="." if len(values) < 30 else None, **stroke(i))
        axes.set(title=title, xlabel=curve["x_label"], ylabel=curve["y_label"])
        axes.grid(alpha=0.3)
        if len(several) > 1:
            axes.legend(fontsize="small")
    return render(figure, format)


def draw_extraction(speeds: Sequence[float], reasons: Mapping[str, int], *, format: str = "png") -> bytes:
    """Plot the extraction speed of shards, and the reasons why images failed.

    Args:
        speeds: Images per second of each shard, in order.
        reasons: Number of images by kind of failure; if empty, the panel is left out.
        format: As for `canvas.render`.
    """
    figure = new_figure(8.4 if reasons else 4.2, 2.8)
    left, *right = figure.subplots(1, 2 if reasons else 1, squeeze=False)[0]
    left.plot(range(1, len(speeds) + 1), speeds, marker="." if len(speeds) < 30 else None, **stroke(0))
    left.set(title="speed of shards", xlabel="shard", ylabel="images per second", ylim=(0, None))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.grid(alpha=0.3)
    for axes in right:
        kinds = sorted(reasons, key=lambda kind: reasons[kind])
        bars = axes.barh(kinds, [reasons[kind] for kind in kinds], height=0.5, color=RED)
        axes.bar_label(bars, padding=2)
        axes.set(title="images that failed", xlabel="images")
        axes.margins(x=0.15)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return render(figure, format)


def draw_precision_recall(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, tuple[float, float]] | None = None,
    steps: bool = False,
    title: str = "",
    format: str = "png",
) -> bytes:
    """Plot precision/recall curves of several features.

    Args:
        curves: By name: recalls, ascending, and the precision at each of them.
        marks: By name of a curve: recall and precision of a point to mark.
        steps: Draw steps from each recall to the next, so that the area under a curve is average precision.
        format: As for `canvas.render`.
    """
    figure = new_figure(8.4, 4.2)
    axes = figure.subplots()
    for i, (name, (recalls, precisions)) in enumerate(curves.items()):
        if steps:
            recalls, precisions = [0, *recalls], [precisions[0], *precisions]
        (line,) = axes.plot(recalls, precisions, label=plain(name), drawstyle="steps" if steps else None, **stroke(i))
        if marks and name in marks:
            axes.plot(*marks[name], "o", color=line.get_color(), clip_on=False)
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")  # inside it would hide curves
    return render(figure, format)


@dataclass(frozen=True)
class EfCurve:
    """Recall and speed of one HNSW graph over ef.

    Attributes:
        efs, recalls, rates: Values of ef, ascending; recall@10 and queries per second at each of them.
        in_use: Value of ef that searches use.
    """

    efs: Sequence[int]
    recalls: Sequence[float]
    rates: Sequence[float]
    in_use: int | None = None


def draw_recall_by_ef(graphs: Mapping[str, EfCurve], *, format: str = "png") -> bytes:
    """Plot recall@10 of HNSW graphs over ef and over queries per second; dots mark the values in use.

    Args:
        graphs: Measurements by name of the graph.
        format: As for `canvas.render`.
    """
    figure = new_figure(9.6, 3.6)
    by_ef, by_rate = figure.subplots(1, 2, sharey=True)
    for i, (name, found) in enumerate(graphs.items()):
        for axes, x in ((by_ef, found.efs), (by_rate, found.rates)):
            axes.plot(x, found.recalls, marker=".", label=plain(name) if axes is by_ef else None, **stroke(i))
            for at in (n for n, ef in enumerate(found.efs) if ef == found.in_use):
                axes.plot(x[at], found.recalls[at], "o", markersize=9, color=PALETTE[i % len(PALETTE)])
    by_ef.set(xlabel="ef", ylabel="recall@10", xscale="log")
    by_ef.set_xticks(ticks := sorted({ef for found in graphs.values() for ef in found.efs}), [str(t) for t in ticks])
    by_ef.minorticks_off()
    by_rate.set(xlabel="queries per second, one thread")
    least = min(recall for found in graphs.values() for recall in found.recalls)
    by_ef.set_ylim(min(0.9, least - 0.02), 1.005)
    for axes in (by_ef, by_rate):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    return render(figure, format)


@dataclass(frozen=True)
class Times:
    """Durations of runs of one kind.

    Attributes:
        title: Title of the panel.
        unit: Unit of the times.
        bars: Names of the runs, the latest last, with the time of each stage.
    """

    title: str
    unit: str
    bars: Sequence[tuple[str, Mapping[str, float]]]


def draw_stages(panels: Sequence[Times], *, format: str = "png") -> bytes:
    """Plot stacked bars of stage times, one panel below another.

    Args:
        panels: Panels from top to bottom.
        format: As for `canvas.render`.
    """
    lines = [max(len(panel.bars), 2) for panel in panels]
    figure = new_figure(9.6, sum(1.0 + 0.26 * count for count in lines))
    every = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[count + 2 for count in lines])[:, 0]
    for axes, panel, count in zip(every, panels, lines, strict=True):
        _draw_bars(axes, panel.bars)
        axes.set(title=panel.title, xlabel=panel.unit, ylim=(-0.6, count - 0.4))
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    return render(figure, format)


def _draw_bars(axes: Axes, bars: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    """Draw the first bar on top, with one colour per stage."""
    stages = list(dict.fromkeys(stage for _, parts in bars for stage in parts))
    ends = np.zeros(len(bars))
    places = np.arange(len(bars))[::-1]
    for i, stage in enumerate(stages):
        times = np.array([parts.get(stage, 0.0) for _, parts in bars])
        axes.barh(places, times, left=ends, height=0.7, color=PALETTE[i % len(PALETTE)], label=plain(stage))
        ends += times
    for place, end in zip(places, ends, strict=True):
        axes.annotate(f" {end:.0f}" if end >= 100 else f" {end:.3g}", (end, place), va="center", fontsize="small")
    axes.set_yticks(places, [plain(name, 32) for name, _ in bars], fontsize="small")
    axes.set_xlim(0, 1.12 * ends.max(initial=1e-3))  # room for the number
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
