"""`imrec gc`: remove the files of a lake that nothing uses."""

import json

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine


@click.command(short_help="Remove files of the lake that nothing uses", epilog=examples("imrec gc --dry-run"))
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@json_option
@lake_option
def gc(dry_run: bool, as_json: bool, lake: str) -> None:
    """Remove files of the lake that nothing uses.

    These are tables of features and sources that lake.toml does not list, fits that neither a feature nor a generation
    uses, generations before the last two, thumbnails of images that are gone, what was kept of lost images longer than
    keep_lost_days, and unfinished writes. It waits for running builds, and leaves what a process reads.
    """
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.unused_files import find_unused, remove_unused, summary

    opened = Lake(lake)
    with ProgressLine("looking for unused files"):
        found = find_unused(opened) if dry_run else remove_unused(opened)
    if as_json:
        listed = [{"kind": file.kind, "path": str(file.path), "byte_size": file.byte_size} for file in found]
        total = sum(file.byte_size for file in found)
        click.echo(json.dumps({"dry_run": dry_run, "byte_size": total, "files": listed}, ensure_ascii=False))
    else:
        click.echo(summary(found, is_removed=not dry_run))
