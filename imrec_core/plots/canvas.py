"""What plots are drawn on, in which colours, and how they become PNG or SVG. No display is needed."""

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
    made_by = {"Date": None, "Creator": "imrec"} if format == "svg" else {"Software": "imrec"}

    def save() -> bytes:
        out = io.BytesIO()
        figure.savefig(out, format=format, metadata=made_by)
        return out.getvalue()

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "imrec"}):
        data, lacking = _noting_missing(save)
        paths = fonts.found_for(lacking) if format == "png" else []  # whoever shows an SVG has fonts of their own
        if paths:
            with _also_in(figure, fonts.families(paths)):
                data, _ = _noting_missing(save)
    return data


def laid_out(figure: Figure) -> None:
    """Find out where everything will be, before it is drawn."""
    _noting_missing(figure.draw_without_rendering)


def _noting_missing(act: Callable[[], T]) -> tuple[T, set[str]]:
    """What an act gives, and the characters for which it draws boxes, as no font has them."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.filterwarnings("always", _MISSING)
        done = act()
    found = [re.match(_MISSING, str(one.message)) for one in noted]
    for one, is_glyph in zip(noted, found, strict=True):
        if not is_glyph:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return done, {chr(int(glyph[1])) for glyph in found if glyph}


@contextmanager
def _also_in(figure: Figure, families: Sequence[str]) -> Iterator[None]:
    """Within, the words of a figure are written in these fonts, too, where their own lacks a character."""
    from matplotlib import rc_context, rcParams
    from matplotlib.text import Text

    words = {text: text.get_fontfamily() for text in figure.findobj(Text)}
    with rc_context({"font.family": [*rcParams["font.family"], *families]}):  # ticks are made while it is drawn
        for text, own in words.items():
            text.set_fontfamily([*own, *families])
        try:
            yield
        finally:
            for text, own in words.items():
                text.set_fontfamily(own)


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
    """A text that may hold anything, such as a file's name, as matplotlib is to write it: in one line, no formula.

    Args:
        length: In letters, at most; a wide one, as of Chinese, counts twice.
    """
    shown = whole = printable(text)
    kept = len(whole)
    while fonts.columns(shown) > length:
        kept -= 1
        shown = f"{whole[: (kept + 1) // 2]}…{whole[len(whole) - kept // 2 :]}"
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
