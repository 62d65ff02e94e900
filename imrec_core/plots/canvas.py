"""Figures with a heading, their panels, legends and text, and rendering to PNG or SVG. Needs no display."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imrec_core.errors import QueryError
from imrec_core.plots import fonts, style
from imrec_core.plots.style import PALETTE
from imrec_core.plots.text import printable, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

FORMATS = ("png", "svg")

_MISSING = r"Glyph (\d+) .* missing from font"
_PAD = 0.12  # inches between the edge of a figure and what is drawn
_TITLE_LINE, _ABOUT_LINE = 0.27, 0.22  # inches
_STROKES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))


def heading_height(title: str, about: str) -> float:
    """Return the height in inches that a heading adds to a figure."""
    return (_TITLE_LINE if title else 0) + (_ABOUT_LINE if about else 0) + (_PAD if title or about else 0)


def new_figure(width: float, height: float, *, title: str = "", about: str = "") -> Figure:
    """Create an empty figure with a heading at its upper left.

    Args:
        width, height: Size in inches, at 100 pixels on the page per inch. The heading adds to the height.
        title: What the figure shows.
        about: Of what: feature, number of images, generation. Both are shortened to the width.
    """
    from matplotlib.figure import Figure  # takes 0.4 s, and few commands draw

    lines = [
        (title, style.TITLE, style.INK, _TITLE_LINE),
        (about, style.TEXT, style.SOFT_INK, _ABOUT_LINE),
    ]
    heading = heading_height(title, about)
    figure = Figure(figsize=(width, height + heading), dpi=style.DPI, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=_PAD, h_pad=_PAD, rect=(0, 0, 1, height / (height + heading)))
    top = _PAD
    for text, size, colour, line in lines:
        if not text:
            continue
        shown = shorten(text, math.ceil(size * style.DPI / 72), (width - 2 * _PAD) * style.DPI).replace("$", r"\$")
        place = _PAD / width, 1 - top / (height + heading)
        figure.text(*place, shown, va="top", fontsize=size, color=colour).set_in_layout(False)
        top += line
    return figure


def render(figure: Figure, format: str = "png") -> bytes:
    """Render a figure to the bytes of a file; equal figures give equal bytes.

    Args:
        format: `png`, at two pixels per pixel on the page, or `svg`; text in an SVG stays text.

    Raises:
        QueryError: There is no such format.
    """
    from matplotlib import rc_context

    if format not in FORMATS:
        raise QueryError(f"unknown plot format {format!r}; expected {' or '.join(FORMATS)}")
    metadata = {"Date": None, "Creator": "imrec"} if format == "svg" else {"Software": "imrec"}

    def save() -> bytes:
        out = io.BytesIO()
        figure.savefig(out, format=format, metadata=metadata, dpi=style.DPI * style.SCALE)
        return out.getvalue()

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "imrec"}):
        data, lacking = _collect_missing_glyphs(save)
        paths = fonts.found_for(lacking) if format == "png" else []  # an SVG viewer uses its own fonts
        if paths:
            with _fallback_fonts(figure, fonts.families(paths)):
                data, _ = _collect_missing_glyphs(save)
    return data


def laid_out(figure: Figure) -> None:
    """Compute the layout of a figure without rendering it."""
    _collect_missing_glyphs(figure.draw_without_rendering)


def _collect_missing_glyphs(draw: Callable[[], T]) -> tuple[T, set[str]]:
    """Call a function that draws; return its result, and the characters that no font has."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _MISSING)
        result = draw()
    glyphs = [re.match(_MISSING, str(warning.message)) for warning in caught]
    for warning, glyph in zip(caught, glyphs, strict=True):
        if not glyph:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return result, {chr(int(glyph[1])) for glyph in glyphs if glyph}


@contextmanager
def _fallback_fonts(figure: Figure, families: Sequence[str]) -> Iterator[None]:
    """Add fallback fonts to all text of a figure within the block."""
    from matplotlib import rc_context, rcParams
    from matplotlib.text import Text

    texts = {text: text.get_fontfamily() for text in figure.findobj(Text)}
    with rc_context({"font.family": [*rcParams["font.family"], *families]}):  # tick labels are created while drawing
        for text, own in texts.items():
            text.set_fontfamily([*own, *families])
        try:
            yield
        finally:
            for text, own in texts.items():
                text.set_fontfamily(own)


def format_of(file: Path) -> str:
    """Derive the plot format from the suffix of a file name.

    Raises:
        QueryError: The suffix stands for no format of plots.
    """
    format = file.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        raise QueryError(f"{file.name}: plots are written as {' or '.join(f'.{f}' for f in FORMATS)}")
    return format


def plain(text: str, length: int = 60) -> str:
    """Prepare arbitrary text, such as a file name, for matplotlib: one line, without math markup.

    Args:
        length: Maximum number of columns; wide characters, such as Chinese, count twice.
    """
    shown = whole = printable(text)
    kept = len(whole)
    while fonts.columns(shown) > length:
        kept -= 1
        shown = f"{whole[: (kept + 1) // 2]}…{whole[len(whole) - kept // 2 :]}"
    return shown.replace("$", r"\$")


def legend_label(text: str, length: int = 36) -> str:
    """Prepare text for a legend, in which matplotlib omits labels that begin with an underscore."""
    shown = plain(text, length)
    return f" {shown}" if shown.startswith("_") else shown


def legend_beside(axes: Axes, **options: Any) -> None:
    """Draw the legend of axes at their right, where it hides no data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, **options)


def legend_below(figure: Figure) -> None:
    """Draw one legend for all axes of a figure below them, with each label once."""
    found = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), 4))


def stroke(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th line; line styles change when the colours are used up."""
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": _STROKES[i // len(PALETTE) % len(_STROKES)]}


def remove_ticks(axes: Axes) -> None:
    """Remove ticks, tick labels and the frame."""
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Create axes for `count` panels in rows of `columns`; the last row may be shorter."""
    rows = -(-count // columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]
