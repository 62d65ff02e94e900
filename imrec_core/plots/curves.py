"""Plots of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imrec_core.plots.canvas import legend_beside, legend_label, new_figure, plain, render, stroke
from imrec_core.plots.style import PALETTE, RED, styled

_FEW = 30  # points of a curve, each with a dot
_LEGEND = 2.6  # inches for a legend beside curves


@styled
def draw_curves(
    curves: Mapping[str, Mapping[str, Any]], *, title: str = "", about: str = "", format: str = "png"
) -> bytes:
    """Plot curves in panels side by side.

    Args:
        curves: By panel title: `x` and `y`, lists of equal length, and `x_label` and `y_label`. For several curves in
            a panel, `y` maps their names to lists, and `x` may do so too.
        title, about: Heading.
        format: As for `canvas.render`.
    """
    legends = sum(isinstance(curve["y"], Mapping) and len(curve["y"]) > 1 for curve in curves.values())
    figure = new_figure(4.6 * len(curves) + _LEGEND * legends, 2.9, title=title, about=about)
    for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        several = curve["y"] if isinstance(curve["y"], Mapping) else {"": curve["y"]}
        for i, (label, values) in enumerate(several.items()):
            x = curve["x"][label] if isinstance(curve["x"], Mapping) else curve["x"]
            axes.plot(x, values, label=legend_label(label), marker="." if len(values) < _FEW else None, **stroke(i))
        axes.set(title=plain(name), xlabel=curve["x_label"], ylabel=curve["y_label"])
        axes.grid()
        if len(several) > 1:
            legend_beside(axes)
    return render(figure, format)


@styled
def draw_extraction(
    speeds: Sequence[float], reasons: Mapping[str, int], *, about: str = "", format: str = "png"
) -> bytes:
    """Plot the extraction speed of shards, and the reasons why images failed.

    Args:
        speeds: Images per second of each shard, in order.
        reasons: Number of images by kind of failure; if empty, the panel is left out.
        about: Line below the title.
        format: As for `canvas.render`.
    """
    figure = new_figure(9.2 if reasons else 4.6, 2.9, title="Feature extraction", about=about)
    left, *right = figure.subplots(1, 2 if reasons else 1, squeeze=False)[0]
    left.plot(range(1, len(speeds) + 1), speeds, marker="." if len(speeds) < _FEW else None, **stroke(0))
    left.set(title="speed of shards", xlabel="shard", ylabel="images per second", ylim=(0, None))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.grid()
    for axes in right:
        kinds = sorted(reasons, key=lambda kind: reasons[kind])
        bars = axes.barh([plain(kind, 32) for kind in kinds], [reasons[kind] for kind in kinds], height=0.5, color=RED)
        axes.bar_label(bars, padding=2)
        axes.set(title="images that failed, by reason", xlabel="images")
        axes.margins(x=0.15)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return render(figure, format)


@styled
def draw_precision_recall(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, tuple[float, float]] | None = None,
    notes: Mapping[str, str] | None = None,
    steps: bool = False,
    title: str = "Precision over recall",
    about: str = "",
    legend: str | None = None,
    format: str = "png",
) -> bytes:
    """Plot precision/recall curves of several features.

    Args:
        curves: By name: recalls, ascending, and the precision at each of them.
        marks: By name of a curve: recall and precision of a point to mark.
        notes: By name of a curve: its average precision, with an interval where it has one, as the legend shows it.
        steps: Draw steps from each recall to the next, so that the area under a curve is average precision.
        title, about: Heading.
        legend: Title of the legend.
        format: As for `canvas.render`.
    """
    figure = new_figure(9.6, 4.4, title=title, about=about)
    axes = figure.subplots()
    for i, (name, (recalls, precisions)) in enumerate(curves.items()):
        if steps:
            recalls, precisions = [0, *recalls], [precisions[0], *precisions]
        label = legend_label(name) + (f"\n{plain(notes[name])}" if notes and name in notes else "")
        (line,) = axes.plot(recalls, precisions, label=label, drawstyle="steps" if steps else None, **stroke(i))
        if marks and name in marks:
            axes.plot(*marks[name], "o", color=line.get_color(), clip_on=False)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid()
    legend_beside(axes, title=legend, alignment="left", labelspacing=0.7)  # on the axes it would hide curves
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


@styled
def draw_recall_by_ef(graphs: Mapping[str, EfCurve], *, about: str = "", format: str = "png") -> bytes:
    """Plot recall@10 of HNSW graphs over ef and over queries per second; dots mark the values in use.

    Args:
        graphs: Measurements by name of the graph.
        about: Line below the title.
        format: As for `canvas.render`.
    """
    figure = new_figure(10.6, 3.7, title="Recall of the HNSW graphs; a large dot is the ef in use", about=about)
    by_ef, by_rate = figure.subplots(1, 2, sharey=True)
    for i, (name, found) in enumerate(graphs.items()):
        for axes, x in ((by_ef, found.efs), (by_rate, found.rates)):
            axes.plot(x, found.recalls, marker=".", label=legend_label(name), **stroke(i))
            for at in (n for n, ef in enumerate(found.efs) if ef == found.in_use):
                axes.plot(x[at], found.recalls[at], "o", markersize=9, color=PALETTE[i % len(PALETTE)])
    by_ef.set(xlabel="ef, the number of candidates of a search", ylabel="recall@10", xscale="log")
    ticks = sorted({ef for found in graphs.values() for ef in found.efs})
    by_ef.set_xticks(ticks, [str(tick) for tick in ticks])
    by_ef.minorticks_off()
    by_rate.set(xlabel="queries per second, one thread")
    by_rate.xaxis.set_major_formatter("{x:,.0f}")
    least = min(recall for found in graphs.values() for recall in found.recalls)
    by_ef.set_ylim(min(0.9, least - 0.02), 1.005)
    for axes in (by_ef, by_rate):
        axes.grid()
    legend_beside(by_rate)
    return render(figure, format)
