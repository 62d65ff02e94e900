"""`imrec label-issues`: images whose neighbours mostly have another label."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.label_options import find_labels, labels_option, refuse_several
from imrec_dagster.cli.options import gallery_option, json_option, lake_option
from imrec_dagster.cli.output import from_here, write_gallery
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table

_SHOWN = 20


@click.command(
    "label-issues",
    short_help="List images whose neighbours have another label",
    epilog=examples("imrec label-issues --column species"),
)
@labels_option
@click.option("--column", metavar="NAME", help="Column of the rows with the labels, such as one of your own.")
@click.option("--by", metavar="FEATURE", help="Feature of the embedding. Default: the lake's first feature.")
@click.option("-n", "most", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="Images to list.")
@gallery_option
@json_option
@lake_option
def label_issues(
    labels: Path | None,
    column: str | None,
    by: str | None,
    most: int,
    gallery: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """List images whose 10 nearest neighbours mostly have another label, with that label; the surest first.

    Labels are the folders of the images, or those of --labels or --column. Copies of an image do not count.
    """
    from imrec_core.curation.label_issues import find_label_issues
    from imrec_core.curation.listed_images import save_gallery
    from imrec_core.evaluation.labels import column_labels
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake

    refuse_several({"--labels": labels, "--column": column})
    opened = Lake(lake)
    generation = open_generation(opened)
    given = column_labels(generation, column) if column else find_labels(generation, opened, labels, None)
    with ProgressLine("finding the nearest neighbours of all images"):
        found = find_label_issues(opened, generation, given, by=by)
    if gallery:
        shown = [(one.path, f"{one.label}: {one.suggested}?") for one in found]
        title = f"{len(found)} suspicious labels, the surest first\nbelow each image its label: that of most neighbours"
        write_gallery(gallery, lambda: save_gallery([(title, shown)], gallery, most=most))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False))
        return
    if not found:
        click.echo("none")
        return
    rows = [[o.label, o.suggested, f"{o.confidence:.2f}", o.image_id, from_here(o.path)] for o in found[:most]]
    click.echo(table(["label", "suggested", "confidence", "image_id", "path"], rows))
    if len(found) > most:
        click.echo(f"{len(found) - most} more; list them with -n {len(found)} or --json", err=True)
