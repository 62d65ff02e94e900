"""A picture of why a hit is one: query and hit with lines between their keypoints, shared colours, scores as bars."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from imrec_core.images.matching import Explanation, Points, Seen, SharedColour
from imrec_core.plots.contact_sheet import FRAME, PAPER, write

Pen = ImageDraw.ImageDraw
Box = tuple[int, int, int, int]
"""Left, top, width and height of a picture on the sheet."""

_SIDE, _MARGIN, _BETWEEN = 480, 24, 48  # pixels: of a picture, around all, between the pictures
_WIDTH = 2 * (_MARGIN + _SIDE) + _BETWEEN
_COLUMNS = _MARGIN, _MARGIN + _SIDE + _BETWEEN
_TITLE, _LINE = 56, 24  # heights of what stands over a picture, and of a line of text
_LINES = 40  # drawn at most: more hide the pictures
_SWATCH, _COLOURS = 30, 8  # pixels; shown at most
_NAME, _BAR, _ROW = 300, 260, 26  # widths of a name and of a bar for a score of 1; height of a row
_FAINT, _TRACK, _FILL = (110, 110, 110), (230, 230, 230), (70, 130, 90)


@dataclass(frozen=True)
class Bar:
    """What one feature says of a hit.

    Attributes:
        score: Of the likes, 0 to 1.
        note: More of it in words.
        unlike: What the unlikes take off; 0 without them.
    """

    name: str
    score: float
    note: str
    unlike: float = 0.0


def draw(why: Explanation, *, titles: tuple[str, str], bars: Sequence[Bar]) -> Image.Image:
    """Query and hit under their titles, side by side; below, what they share, and a bar for each feature."""
    strips = (_pictures(why, titles), _shared(why), _scores(bars))
    sheet = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(height: int) -> tuple[Image.Image, Pen]:
    strip = Image.new("RGB", (_WIDTH, height), PAPER)
    return strip, ImageDraw.Draw(strip)


# -- pictures -----------------------------------------------------------------------------------------------


def _pictures(why: Explanation, titles: tuple[str, str]) -> Image.Image:
    sizes = [_fitted(seen or why.hit) for seen in (why.query, why.hit)]
    tallest = max(height for _, height in sizes)
    strip, pen = _strip(_MARGIN + _TITLE + tallest + 12)
    boxes = [
        (left + (_SIDE - width) // 2, _MARGIN + _TITLE + (tallest - height) // 2, width, height)
        for left, (width, height) in zip(_COLUMNS, sizes, strict=True)
    ]
    for seen, title, left, box in zip((why.query, why.hit), titles, _COLUMNS, boxes, strict=True):
        words = f"{seen.width}×{seen.height}  {seen.name}" if seen else "no picture to show: it is words or a vector"
        write(pen, (left, _MARGIN), title, _SIDE, size=19)
        write(pen, (left, _MARGIN + 28), words, _SIDE, ink=_FAINT)
        if seen:
            strip.paste(Image.fromarray(seen.pixels).resize(box[2:], Image.Resampling.BICUBIC), box[:2])
        else:
            pen.rectangle((box[0], box[1], box[0] + box[2], box[1] + box[3]), outline=_TRACK)
    if why.query is None:
        return strip
    starts, ends = _on_sheet(why.query_points, why.query, boxes[0]), _on_sheet(why.hit_points, why.hit, boxes[1])
    return _with_lines(strip, starts, ends) if len(starts) else strip


def _fitted(seen: Seen) -> tuple[int, int]:
    """Width and height of a picture as it is drawn: as large as fits, small ones enlarged."""
    height, width = seen.pixels.shape[:2]
    scale = _SIDE / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _on_sheet(points: Points, seen: Seen, box: Box) -> Points:
    """Places in the full picture as places on the sheet."""
    left, top, width, height = box
    return (points + 0.5) * (width / seen.width, height / seen.height) - 0.5 + (left, top)


def _with_lines(strip: Image.Image, starts: Points, ends: Points) -> Image.Image:
    """Lines from start to end, each in its hue from the top down; some of them where there are many, spread evenly."""
    import cv2

    order = np.lexsort((starts[:, 0], starts[:, 1]))
    order = order[np.unique(np.linspace(0, len(order) - 1, _LINES).round().astype(int))]
    drawn = np.asarray(strip).copy()
    for i, (start, end) in enumerate(zip(starts[order], ends[order], strict=True)):
        hue = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(0.85 * i / len(order), 0.9, 1.0))
        one, other = (tuple(np.rint(16 * place).astype(int).tolist()) for place in (start, end))  # in 16ths of a pixel
        cv2.line(drawn, one, other, hue, 1, cv2.LINE_AA, shift=4)
        for place in (one, other):
            cv2.circle(drawn, place, 16 * 4, (0, 0, 0), 2, cv2.LINE_AA, shift=4)
            cv2.circle(drawn, place, 16 * 4, hue, 1, cv2.LINE_AA, shift=4)
    return Image.fromarray(drawn)


# -- what they share ----------------------------------------------------------------------------------------


def _shared(why: Explanation) -> Image.Image:
    if why.query is None:
        return _strip(0)[0]
    strip, pen = _strip(2 * _LINE + (_SWATCH + 8 if why.colours else 0) + 16)
    write(pen, (_MARGIN, 0), _keypoints_in_words(why), _WIDTH - 2 * _MARGIN)
    words = "shared colours" if why.colours else "no shared colours"
    write(pen, (_MARGIN, _LINE), words, _WIDTH - 2 * _MARGIN)
    step = (_WIDTH - 2 * _MARGIN) // _COLOURS
    for i, colour in enumerate(why.colours[:_COLOURS]):
        _swatch(pen, colour, _MARGIN + i * step, 2 * _LINE + 4, step - _SWATCH - 8)
    return strip


def _keypoints_in_words(why: Explanation) -> str:
    found = len(why.hit_points)
    if why.query and not found:
        in_query, in_hit = (len(seen.keypoints[0]) for seen in (why.query, why.hit))
        return f"keypoints: none matched ({in_query} in the query, {in_hit} in the hit; alike: {why.alike})"
    query = "the mirrored query" if why.is_mirrored else "the query"
    words = f"keypoints: {found} of {query} are arranged alike in the hit, of {why.alike} that look alike"
    return f"{words}; {_LINES} are drawn" if found > _LINES else words


def _swatch(pen: Pen, colour: SharedColour, left: int, top: int, width: int) -> None:
    pen.rectangle((left, top, left + _SWATCH, top + _SWATCH), colour.rgb, _FAINT)
    for line, text in enumerate((f"{colour.in_query:.0%} of query", f"{colour.in_hit:.0%} of hit")):
        write(pen, (left + _SWATCH + 6, top + 16 * line), text, width, size=12)


# -- scores -------------------------------------------------------------------------------------------------


def _scores(bars: Sequence[Bar]) -> Image.Image:
    strip, pen = _strip(_LINE + len(bars) * _ROW + _MARGIN)
    write(pen, (_MARGIN, 0), "score by feature, from 0 to 1", _WIDTH - 2 * _MARGIN)
    for i, bar in enumerate(bars):
        _bar(pen, bar, _LINE + 6 + i * _ROW)
    return strip


def _bar(pen: Pen, bar: Bar, top: int) -> None:
    """The score; in front of its end, what the unlikes take off."""
    left, bottom = _MARGIN + _NAME, top + _ROW - 10
    ends = [left + round(_BAR * min(max(share, 0.0), 1.0)) for share in (1.0, bar.score, bar.score - bar.unlike)]
    pen.rectangle((left, top, ends[0], bottom), _TRACK)
    pen.rectangle((left, top, ends[1], bottom), FRAME if bar.unlike else _FILL)
    if bar.unlike:
        pen.rectangle((left, top, ends[2], bottom), _FILL)
    note = bar.note + (f"   unlike −{bar.unlike:.3f}" if bar.unlike else "")
    write(pen, (_MARGIN, top - 1), bar.name, _NAME - 12)
    write(pen, (left + _BAR + 12, top - 1), f"{bar.score:.3f}", 60)
    write(pen, (left + _BAR + 72, top - 1), note, _WIDTH - _MARGIN - left - _BAR - 72, ink=_FAINT)
