"""Contact sheets: images with captions, such as a query and its hits, as pixels or as SVG."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from imrec_core.plots import fonts, style
from imrec_core.plots.sheet_layout import BADGE, CAPTION, LOADED, SIGNS, Cell, Label, Layout, Section, Tile
from imrec_core.plots.style import rgb
from imrec_core.plots.text import length, printable
from imrec_core.plots.tiles import as_data_uri

__all__ = ["Cell", "Section", "draw", "draw_svg", "save"]

_SHARP = 150  # cells; a sheet of more would have over 12,000 rows of pixels at twice the size
_PAD, _STROKE, _OUTSIDE = 6, 3, 2  # pixels on the page: inside of a badge; of a frame, and between it and its image


def draw(sections: Iterable[Section]) -> Image.Image:
    """Draw sections of images as RGB, at two pixels per pixel on the page, up to 2,400 wide.

    Sheets of more than 150 images have half the size.
    """
    sections = list(sections)
    scale = style.SCALE if sum(len(section.cells) for section in sections) <= _SHARP else 1
    laid = Layout.of(sections, scale=scale)
    sheet = Image.new("RGB", (scale * laid.width, scale * laid.height), style.PAPER)
    pen = ImageDraw.Draw(sheet)
    for tile in laid.tiles:
        _paste(sheet, pen, tile, scale)
    for x, top, bottom in laid.rules:
        pen.line((scale * x, scale * top, scale * x, scale * bottom), style.FAINT, scale)
    for label in laid.labels:
        place = scale * label.x, scale * label.y
        fonts.draw(pen, place, label.text, scale * label.size, rgb(label.colour))
    return sheet


def draw_svg(sections: Iterable[Section]) -> str:
    """Draw the same sheet as SVG, with text that can be searched and selected.

    Tooltips show shortened captions in full.
    """
    laid = Layout.of(sections, scale=style.SCALE)
    width, height = laid.width, laid.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" fill="{style.INK}">',
        f'<rect width="{width}" height="{height}" fill="{style.PAPER}"/>',
        *(_svg_tile(tile) for tile in laid.tiles),
        *(f'<path d="M{x} {top}V{bottom}" stroke="{style.FAINT}"/>' for x, top, bottom in laid.rules),
        *(_svg_text(label) for label in laid.labels),
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def save(sections: Iterable[Section], file: str | os.PathLike[str]) -> None:
    """Write a sheet in the format of the file name's suffix: SVG, or a format that Pillow writes, such as PNG.

    Raises:
        OSError: The file cannot be written.
        ValueError: No format has that suffix.
    """
    if Path(file).suffix.lower() == ".svg":
        Path(file).write_text(draw_svg(sections), "utf-8")
    else:
        draw(sections).save(file)


# -- pixels -------------------------------------------------------------------------------------------------


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, scale: int) -> None:
    left, top, width, height = (scale * n for n in (tile.x, tile.y, tile.width, tile.height))
    x, y, shown_width, shown_height = _fit(tile)
    if (shown_width, shown_height) != (tile.width, tile.height):
        pen.rectangle((left, top, left + width - 1, top + height - 1), style.SUNKEN)
    if not isinstance(tile.image, str):
        size = scale * shown_width, scale * shown_height
        sheet.paste(tile.image.resize(size, Image.Resampling.LANCZOS), (scale * x, scale * y))
    if tile.cell.frame:
        reach = scale * (_STROKE + _OUTSIDE)
        box = (left - reach, top - reach, left + width - 1 + reach, top + height - 1 + reach)
        pen.rectangle(box, outline=SIGNS[tile.cell.frame][1], width=scale * _STROKE)
    if tile.badge:
        text, colour = tile.badge
        pen.rectangle((left, top, left + scale * _badge_width(text) - 1, top + scale * BADGE - 1), colour)
        place = left + scale * _PAD, top + scale * 2
        fonts.draw(pen, place, text, scale * CAPTION, rgb(style.PAPER))


def _fit(tile: Tile) -> tuple[int, int, int, int]:
    """Compute left, top, width and height of the image inside of its tile.

    It fills the tile, unless the tile has another shape, or the image is smaller than the tile: then it is centred.
    """
    if isinstance(tile.image, str):
        return tile.x, tile.y, 0, 0
    scale = min(tile.width / tile.image.width, tile.height / tile.image.height)
    if max(tile.image.size) < LOADED:
        scale = min(scale, 1.0)
    size = [round(side * scale) for side in tile.image.size]
    box = [whole if abs(whole - side) <= 2 else max(side, 1) for side, whole in zip(size, (tile.width, tile.height))]
    return tile.x + (tile.width - box[0]) // 2, tile.y + (tile.height - box[1]) // 2, box[0], box[1]


def _badge_width(text: str) -> int:
    return max(round(length(text, CAPTION)) + 2 * _PAD, BADGE)


# -- SVG ----------------------------------------------------------------------------------------------------


def _svg_tile(tile: Tile) -> str:
    x, y, width, height = _fit(tile)
    parts = []
    if (width, height) != (tile.width, tile.height):
        parts.append(_svg_rect(tile.x, tile.y, tile.width, tile.height, f'fill="{style.SUNKEN}"'))
    if not isinstance(tile.image, str):
        name = html.escape(printable(" ".join(tile.cell.lines)))
        place = f'x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"'
        image = tile.image.copy()
        image.thumbnail((style.SCALE * width, style.SCALE * height), Image.Resampling.LANCZOS)
        parts.append(f'<image {place} href="{as_data_uri(image)}"><title>{name}</title></image>')
    if tile.cell.frame:
        out, line = _OUTSIDE + _STROKE / 2, f'fill="none" stroke="{SIGNS[tile.cell.frame][1]}"'
        size = tile.width + 2 * out, tile.height + 2 * out
        parts.append(_svg_rect(tile.x - out, tile.y - out, *size, f'{line} stroke-width="{_STROKE}"'))
    if tile.badge:
        text, colour = tile.badge
        parts.append(_svg_rect(tile.x, tile.y, _badge_width(text), BADGE, f'fill="{colour}"'))
        parts.append(_svg_text(Label(tile.x + _PAD, tile.y + 2, text, CAPTION, style.PAPER)))
    return "".join(parts)


def _svg_rect(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {look}/>'


def _svg_text(label: Label) -> str:
    fill = "" if label.colour == style.INK else f' fill="{label.colour}"'
    place = f'x="{label.x}" y="{label.y + label.size}" font-size="{label.size}"{fill}'
    return f"<text {place}>{html.escape(label.text)}</text>"
