"""Options and output that several commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imrec_dagster.cli.output import table

lake_option = click.option(
    "--lake", envvar="IMREC_LAKE", default="data_lake", show_default=True, help="Folder of the lake (or IMREC_LAKE)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


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
