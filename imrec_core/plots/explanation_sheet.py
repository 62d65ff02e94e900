"""Plot of an explanation: query and hit with matching keypoints, shared colours, and scores as bars."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from imrec_core.images.match_input import MatchInput, Points
from imrec_core.images.matching import Explanation, SharedColour
from imrec_core.plots import style
from imrec_core.plots.style import LINE, PAPER, SCALE, SOFT_INK, rgb
from imrec_core.plots.text import write

Pen = ImageDraw.ImageDraw
Box = tuple[int, int, int, int]
"""Left, top, width and height of an image on the sheet."""

# In pixels, of which a pixel on the page has SCALE.
_SIDE, _MARGIN, _BETWEEN = 480 * SCALE, 24 * SCALE, 48 * SCALE  # longer side of an image, outer margin, gap
_WIDTH = 2 * (_MARGIN + _SIDE) + _BETWEEN
_COLUMNS = _MARGIN, _MARGIN + _SIDE + _BETWEEN
_TITLE, _LINE = 56 * SCALE, 24 * SCALE  # heights of a title and of a line of text
_HEADING, _TEXT, _SMALL = 19 * SCALE, 15 * SCALE, 11 * SCALE  # font sizes
_LINES = 40  # maximum number of lines: more hide the images
_SWATCH, _COLOURS = 30 * SCALE, 8  # side of a square; maximum number of colours
_NAME, _BAR, _ROW = 300 * SCALE, 260 * SCALE, 26 * SCALE  # widths of a name, and of a bar for a score of 1; of a row
_GAP, _STEP = 12 * SCALE, 6 * SCALE  # between bar and text, and around them
_FAINT, _TRACK, _FILL, _TAKEN = rgb(SOFT_INK), rgb(LINE), rgb(style.LIKE), rgb(style.UNLIKE)


@dataclass(frozen=True)
class Bar:
    """Score of a hit by one feature.

    Attributes:
        name: Name of the feature.
        score: Score for the positive examples, 0 to 1.
        note: Details, shown next to the bar.
        unlike: Penalty for the negative examples; 0 without them.
    """

    name: str
    score: float
    note: str
    unlike: float = 0.0


def draw(why: Explanation, *, titles: tuple[str, str], bars: Sequence[Bar]) -> Image.Image:
    """Draw query and hit side by side, below them shared keypoints and colours, and a bar per feature."""
    strips = (_images(why, titles), _shared(why), _scores(bars))
    sheet = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(height: int) -> tuple[Image.Image, Pen]:
    strip = Image.new("RGB", (_WIDTH, height), PAPER)
    return strip, ImageDraw.Draw(strip)


# -- images -------------------------------------------------------------------------------------------------


def _images(why: Explanation, titles: tuple[str, str]) -> Image.Image:
    sizes = [_scaled_size(seen or why.hit) for seen in (why.query, why.hit)]
    tallest = max(height for _, height in sizes)
    strip, pen = _strip(_MARGIN + _TITLE + tallest + _GAP)
    boxes = [
        (left + (_SIDE - width) // 2, _MARGIN + _TITLE + (tallest - height) // 2, width, height)
        for left, (width, height) in zip(_COLUMNS, sizes, strict=True)
    ]
    for seen, title, left, box in zip((why.query, why.hit), titles, _COLUMNS, boxes, strict=True):
        details = f"{seen.width}×{seen.height}  {seen.name}" if seen else "no image: the query is text or a vector"
        write(pen, (left, _MARGIN), title, _SIDE, size=_HEADING)
        write(pen, (left, _MARGIN + _TITLE // 2), details, _SIDE, size=_TEXT, ink=_FAINT)
        if seen:
            strip.paste(Image.fromarray(seen.pixels).resize(box[2:], Image.Resampling.BICUBIC), box[:2])
        else:
            pen.rectangle((box[0], box[1], box[0] + box[2], box[1] + box[3]), outline=_TRACK)
    if why.query is None:
        return strip
    starts, ends = _on_sheet(why.query_points, why.query, boxes[0]), _on_sheet(why.hit_points, why.hit, boxes[1])
    return _draw_lines(strip, starts, ends) if len(starts) else strip


def _scaled_size(seen: MatchInput) -> tuple[int, int]:
    """Compute the size of an image on the sheet: its longer side fills the column, also if it is enlarged."""
    height, width = seen.pixels.shape[:2]
    scale = _SIDE / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _on_sheet(points: Points, seen: MatchInput, box: Box) -> Points:
    """Convert positions in the full image to positions on the sheet."""
    left, top, width, height = box
    return (points + 0.5) * (width / seen.width, height / seen.height) - 0.5 + (left, top)


def _draw_lines(strip: Image.Image, starts: Points, ends: Points) -> Image.Image:
    """Draw lines from starts to ends, coloured from the top down; at most 40, evenly sampled."""
    import cv2

    order = np.lexsort((starts[:, 0], starts[:, 1]))
    order = order[np.unique(np.linspace(0, len(order) - 1, _LINES).round().astype(int))]
    drawn = np.asarray(strip).copy()
    for i, (start, end) in enumerate(zip(starts[order], ends[order], strict=True)):
        hue = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(0.85 * i / len(order), 0.9, 1.0))
        one, other = (tuple(np.rint(16 * place).astype(int).tolist()) for place in (start, end))  # in 1/16 pixel
        cv2.line(drawn, one, other, hue, SCALE, cv2.LINE_AA, shift=4)
        for place in (one, other):
            cv2.circle(drawn, place, 16 * 4 * SCALE, (0, 0, 0), 2 * SCALE, cv2.LINE_AA, shift=4)
            cv2.circle(drawn, place, 16 * 4 * SCALE, hue, SCALE, cv2.LINE_AA, shift=4)
    return Image.fromarray(drawn)


# -- shared keypoints and colours ---------------------------------------------------------------------------


def _shared(why: Explanation) -> Image.Image:
    if why.query is None:
        return _strip(0)[0]
    strip, pen = _strip(2 * _LINE + (_SWATCH + _STEP if why.colours else 0) + _GAP)
    write(pen, (_MARGIN, 0), _keypoint_summary(why), _WIDTH - 2 * _MARGIN, size=_TEXT)
    heading = "shared colours" if why.colours else "no shared colours"
    write(pen, (_MARGIN, _LINE), heading, _WIDTH - 2 * _MARGIN, size=_TEXT)
    step = (_WIDTH - 2 * _MARGIN) // _COLOURS
    for i, colour in enumerate(why.colours[:_COLOURS]):
        _swatch(pen, colour, _MARGIN + i * step, 2 * _LINE + _STEP, step - _SWATCH - _STEP - 2 * SCALE)
    return strip


def _keypoint_summary(why: Explanation) -> str:
    found = len(why.hit_points)
    if why.query and not found:
        in_query, in_hit = (len(seen.keypoints[0]) for seen in (why.query, why.hit))
        return f"keypoints: none matched ({in_query} in the query, {in_hit} in the hit; pairs: {why.alike})"
    query = "the mirrored query" if why.is_mirrored else "the query"
    summary = f"keypoints: {found} of {query} match the hit in one arrangement, of {why.alike} similar pairs"
    return f"{summary}; {_LINES} are drawn" if found > _LINES else summary


def _swatch(pen: Pen, colour: SharedColour, left: int, top: int, width: int) -> None:
    pen.rectangle((left, top, left + _SWATCH, top + _SWATCH), colour.rgb, _FAINT)
    for line, text in enumerate((f"{100 * colour.in_query:.0f} % of query", f"{100 * colour.in_hit:.0f} % of hit")):
        write(pen, (left + _SWATCH + _STEP, top + 16 * SCALE * line), text, width, size=_SMALL)


# -- scores -------------------------------------------------------------------------------------------------


def _scores(bars: Sequence[Bar]) -> Image.Image:
    strip, pen = _strip(_LINE + len(bars) * _ROW + _MARGIN)
    write(pen, (_MARGIN, 0), "score by feature, from 0 to 1", _WIDTH - 2 * _MARGIN, size=_TEXT)
    for i, bar in enumerate(bars):
        _bar(pen, bar, _LINE + _STEP + i * _ROW)
    return strip


def _bar(pen: Pen, bar: Bar, top: int) -> None:
    """Draw a score, with the penalty of the negative examples in red at its end."""
    left, bottom = _MARGIN + _NAME, top + _ROW - 10 * SCALE
    ends = [left + round(_BAR * min(max(share, 0.0), 1.0)) for share in (1.0, bar.score, bar.score - bar.unlike)]
    pen.rectangle((left, top, ends[0], bottom), _TRACK)
    pen.rectangle((left, top, ends[1], bottom), _TAKEN if bar.unlike else _FILL)
    if bar.unlike:
        pen.rectangle((left, top, ends[2], bottom), _FILL)
    note = bar.note + (f"   unlike −{bar.unlike:.3f}" if bar.unlike else "")
    right = left + _BAR + _GAP
    write(pen, (_MARGIN, top - SCALE), bar.name, _NAME - _GAP, size=_TEXT)
    write(pen, (right, top - SCALE), f"{bar.score:.3f}", 5 * _GAP, size=_TEXT)
    write(pen, (right + 5 * _GAP, top - SCALE), note, _WIDTH - _MARGIN - right - 5 * _GAP, size=_TEXT, ink=_FAINT)
