"""Layout of contact sheets: sections of images in justified lines, in pixels on the page.

Every line of images has one height and fills the width of the sheet, but the last one of a section. Wider images get
wider tiles, so that no tile has empty space at its sides, except for very narrow and very wide images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from PIL import Image

from imrec_core.lake.storage.files import AnyPath
from imrec_core.plots import style
from imrec_core.plots.text import length, shorten
from imrec_core.plots.tiles import open_tile

Frame = Literal["", "like", "unlike", "kept"]
SIGNS: dict[Frame, tuple[str, str]] = {
    "like": ("+", style.LIKE),
    "unlike": ("−", style.UNLIKE),
    "kept": ("✓", style.LIKE),
}
"""Sign and colour of each frame."""

WIDTH = 1200
"""Largest width of a sheet: that of a small screen."""

MARGIN, GAP, SIDES = 16, 12, 36  # around the sheet, between tiles, between queries and hits
HEIGHT, TALLEST, NARROWEST = 176, 220, 126  # of a line of tiles, of a tile with its caption
TITLE, NOTE, CAPTION = 17, 13, 13  # font sizes
BADGE = 20  # height of a sign or rank in the corner of a tile
_TITLE_LINE, _NOTE_LINE, _CAPTION_LINE, _BETWEEN = 28, 22, 18, 18  # heights of lines; space after a section
_FLATTEST, _SLIMMEST = 4.0, 0.45  # width over height of a tile
_FRAME = 5  # around the image of a query, in the gap
LOADED = 300  # longer side of images in memory; smaller images are not enlarged, panoramas may be


@dataclass(frozen=True)
class Cell:
    """Image of a sheet with its caption.

    Attributes:
        image: File, or open Pillow image.
        lines: Caption; a sheet draws the first two lines.
        frame: Frame around the image: green with a + for a `like`, red with a − for an `unlike`, green with a tick for
            a file that is `kept`. Likes and unlikes stand apart from the other images.
        rank: Number in the corner of the image; None for none.
    """

    image: AnyPath | Image.Image
    lines: tuple[str, ...]
    frame: Frame = ""
    rank: int | None = None

    @property
    def is_query(self) -> bool:
        """Whether the image is a query, not a result."""
        return self.frame in ("like", "unlike")


class Section(NamedTuple):
    """Images under a heading.

    Attributes:
        about: Line below the title; none if empty.
    """

    title: str
    cells: Sequence[Cell]
    about: str = ""


@dataclass(frozen=True)
class Label:
    """A line of text that fits its place, with its upper left corner."""

    x: int
    y: int
    text: str
    size: int
    colour: str = style.INK


@dataclass(frozen=True)
class Tile:
    """An image at its place.

    Attributes:
        image: The image at the size of the sheet or larger; the reason if it cannot be shown.
        x, y, width, height: Place of the tile.
    """

    cell: Cell
    image: Image.Image | str
    x: int
    y: int
    width: int
    height: int

    @property
    def badge(self) -> tuple[str, str] | None:
        """Text and colour of the badge in the upper left corner."""
        if self.cell.frame:
            return SIGNS[self.cell.frame]
        return None if self.cell.rank is None else (str(self.cell.rank), style.INK)


@dataclass
class Layout:
    """A sheet that is laid out.

    Attributes:
        width, height: Size of the sheet.
        rules: Vertical lines between queries and hits: x, top and bottom.
    """

    width: int = 0
    height: int = MARGIN
    tiles: list[Tile] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    rules: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, sections: Iterable[Section], *, scale: int) -> Layout:
        """Load the images of sections and lay them out.

        Args:
            scale: Pixels of an image per pixel of the layout.
        """
        laid, most = cls(), WIDTH - 2 * MARGIN
        for section in sections:
            for text, size, line, colour in (
                (section.title, TITLE, _TITLE_LINE, style.INK),
                (section.about, NOTE, _NOTE_LINE, style.SOFT_INK),
            ):
                if text:
                    laid._add_label(MARGIN, laid.height, text, most, size, colour)
                    laid.height += line
            loaded = [(cell, open_tile(cell.image, scale * LOADED)) for cell in section.cells]
            for line_of_tiles in _lines(loaded, most):
                laid._add_line(line_of_tiles)
            laid.height += _BETWEEN
        right = max([t.x + t.width for t in laid.tiles] + [label_end(one) for one in laid.labels], default=0)
        laid.width, laid.height = max(right, MARGIN + NARROWEST) + MARGIN, laid.height + MARGIN - _BETWEEN
        laid.height = max(laid.height, 2 * MARGIN)
        return laid

    def _add_label(self, x: int, y: int, text: str, width: int, size: int, colour: str) -> None:
        if shown := shorten(text, size, width):
            self.labels.append(Label(x, y, shown, size, colour))

    def _add_line(self, line: _Line) -> None:
        left, y, height = float(MARGIN), self.height + _FRAME, round(line.height)
        for i, (cell, image) in enumerate(line.cells):
            x, width = round(left), round(left + line.widths[i]) - round(left)
            self.tiles.append(Tile(cell, image, x, y, width, height))
            if isinstance(image, str):
                self._add_label(x + 10, y + height // 2 - NOTE, image, width - 20, NOTE, style.SOFT_INK)
            for n, text in enumerate(cell.lines[:2]):
                ink = style.SOFT_INK if n else style.INK
                self._add_label(x, y + height + 6 + n * _CAPTION_LINE, text, width, CAPTION, ink)
            is_last_query = _parts(cell, line.cells[i + 1 : i + 2])
            if is_last_query:
                self.rules.append((x + width + SIDES // 2, y - _FRAME, y + height + _FRAME))
            left += line.widths[i] + (SIDES if is_last_query else GAP)
        self.height = y + height + 6 + 2 * _CAPTION_LINE + GAP


def label_end(label: Label) -> int:
    """Return the right end of a label."""
    return label.x + math.ceil(length(label.text, label.size))


# -- lines --------------------------------------------------------------------------------------------------

Loaded = tuple[Cell, Image.Image | str]


@dataclass(frozen=True)
class _Line:
    """Cells side by side, at a height and with widths that may be fractions of a pixel."""

    cells: Sequence[Loaded]
    height: float
    widths: Sequence[float]


def _parts(cell: Cell, following: Sequence[Loaded]) -> bool:
    """Return whether a cell is the last query before the hits."""
    return cell.is_query and bool(following) and not following[0][0].is_query


def _aspect(loaded: Loaded) -> float:
    image = loaded[1]
    return 1.0 if isinstance(image, str) else min(max(image.width / image.height, _SLIMMEST), _FLATTEST)


def _width(cells: Sequence[Loaded], height: float) -> float:
    """Compute the width of a line at a height."""
    return sum(max(_aspect(one) * height, NARROWEST) for one in cells) + _gaps(cells)


def _gaps(cells: Sequence[Loaded]) -> float:
    return sum(SIDES if _parts(cell, cells[i + 1 : i + 2]) else GAP for i, (cell, _) in enumerate(cells[:-1]))


def _lines(cells: Sequence[Loaded], width: int) -> Iterable[_Line]:
    """Break cells into lines; all but the last get the height at which they fill the width."""
    start, height = 0, float(HEIGHT)
    while start < len(cells):
        end = start + 1
        while end < len(cells) and _width(cells[start:end], HEIGHT) < width:
            end += 1
        line = cells[start:end]
        too_wide = _width(line, HEIGHT) - width
        if too_wide > 0 and len(line) > 1 and too_wide > width - _width(line[:-1], HEIGHT):
            line = line[:-1]  # nearer to the width without its last cell
        is_last = start + len(line) == len(cells)
        if not is_last or too_wide > 0:
            height = min(_justified(line, width), TALLEST)
        elif _width(line, height) > width:
            height = HEIGHT
        yield _Line(line, height, [max(_aspect(one) * height, NARROWEST) for one in line])
        start += len(line)


def _justified(cells: Sequence[Loaded], width: float) -> float:
    """Compute the height at which a line has a width, where narrow tiles keep the least width."""
    low, high = 1.0, 4.0 * HEIGHT
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _width(cells, middle) < width else (low, middle)
    return low
