"""`imrec outliers`: images far from their nearest neighbours."""

import json
from dataclasses import asdict

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import gallery_option, json_option, lake_option
from imrec_dagster.cli.output import from_here, write_gallery
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table

_RATIO = "ratio: the mean distance to them, divided by the median of the lake"


@click.command(
    short_help="List the images that are least like any other",
    epilog=examples("imrec outliers 50 --gallery outliers.png"),
)
@click.argument("count", type=click.IntRange(min=1), default=20, metavar="[N]")
@click.option("--by", metavar="FEATURE", help="Feature of the embedding. Default: the lake's first feature.")
@click.option("--where", metavar="SQL", help="Condition over the rows of the images to list.")
@gallery_option
@json_option
@lake_option
def outliers(count: int, by: str | None, where: str | None, gallery: str | None, as_json: bool, lake: str) -> None:
    """List the N images that are least like any other: farthest from their 10 nearest neighbours.

    The ratio is the mean distance to them divided by the median of the lake: 1 is usual.
    """
    from imrec_core.curation.listed_images import save_gallery
    from imrec_core.curation.outliers import find_outliers
    from imrec_core.lake.lake import Lake

    with ProgressLine("finding the nearest neighbours of all images"):
        found = find_outliers(Lake(lake), count, by=by, where=where)
    if gallery:
        images = [(one.path, f"ratio {one.ratio:.2f}") for one in found]
        title = f"{len(found)} outliers, the farthest from their 10 nearest neighbours first\n{_RATIO}"
        write_gallery(gallery, lambda: save_gallery([(title, images)], gallery, most=len(found)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False))
    elif found:
        rows = [[f"{o.ratio:.2f}", f"{o.distance:.4g}", o.image_id, from_here(o.path)] for o in found]
        click.echo(table(["ratio", "distance", "image_id", "path"], rows))
    else:
        click.echo("none")
