"""`imrec check`: verify the files of a lake."""

import json

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine


@click.command(short_help="Find damaged files of the lake", epilog=examples("imrec check"))
@json_option
@lake_option
def check(as_json: bool, lake: str) -> None:
    """Read the whole lake, and say which files are damaged and what repairs them; exit 1 if any is.

    Damaged files that a build makes again are moved to the folder damaged/ in the lake.
    """
    from imrec_core.index.lake_check import check_lake
    from imrec_core.lake.lake import Lake

    with ProgressLine("reading the whole lake"):
        report = check_lake(Lake(lake))
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.summary())
    if report.damaged:
        raise click.exceptions.Exit(1)
