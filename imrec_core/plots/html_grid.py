"""Grids of images with captions as self-contained HTML, for notebooks.

The layout is a table, because sites that render notebooks remove styles.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from imrec_core.plots.sheet_layout import SIGNS, Cell
from imrec_core.plots.text import printable
from imrec_core.plots.tiles import as_data_uri, open_tile

_COLUMNS = 6
_SIDE = 128  # pixels
_LETTERS = 20


def grid(headings: Iterable[str], cells: Sequence[Cell], *, most: int = 36) -> str:
    """Render cells under lines of text. All text is escaped.

    Args:
        headings: Lines of text, the first one bold.
        cells: Cells whose images are read now and embedded, about 5 kB each.
        most: Maximum number of cells; the heading gives the number of others.
    """
    first, *others = [_text(line) for line in headings]
    lines = [f"<b>{first}</b>", *others]
    if len(cells) > most:
        lines.append(f"{len(cells) - most} more are not shown")
    shown = [_cell(cell) for cell in cells[:most]]
    rows = ["".join(shown[i : i + _COLUMNS]) for i in range(0, len(shown), _COLUMNS)]
    table = f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""
    return f"<div>{'<br>'.join(lines)}{table}</div>"


def _cell(cell: Cell) -> str:
    whole = _text(" ".join(cell.lines))
    small = open_tile(cell.image, _SIDE)
    if isinstance(small, str):
        image = f"<i>{small}</i>"
    else:
        frame = f' style="border: 3px solid {SIGNS[cell.frame][1]}"' if cell.frame else ""
        image = f'<img src="{as_data_uri(small, quality=80)}" alt="{whole}" title="{whole}"{frame}>'
    sign = f"{SIGNS[cell.frame][0]} " if cell.frame else "" if cell.rank is None else f"{cell.rank}  "
    caption = "<br>".join(_text(_shorten(line)) for line in (sign + cell.lines[0], *cell.lines[1:]))
    style = "text-align: center; vertical-align: bottom"
    return f'<td style="{style}">{image}<br><small title="{whole}">{caption}</small></td>'


def _text(text: str) -> str:
    return html.escape(printable(text))


def _shorten(text: str) -> str:
    """Replace the middle of a long line by an ellipsis."""
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS // 2]}…{text[-(_LETTERS // 2 - 1) :]}"
