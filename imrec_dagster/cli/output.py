"""JSON, paths and plot files as output of commands; tables are in `tables.py`."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from imrec_dagster.cli.tables import table


def from_here(path: str) -> str:
    """Return the path relative to the working directory, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def write_paths(paths: Iterable[str], null: bool) -> None:
    """Print paths for programs, each with a newline or, if `null`, a NUL byte after it."""
    end = b"\0" if null else b"\n"
    click.echo(b"".join(os.fsencode(path) + end for path in paths), nl=False)


def write_plot(file: Path, draw: Callable[[str], bytes], option: str = "--plot") -> None:
    """Write the result of `draw(format)`, with the format by the suffix of the file's name."""
    from imrec_core.plots import format_of

    image = draw(format_of(file))
    try:
        file.write_bytes(image)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror}", param_hint=option) from error


def write_gallery(file: str, write: Callable[[], object], option: str = "--gallery") -> None:
    """Call a function that writes a contact sheet; a name that cannot be written is a usage error."""
    try:
        write()
    except (OSError, ValueError) as error:  # ValueError: Pillow knows no format by that suffix
        raise click.BadParameter(f"cannot write {file}: {error}", param_hint=option) from error


def show(as_json: bool, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows as one JSON document, or some of their columns as a table."""
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
