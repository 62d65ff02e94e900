"""Pictures with words below them as HTML: what a notebook shows, complete in itself.

A table, since the pages that show notebooks of others leave out styles.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from imrec_core.plots.contact_sheet import FRAME, GONE, Cell, as_data_uri, opened, printable

_COLUMNS = 6
_SIDE = 128  # pixels
_LETTERS = 20


def grid(headings: Iterable[str], cells: Sequence[Cell], *, most: int = 36) -> str:
    """Cells under lines of text; whatever the words in them hold, they are text.

    Args:
        headings: Lines, the first one bold.
        cells: Their pictures are read now, and are part of what comes out: some 5 kB each.
        most: Cells that are shown; of the others it is said how many there are.
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
    picture = opened(cell.picture, _SIDE)
    if picture is None:
        seen = f"<i>{GONE}</i>"
    else:
        frame = f' style="border: 3px solid rgb{FRAME}"' if cell.framed else ""
        seen = f'<img src="{as_data_uri(picture, quality=80)}" alt="{whole}" title="{whole}"{frame}>'
    below = "<br>".join(_text(_clipped(line)) for line in cell.lines)
    return (
        f'<td style="text-align: center; vertical-align: bottom">{seen}<br><small title="{whole}">{below}</small></td>'
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _clipped(text: str) -> str:
    """The middle of a long name left out."""
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS // 2]}…{text[-(_LETTERS // 2 - 1) :]}"
