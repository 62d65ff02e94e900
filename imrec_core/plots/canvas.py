"""What plots are drawn on, in which colours, and how they become PNG or SVG. No display is needed."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.contact_sheet import printable
from imrec_core.errors import QueryError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")

# Okabe and Ito 2008: told apart by people who are colour-blind too. Grey stands for their yellow, which is no line on
# white; the darker ones come first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
BLUE, RED, GREEN = PALETTE[:3]
INK, FAINT = "#1e1e1e", "#8a8a8a"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, 100 pixels each."""
    from matplotlib.figure import Figure  # costs 0.4 s, and few commands draw

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def written(figure: Figure, format: str = "png") -> bytes:
    """A figure as the bytes of a file, the same for the same figure.

    Args:
        format: `png` or `svg`; letters of an SVG stay letters.

    Raises:
        QueryError: Another format.
    """
    from matplotlib import rc_context

    if format not in FORMATS:
        raise QueryError(f"plots are drawn as {' or '.join(FORMATS)}, not as {format!r}")
    out = io.BytesIO()
    made_by = {"Date": None, "Creator": "imrec"} if format == "svg" else {"Software": "imrec"}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "imrec"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # a box stands for it
        figure.savefig(out, format=format, metadata=made_by)
    return out.getvalue()


def format_of(file: Path) -> str:
    """The format that the ending of a file's name stands for.

    Raises:
        QueryError: It stands for none that plots are drawn in.
    """
    format = file.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        raise QueryError(f"{file.name}: plots are written as {' or '.join(f'.{f}' for f in FORMATS)}")
    return format


def plain(text: str, length: int = 60) -> str:
    """A text that may hold anything, such as a file's name, as matplotlib is to write it: in one line, no formula."""
    shown = printable(text)
    if len(shown) > length:
        shown = f"{shown[: length // 2]}…{shown[-(length - length // 2 - 1) :]}"
    return shown.replace("$", r"\$")


def stroke(i: int) -> dict[str, Any]:
    """Colour and stroke of the i-th line: when the colours are used up, other strokes tell lines apart."""
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": ("-", "--", ":", "-.")[i // len(PALETTE) % 4]}


def without_ticks(axes: Axes) -> None:
    """Leave the frame of a picture, without numbers beside it."""
    axes.set(xticks=(), yticks=())


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Axes for so many panels in rows of `columns`; the last row may be shorter."""
    rows = -(-count // columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]
