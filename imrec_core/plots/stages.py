"""Plot of the time that runs take, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imrec_core.plots.canvas import legend_beside, legend_label, new_figure, plain, render
from imrec_core.plots.style import FAINT, LINE, PALETTE, PAPER, TEXT, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 44  # longest name of a run
_BAR, _LEGEND, _AROUND = 0.26, 0.19, 0.95  # inches: a bar, a line of a legend, title and axis of a panel
_HATCHES = ("", "////", "....", "xxxx")  # of stages beyond the eight colours


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


@styled
def draw_stages(panels: Sequence[Times], *, about: str = "", format: str = "png") -> bytes:
    """Plot stacked bars of stage times, one panel below another.

    Args:
        panels: Panels from top to bottom.
        about: Line below the title.
        format: As for `canvas.render`.
    """
    heights = [max(_BAR * max(len(panel.bars), 2), _LEGEND * len(_stages(panel))) for panel in panels]
    figure = new_figure(11.0, sum(heights) + _AROUND * len(panels), title="Time by stage", about=about)
    every = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel, height in zip(every, panels, heights, strict=True):
        _draw_bars(axes, panel)
        top = len(panel.bars) - 0.4
        axes.set(title=plain(panel.title), xlabel=plain(panel.unit), ylim=(top - height / _BAR, top))
        axes.grid(axis="x")
    return render(figure, format)


def _stages(panel: Times) -> list[str]:
    """Return the stages of all bars, in the order in which they first appear; `other` is the last."""
    stages = dict.fromkeys(stage for _, parts in panel.bars for stage in parts)
    return sorted(stages, key=lambda stage: stage == "other")


def _look(i: int, stage: str) -> dict[str, Any]:
    """Return colour and hatching of the i-th stage; the rest is light grey."""
    if stage == "other":
        return {"color": LINE}
    return {"color": PALETTE[i % len(PALETTE)], "hatch": _HATCHES[i // len(PALETTE) % len(_HATCHES)]}


def _draw_bars(axes: Axes, panel: Times) -> None:
    """Draw the first bar on top, with one colour per stage."""
    ends = np.zeros(len(panel.bars))
    places = np.arange(len(panel.bars))[::-1]
    for i, stage in enumerate(_stages(panel)):
        times = np.array([parts.get(stage, 0.0) for _, parts in panel.bars])
        label = legend_label(stage, _LETTERS)
        axes.barh(places, times, left=ends, height=0.7, label=label, edgecolor=PAPER, linewidth=0, **_look(i, stage))
        ends += times
    for place, end in zip(places, ends, strict=True):
        axes.annotate(f" {end:,.0f}" if end >= 100 else f" {end:.3g}", (end, place), va="center", fontsize=TEXT)
    axes.set_yticks(places, [plain(name, _LETTERS) for name, _ in panel.bars])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(FAINT)
    axes.set_xlim(0, 1.12 * ends.max(initial=1e-3))  # room for the number
    axes.xaxis.set_major_formatter("{x:,g}")
    legend_beside(axes)
