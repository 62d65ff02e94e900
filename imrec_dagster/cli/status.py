"""`imrec status`: the contents of a lake, and what a build would do."""

import json

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine


@click.command(short_help="Print the contents of the lake, and what is stale", epilog=examples("imrec status"))
@json_option
@lake_option
def status(as_json: bool, lake: str) -> None:
    """Print the contents of the lake, which tables are fresh or stale, and what a build would do."""
    from imrec_core.lake.lake import Lake
    from imrec_core.status import lake_status

    with ProgressLine("reading the lake"):
        found = lake_status(Lake(lake))
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.summary())
