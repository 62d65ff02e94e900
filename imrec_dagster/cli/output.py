"""Text for a terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


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


def write_plot(file: Path, draw: Callable[[str], bytes], option: str = "--plot") -> None:
    """Write what `draw` makes in the format that the file's name says."""
    from imrec_core.plots import format_of

    picture = draw(format_of(file))
    try:
        file.write_bytes(picture)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror}", param_hint=option) from error


def show(as_json: bool, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Rows as one JSON document, or their columns as a table."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        click.echo(table(columns, [[_cell(row[c]) for c in columns] for row in rows]))
    else:
        click.echo("none")


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else ""
    return ", ".join(value) if isinstance(value, list) else str(value)
