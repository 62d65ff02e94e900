"""Tables as text: as wide as their cells in pipes and files, fitted to the window and with colours in a terminal."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence

import click

_PATHS = ("path", "place")  # headings of columns that are shortened in the middle
_TEXTS = ("summary", "metrics", "error", "source", "licence")  # of columns that are shortened at the end
_LEAST = 16  # columns of the terminal that remain of a shortened cell
_GAP = "  "


def table(
    heading: list[str],
    rows: list[list[str]],
    *,
    texts: Collection[int] = (),
    colours: Mapping[int, Mapping[str, str]] | None = None,
) -> str:
    """Format rows as aligned columns; the last column is not padded.

    In a terminal, paths and texts are shortened so that rows fit the window, and the heading is bold. Other cells, such
    as ids and scores, are never shortened. The environment variable NO_COLOR turns styles off.

    Args:
        texts: Numbers of columns that may be shortened at the end although their heading does not tell.
        colours: By number of a column, the colours of some of its cells, for terminals.
    """
    rows = [[_escape(cell) for cell in row] for row in rows]
    is_terminal = sys.stdout.isatty()
    if is_terminal:
        import shutil  # takes milliseconds, as it loads all compressors

        rows = _fit(heading, rows, texts, shutil.get_terminal_size().columns)
    lengths = _width if is_terminal else len
    widths = [max(lengths(row[i]) for row in [heading, *rows]) for i in range(len(heading))]
    padding = [[" " * (width - lengths(cell)) for cell, width in zip(row, widths)] for row in [heading, *rows]]
    shown = [heading, *rows]
    if is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        shown = [[click.style(cell, bold=True) if cell else "" for cell in heading]]
        shown += [[_coloured(cell, (colours or {}).get(i, {})) for i, cell in enumerate(row)] for row in rows]
    lines = [_GAP.join(map("".join, zip(row, spaces))).rstrip() for row, spaces in zip(shown, padding)]
    return "\n".join(lines)


def _coloured(cell: str, colours: Mapping[str, str]) -> str:
    return click.style(cell, fg=colours[cell]) if cell in colours else cell


def _fit(heading: Sequence[str], rows: list[list[str]], texts: Collection[int], columns: int) -> list[list[str]]:
    """Shorten paths and texts, the widest column first, until rows have this many columns of the terminal or fewer."""
    paths = [i for i, name in enumerate(heading) if name in _PATHS]
    texts = {*texts, *(i for i, name in enumerate(heading) if name in _TEXTS)}
    widths = [max(_width(row[i]) for row in [heading, *rows]) for i in range(len(heading))]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - columns
    while excess > 0:
        widest = max((i for i in (*paths, *texts) if widths[i] > _LEAST), key=lambda i: widths[i], default=None)
        if widest is None:
            break
        widths[widest] -= 1
        excess -= 1
    return [
        [
            _shorten(cell, widths[i], 1 / 3 if i in paths else 1) if i in paths or i in texts else cell
            for i, cell in enumerate(row)
        ]
        for row in rows
    ]


def _shorten(text: str, width: int, start: float) -> str:
    """Replace the middle by an ellipsis if a text is wider; `start` is the share of the rest that is before it."""
    if _width(text) <= width:
        return text
    head = _leading(text, int((width - 1) * start))
    tail = _leading(text[::-1], width - 1 - _width(head))[::-1] if start < 1 else ""
    return f"{head}…{tail}"


def _leading(text: str, width: int) -> str:
    """Return the longest start of a text that is at most so wide."""
    used = 0
    for count, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:count]
    return text


def _width(text: str) -> int:
    """Return the number of columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _escape(text: str) -> str:
    """Escape newlines and control characters of file names, so that a row stays on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
