"""Lines of text in images: printable, shortened in the middle to a width in pixels."""

from __future__ import annotations

from PIL import ImageDraw

from imrec_core.plots import fonts
from imrec_core.plots.style import INK, rgb
from imrec_core.runtime.text import escaped


def write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: float,
    *,
    size: int = 15,
    ink: tuple[int, int, int] = rgb(INK),
) -> None:
    """Draw one line of text, shortened to a width in pixels; unprintable characters become spaces."""
    fonts.draw(pen, place, shorten(text, size, width), size, ink)


def length(text: str, size: int) -> float:
    """Measure the width of a text in pixels, as `write` draws it if there is room."""
    return fonts.length(printable(text), size)


def printable(text: str) -> str:
    """Convert any text, such as a file name, to one line; unprintable characters become spaces."""
    return "".join(c if c.isprintable() else " " for c in fonts.composed(escaped(text)))


def shorten(text: str, size: int, width: float) -> str:
    """Replace the middle of a printable text by an ellipsis if the text is wider than `width` pixels."""
    text = printable(text)
    keep = len(text)
    shorter = text
    while fonts.length(shorter, size) > width and keep > 4:
        keep -= 1
        shorter = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return shorter
