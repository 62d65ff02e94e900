"""Text for a terminal."""

from pathlib import Path


def table(heading: list[str], rows: list[list[str]]) -> str:
    """Columns side by side; the last one is not padded."""
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [heading, *rows]) for i in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [heading, *rows]]
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Newlines and control characters of file names as escapes, so that a row stays a row."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def from_here(path: str) -> str:
    """The path relative to where we are, if it lies below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
