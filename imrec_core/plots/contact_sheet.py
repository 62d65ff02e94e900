"""A picture of a search, as pixels or as SVG: the query, then its hits, each with its score."""

from __future__ import annotations

import base64
import html
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode_file
from imrec_core.lake.storage.files import AnyPath
from imrec_core.plots import fonts
from imrec_core.runtime.text import escaped

_CELL, _LABEL, _GAP = 200, 40, 8  # pixels
_TITLE, _NAME, _LINE = 17, 14, 18  # heights of letters, and of a line of them
GONE = "no longer readable"
PAPER, INK, FRAME = (255, 255, 255), (30, 30, 30), (200, 60, 40)


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: its file or the picture itself, and lines of text below."""

    picture: AnyPath | Image.Image
    lines: tuple[str, ...]
    framed: bool = False


Rows = Sequence[tuple[str, Sequence[Cell]]]
"""Cells, each row of them under its heading."""


def draw(rows: Rows, *, columns: int = 6) -> Image.Image:
    """Rows of cells, each row under its heading; a row of more than `columns` cells goes on in the next line.

    A heading that is longer than its row makes the sheet wider, up to `columns` cells.
    """
    laid = _Layout.of(rows, columns)
    sheet = Image.new("RGB", laid.size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for top, title in laid.headings:
        write(pen, (_GAP, top), title, sheet.width - 2 * _GAP, size=_TITLE)
    for (x, y), cell in laid.cells:
        _paste(sheet, pen, cell, x, y)
        for n, line in enumerate(cell.lines[:2]):
            write(pen, (x, y + _CELL + 3 + _LINE * n), line, _CELL, size=_NAME)
    return sheet


def draw_svg(rows: Rows, *, columns: int = 6) -> str:
    """The same as SVG: words can be searched and selected, a name that is cut short is shown whole when pointed at."""
    laid = _Layout.of(rows, columns)
    width, height = laid.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" fill="{_hex(INK)}">',
        f'<rect width="{width}" height="{height}" fill="{_hex(PAPER)}"/>',
    ]
    for top, title in laid.headings:
        parts.append(_svg_text(_GAP, top, title, width - 2 * _GAP, _TITLE))
    for (x, y), cell in laid.cells:
        parts.append(_svg_picture(cell, x, y))
        parts += [_svg_text(x, y + _CELL + 3 + _LINE * n, line, _CELL, _NAME) for n, line in enumerate(cell.lines[:2])]
    return "\n".join([*parts, "</svg>", ""])


def save(rows: Rows, file: str | os.PathLike[str]) -> None:
    """Write a sheet in the format that the ending of the file's name says: SVG, or a format of Pillow's such as PNG.

    Raises:
        OSError, ValueError: It cannot be written, or no format has that ending.
    """
    if Path(file).suffix.lower() == ".svg":
        Path(file).write_text(draw_svg(rows), "utf-8")
    else:
        draw(rows).save(file)


@dataclass(frozen=True)
class _Layout:
    """Where everything is on a sheet, in pixels: the top of each heading, the corner of each cell."""

    size: tuple[int, int]
    headings: list[tuple[int, str]]
    cells: list[tuple[tuple[int, int], Cell]]

    @classmethod
    def of(cls, rows: Rows, columns: int) -> _Layout:
        step_x, step_y, heading = _CELL + _GAP, _CELL + _LABEL + _GAP, 26
        widest = max(
            [len(cells) * step_x for _, cells in rows] + [_length(title) + _GAP for title, _ in rows], default=0
        )
        headings, placed, top = [], [], _GAP
        for title, cells in rows:
            headings.append((top, title))
            for i, cell in enumerate(cells):
                placed.append(((_GAP + i % columns * step_x, top + heading + i // columns * step_y), cell))
            top += heading + -(-len(cells) // columns) * step_y
        return cls((min(max(widest, step_x), columns * step_x) + _GAP, top), headings, placed)


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    picture = opened(cell.picture, _CELL)
    if picture is None:
        pen.rectangle((x, y, x + _CELL, y + _CELL), outline=INK)
        write(pen, (x + 10, y + _CELL // 2), GONE, _CELL - 20)
        return
    left, top = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
    sheet.paste(picture, (left, top))
    if cell.framed:
        pen.rectangle((x - 3, y - 3, x + _CELL + 2, y + _CELL + 2), outline=FRAME, width=3)


def _svg_picture(cell: Cell, x: int, y: int) -> str:
    picture = opened(cell.picture, _CELL)
    box = f'x="{x}" y="{y}" width="{_CELL}" height="{_CELL}"'
    if picture is None:
        return f'<rect {box} fill="none" stroke="{_hex(INK)}"/>' + _svg_text(
            x + 10, y + _CELL // 2, GONE, _CELL - 20, _NAME
        )
    name = html.escape(printable(" ".join(cell.lines)))
    # Smaller pictures stay as small as they are, in the middle of their cell.
    left, top = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
    place = f'x="{left}" y="{top}" width="{picture.width}" height="{picture.height}"'
    shown = f'<image {place} href="{as_data_uri(picture)}"><title>{name}</title></image>'
    frame = f'<rect {box} fill="none" stroke="{_hex(FRAME)}" stroke-width="3"/>' if cell.framed else ""
    return shown + frame


def _svg_text(x: int, y: int, text: str, width: float, size: int) -> str:
    shown = html.escape(_clipped(printable(text), size, width))
    return f'<text x="{x}" y="{y + size}" font-size="{size}">{shown}</text>'


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


# -- pictures -----------------------------------------------------------------------------------------------


def opened(picture: AnyPath | Image.Image, side: int) -> Image.Image | None:
    """A picture in RGB, at most `side` pixels wide and high; None for a file that is gone or broken by now."""
    if isinstance(picture, Image.Image):
        small = picture.convert("RGB")
    else:
        try:
            small = Image.fromarray(decode_file(picture, min_side=side).pixels[..., :3].copy())
        except ImageError:
            return None
    small.thumbnail((side, side))
    return small


def as_data_uri(picture: Image.Image, *, quality: int = 85) -> str:
    """A picture as a JPEG inside of its own address, for SVG and HTML without other files."""
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


# -- words --------------------------------------------------------------------------------------------------


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
    fonts.draw(pen, place, _clipped(printable(text), size, width), size, ink)


def _length(title: str) -> int:
    return math.ceil(fonts.length(printable(title), _TITLE))


def printable(text: str) -> str:
    """A text that may hold anything, such as a file's name, in one line; what cannot be printed is a space."""
    return "".join(c if c.isprintable() else " " for c in fonts.composed(escaped(text)))


def _clipped(text: str, size: int, width: float) -> str:
    """`text` with its middle left out where it is wider than that many pixels."""
    keep = len(text)
    shorter = text
    while fonts.length(shorter, size) > width and keep > 4:
        keep -= 1
        shorter = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return shorter
