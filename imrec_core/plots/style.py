"""The common style of plots and contact sheets: colours, font sizes and lines, those of the page in light mode.

`tests/plots/test_style.py` compares the colours with `web/static/style.css`, and checks that colour-blind readers can
tell the series apart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Rgb = tuple[int, int, int]

PAPER, SUNKEN, INK, SOFT_INK, LINE = "#ffffff", "#ececf1", "#1b1c22", "#5b5d6b", "#d9dae2"
LIKE, UNLIKE = "#1b7a4b", "#b3261e"  # always with a sign, + and −, because they look alike to some readers

# Near those of Okabe and Ito 2008, each at least 3:1 on white. Under simulated deuteranopia, protanopia and tritanopia
# (Machado 2009) the first four are at least 30 apart in CIELAB, all eight at least 15. The page had a pair 6 apart.
PALETTE = ("#153ea8", "#be4e00", "#169468", "#c36cb9", "#cf8300", "#089ae9", "#58361c", "#707d85")
BLUE, RED, GREEN = PALETTE[:3]
FAINT = "#8a8a8a"

SCALE = 2
"""Pixels of a PNG per pixel on the page, for sharp text on dense screens."""

DPI = 100
"""Pixels on the page per inch of a figure."""

TITLE, PANEL, TEXT, SMALL = 13.0, 10.5, 9.0, 8.0
"""Font sizes in points: of the title of a figure, of a panel, of labels, and inside cells."""

_RC: dict[Any, Any] = {  # a name of matplotlib: its value
    "font.size": TEXT,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": SOFT_INK,
    "axes.labelsize": TEXT,
    "axes.titlesize": PANEL,
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": SOFT_INK,
    "ytick.labelcolor": SOFT_INK,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "legend.title_fontsize": TEXT,
    "lines.linewidth": 1.8,
}

_STYLING = threading.RLock()  # matplotlib's settings are global: without it, two threads could restore each other's


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Run a function that draws with the common style, and restore the settings of matplotlib afterwards."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> T:
        from matplotlib import rc_context  # takes 0.4 s, and few commands draw

        with _STYLING, rc_context(_RC):
            return draw(*args, **kwargs)

    return draw_in_style


def rgb(colour: str) -> Rgb:
    """Convert `#rrggbb` to red, green and blue, 0 to 255."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
