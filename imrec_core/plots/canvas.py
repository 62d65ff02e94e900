"""Figures, colours and text of plots, and rendering to PNG or SVG. Needs no display."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imrec_core.errors import QueryError
from imrec_core.plots import fonts
from imrec_core.plots.contact_sheet import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

FORMATS = ("png", "svg")

_MISSING = r"Glyph (\d+) .* missing from font"

# Okabe and Ito 2008: safe for colour-blind readers. Grey replaces their yellow, which is invisible on white; darker
# colours come first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
BLUE, RED, GREEN = PALETTE[:3]
INK, FAINT = "#1e1e1e", "#8a8a8a"


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure of a size in inches, at 100 pixels per inch."""
    from matplotlib.figure import Figure  # takes 0.4 s, and few commands draw

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def render(figure: Figure, format: str = "png") -> bytes:
    """Render a figure to the bytes of a file; equal figures give equal bytes.

    Args:
        format: `png` or `svg`; text in an SVG stays text.

    Raises:
        QueryError: There is no such format.
    """
    from matplotlib import rc_context

    if format not in FORMATS:
        raise QueryError(f"unknown plot format {format!r}; expected {' or '.join(FORMATS)}")
    metadata = {"Date": None, "Creator": "imrec"} if format == "svg" else {"Software": "imrec"}

    def save() -> bytes:
        out = io.BytesIO()
        figure.savefig(out, format=format, metadata=metadata)
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


def stroke(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th line; line styles change when the colours are used up."""
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": ("-", "--", ":", "-.")[i // len(PALETTE) % 4]}


def remove_ticks(axes: Axes) -> None:
    """Remove ticks and tick labels, but keep the frame."""
    axes.set(xticks=(), yticks=())


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Create axes for `count` panels in rows of `columns`; the last row may be shorter."""
    rows = -(-count // columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]
