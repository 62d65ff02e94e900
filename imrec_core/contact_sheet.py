"""A picture of a search: the query, then its hits, each with its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imrec_core.catalog import escaped
from imrec_core.decode import decode_file
from imrec_core.errors import ImageError
from imrec_core.storage import AnyPath

_CELL, _LABEL, _GAP = 200, 40, 8  # pixels
_TITLE, _NAME = 17, 14  # heights of letters
PAPER, INK, FRAME = (255, 255, 255), (30, 30, 30), (200, 60, 40)


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: its file or the picture itself, and lines of text below."""

    picture: AnyPath | Image.Image
    lines: tuple[str, ...]
    framed: bool = False


def draw(rows: Sequence[tuple[str, Sequence[Cell]]], *, columns: int = 6) -> Image.Image:
    """Rows of cells, each row under its heading; a row of more than `columns` cells goes on in the next line.

    A heading that is longer than its row makes the sheet wider, up to `columns` cells.
    """
    step_x, step_y, heading = _CELL + _GAP, _CELL + _LABEL + _GAP, 26
    lines = [-(-len(cells) // columns) for _, cells in rows]
    widest = max([len(cells) * step_x for _, cells in rows] + [_length(title) + _GAP for title, _ in rows], default=0)
    height = sum(heading + n * step_y for n in lines)
    sheet = Image.new("RGB", (min(max(widest, step_x), columns * step_x) + _GAP, height + _GAP), PAPER)
    pen, top = ImageDraw.Draw(sheet), _GAP
    for (title, cells), count in zip(rows, lines, strict=True):
        write(pen, (_GAP, top), title, sheet.width - 2 * _GAP, size=_TITLE)
        for i, cell in enumerate(cells):
            x, y = _GAP + (i % columns) * step_x, top + heading + (i // columns) * step_y
            _paste(sheet, pen, cell, x, y)
            for n, line in enumerate(cell.lines[:2]):
                write(pen, (x, y + _CELL + 3 + 18 * n), line, _CELL, size=_NAME)
        top += heading + count * step_y
    return sheet


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    picture = _opened(cell.picture)
    if picture is None:
        pen.rectangle((x, y, x + _CELL, y + _CELL), outline=INK)
        write(pen, (x + 10, y + _CELL // 2), "no longer readable", _CELL - 20)
        return
    picture.thumbnail((_CELL, _CELL))
    left, top = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
    sheet.paste(picture, (left, top))
    if cell.framed:
        pen.rectangle((x - 3, y - 3, x + _CELL + 2, y + _CELL + 2), outline=FRAME, width=3)


def _opened(picture: AnyPath | Image.Image) -> Image.Image | None:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    try:
        decoded = decode_file(picture, min_side=_CELL)
    except ImageError:
        return None
    return Image.fromarray(decoded.pixels[..., :3].copy())


def write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    *,
    size: int = 15,
    ink: tuple[int, int, int] = INK,
) -> None:
    """One line of text, shortened to a width; what is not to be printed, such as a line's end, is a space."""
    font = _font(size)
    pen.text(place, _clipped(_printable(text), font, width), ink, font=font)


def _length(title: str) -> int:
    return math.ceil(_font(_TITLE).getlength(_printable(title)))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in escaped(text))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own font lacks ü, ×, … and all that is not Latin."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _clipped(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text` with its middle left out where it is wider than that many pixels."""
    keep = len(text)
    shorter = text
    while font.getlength(shorter) > width and keep > 4:
        keep -= 1
        shorter = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return shorter
