"""`imrec compare`: whether two files show the same image."""

import sys

import click

from imrec_core.errors import ImrecError
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import TIER, json_option
from imrec_dagster.cli.output import show
from imrec_dagster.cli.progress_line import ProgressLine


@click.command(short_help="Tell whether two files show the same image", epilog=examples("imrec compare a.jpg b.jpg"))
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option(
    "--tier", type=TIER, default="edited", show_default=True, help="Widest tier that counts as the same image."
)
@json_option
def compare(a: str, b: str, tier: str, as_json: bool) -> None:
    """Print the duplicate tier of two files; exit status 0 for the same image, 1 for different ones, 2 for an error."""
    from dataclasses import asdict

    from imrec_core.duplicates.comparison import compare_files
    from imrec_core.duplicates.derivation import CHANGES

    try:
        with ProgressLine("comparing"):
            comparison = compare_files(a, b, tier=tier)
    except ImrecError as error:
        click.echo(f"imrec: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    made = comparison.derivation
    original, other = (None, None) if made is None else (a, b)[:: -1 if made.original else 1]
    if as_json:
        result = asdict(comparison) | {"agreement": round(comparison.agreement, 3)}
        del result["derivation"]
        show(True, [result | {"original": original, "change": made and made.change}], [])
    else:
        click.echo(f"{comparison.tier or 'different'}: {comparison.how}")
        if made is not None:
            click.echo(f"{original} is the original: {other} {CHANGES[made.change]}")
    sys.exit(0 if comparison.tier else 1)
