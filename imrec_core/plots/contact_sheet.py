"""Contact sheets: rows of captioned images, such as a query and its hits, as pixels or as SVG."""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode_file
from imrec_core.images.thumbnails import encode_jpeg, scale_to_fit
from imrec_core.lake.storage.files import AnyPath
from imrec_core.plots import fonts
from imrec_core.runtime.text import escaped

_CELL, _LABEL, _GAP = 200, 40, 8  # pixels
_TITLE, _NAME, _LINE = 17, 14, 18  # font sizes of a heading and of a caption, height of a line
GONE = "no longer readable"
PAPER, INK, FRAME = (255, 255, 255), (30, 30, 30), (200, 60, 40)


@dataclass(frozen=True)
class Cell:
    """Image of a sheet with its caption.

    Attributes:
        image: File, or open Pillow image.
        lines: Caption; a sheet draws the first two lines.
        framed: Whether the image has a frame, as queries do.
    """

    image: AnyPath | Image.Image
    lines: tuple[str, ...]
    framed: bool = False


Rows = Sequence[tuple[str, Sequence[Cell]]]
"""Headings, each with the cells below it."""


def draw(rows: Rows, *, columns: int = 6) -> Image.Image:
    """Draw rows of cells, each under its heading, in lines of at most `columns` cells.

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
    """Draw the same sheet as SVG, with text that can be searched and selected.

    Tooltips show shortened captions in full.
    """
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
        parts.append(_svg_image(cell, x, y))
        parts += [_svg_text(x, y + _CELL + 3 + _LINE * n, line, _CELL, _NAME) for n, line in enumerate(cell.lines[:2])]
    return "\n".join([*parts, "</svg>", ""])


def save(rows: Rows, file: str | os.PathLike[str]) -> None:
    """Write a sheet in the format of the file name's suffix: SVG, or a format that Pillow writes, such as PNG.

    Raises:
        OSError: The file cannot be written.
        ValueError: No format has that suffix.
    """
    if Path(file).suffix.lower() == ".svg":
        Path(file).write_text(draw_svg(rows), "utf-8")
    else:
        draw(rows).save(file)


@dataclass(frozen=True)
class _Layout:
    """Layout of a sheet in pixels.

    Attributes:
        size: Width and height.
        headings: Top of each heading, with its text.
        cells: Left and top of each cell, with the cell.
    """

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
    image = load_image(cell.image, _CELL)
    if image is None:
        pen.rectangle((x, y, x + _CELL, y + _CELL), outline=INK)
        write(pen, (x + 10, y + _CELL // 2), GONE, _CELL - 20)
        return
    left, top = x + (_CELL - image.width) // 2, y + (_CELL - image.height) // 2
    sheet.paste(image, (left, top))
    if cell.framed:
        pen.rectangle((x - 3, y - 3, x + _CELL + 2, y + _CELL + 2), outline=FRAME, width=3)


def _svg_image(cell: Cell, x: int, y: int) -> str:
    image = load_image(cell.image, _CELL)
    box = f'x="{x}" y="{y}" width="{_CELL}" height="{_CELL}"'
    if image is None:
        return f'<rect {box} fill="none" stroke="{_hex(INK)}"/>' + _svg_text(
            x + 10, y + _CELL // 2, GONE, _CELL - 20, _NAME
        )
    name = html.escape(printable(" ".join(cell.lines)))
    # Images smaller than a cell keep their size and are centred.
    left, top = x + (_CELL - image.width) // 2, y + (_CELL - image.height) // 2
    place = f'x="{left}" y="{top}" width="{image.width}" height="{image.height}"'
    shown = f'<image {place} href="{as_data_uri(image)}"><title>{name}</title></image>'
    frame = f'<rect {box} fill="none" stroke="{_hex(FRAME)}" stroke-width="3"/>' if cell.framed else ""
    return shown + frame


def _svg_text(x: int, y: int, text: str, width: float, size: int) -> str:
    shown = html.escape(_shorten(printable(text), size, width))
    return f'<text x="{x}" y="{y + size}" font-size="{size}">{shown}</text>'


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


# -- images -------------------------------------------------------------------------------------------------


def load_image(image: AnyPath | Image.Image, side: int) -> Image.Image | None:
    """Load an image as RGB of at most `side` × `side` pixels; None if the file is missing or damaged."""
    if isinstance(image, Image.Image):
        return scale_to_fit(np.asarray(image.convert("RGB")), side)
    try:
        return scale_to_fit(decode_file(image, min_side=side).pixels, side)
    except ImageError:
        return None


def as_data_uri(image: Image.Image, *, quality: int = 85) -> str:
    """Encode an image as a JPEG data URI, for self-contained SVG and HTML."""
    jpeg = encode_jpeg(image, quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


# -- text ---------------------------------------------------------------------------------------------------


def write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    *,
    size: int = 15,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Draw one line of text, shortened to a width in pixels; unprintable characters become spaces."""
    fonts.draw(pen, place, _shorten(printable(text), size, width), size, ink)


def _length(title: str) -> int:
    return math.ceil(fonts.length(printable(title), _TITLE))


def printable(text: str) -> str:
    """Convert any text, such as a file name, to one line; unprintable characters become spaces."""
    return "".join(c if c.isprintable() else " " for c in fonts.composed(escaped(text)))


def _shorten(text: str, size: int, width: float) -> str:
    """Replace the middle of a text by an ellipsis if the text is wider than `width` pixels."""
    keep = len(text)
    shorter = text
    while fonts.length(shorter, size) > width and keep > 4:
        keep -= 1
        shorter = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return shorter
