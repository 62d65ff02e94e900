"""`imrec compare`: whether two files are the same picture."""

import sys

import click

from imrec_core.errors import ImrecError
from imrec_dagster.cli.options import TIER, json_option
from imrec_dagster.cli.output import show


@click.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--tier", type=TIER, default="edited", show_default=True, help="The widest that counts as the same.")
@json_option
def compare(a: str, b: str, tier: str, as_json: bool) -> None:
    """Say which tier two files are in; exit status 0 for the same picture, 1 for different ones, 2 for an error."""
    from dataclasses import asdict

    from imrec_core.duplicates.comparison import compare_files

    try:
        found = compare_files(a, b, tier=tier)
    except ImrecError as error:
        click.echo(f"imrec: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    shown = asdict(found) | {"agreement": round(found.agreement, 3)}
    if as_json:
        show(True, [shown], [])
    else:
        click.echo(f"{found.tier or 'different'}: {found.how}")
    sys.exit(0 if found.tier else 1)
