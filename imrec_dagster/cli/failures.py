"""`imrec failures`: list the images that could not be read, and retry them."""

from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option, trust_option
from imrec_dagster.cli.output import show

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake
    from imrec_dagster.builder import RetryReport


@click.command(
    short_help="List images that could not be read, and retry them", epilog=examples("imrec failures --retry")
)
@click.option(
    "--retry", is_flag=True, help="Try failed images again first; print how many recovered and how many still fail."
)
@json_option
@trust_option
@lake_option
def failures(retry: bool, as_json: bool, lake: str) -> None:
    """List the images and folders that could not be read or decoded, with the reason.

    Files that are not read at all, such as videos, are counted by kind on stderr.
    """
    from imrec_core.catalog.file_kinds import summarize
    from imrec_core.catalog.scan_report import not_read
    from imrec_core.lake.lake import Lake
    from imrec_core.sql.views import failures as failed_images

    if retry:
        tried = run_retry(Lake(lake))
        click.echo(f"{tried.good} recovered, {tried.failed} still fail{'s' * (tried.failed == 1)}", err=as_json)
    show(as_json, failed_images(Lake(lake)), ["source", "path", "error"])
    if passed_over := summarize(not_read(Lake(lake))):
        click.echo(passed_over, err=True)


def run_retry(lake: "Lake") -> "RetryReport":
    """Try the failed files of a lake again, and bring it up to date if any recovered.

    Raises:
        ImrecError: The lake is invalid, or a run failed.
        KeyboardInterrupt: Ctrl-C was pressed; completed work is kept.
    """
    from imrec_dagster.builder import retry_failed
    from imrec_dagster.cli.progress import BuildProgress, interruptible

    lake.check_version()
    lake.open_for_writing()
    progress = BuildProgress()
    with interruptible(progress):
        return retry_failed(lake, progress=progress)
