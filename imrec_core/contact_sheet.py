"""A picture of a search: the query, then its hits, each with its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imrec_core.decode import decode
from imrec_core.errors import ImageError

_CELL, _LABEL, _GAP = 200, 40, 8  # pixels
_PAPER, _INK, _FRAME = (255, 255, 255), (30, 30, 30), (200, 60, 40)


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: its file or the picture itself, and lines of text below."""

    picture: Path | Image.Image
    lines: tuple[str, ...]
    framed: bool = False


def draw(rows: Sequence[tuple[str, Sequence[Cell]]], *, columns: int = 6) -> Image.Image:
    """Rows of cells, each row under its heading; a row of more than `columns` cells goes on in the next line."""
    step_x, step_y, heading = _CELL + _GAP, _CELL + _LABEL + _GAP, 26
    lines = [-(-len(cells) // columns) for _, cells in rows]
    widest = min(max((len(cells) for _, cells in rows), default=1), columns)
    height = sum(heading + n * step_y for n in lines)
    sheet = Image.new("RGB", (widest * step_x + _GAP, height + _GAP), _PAPER)
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(14), _GAP
    for (title, cells), count in zip(rows, lines, strict=True):
        pen.text((_GAP, top), title, _INK, font=ImageFont.load_default(17))
        for i, cell in enumerate(cells):
            x, y = _GAP + (i % columns) * step_x, top + heading + (i // columns) * step_y
            _paste(sheet, pen, cell, x, y)
            for n, line in enumerate(cell.lines[:2]):
                pen.text((x, y + _CELL + 3 + 17 * n), _clipped(line, font), _INK, font=font)
        top += heading + count * step_y
    return sheet


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    picture = _opened(cell.picture)
    if picture is None:
        pen.rectangle((x, y, x + _CELL, y + _CELL), outline=_INK)
        pen.text((x + 10, y + _CELL // 2), "no longer readable", _INK)
        return
    picture.thumbnail((_CELL, _CELL))
    left, top = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
    sheet.paste(picture, (left, top))
    if cell.framed:
        pen.rectangle((x - 3, y - 3, x + _CELL + 2, y + _CELL + 2), outline=_FRAME, width=3)


def _opened(picture: Path | Image.Image) -> Image.Image | None:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    try:
        decoded = decode(picture.read_bytes(), min_side=_CELL)
    except (OSError, ImageError):
        return None
    return Image.fromarray(decoded.pixels[..., :3].copy())


def _clipped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """`text` with its middle left out where it is wider than a cell."""
    keep = len(text)
    clipped = text
    while font.getlength(clipped) > _CELL and keep > 4:
        keep -= 1
        clipped = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return clipped
