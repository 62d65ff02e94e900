"""`imrec tag`: give images a tag, take it away, list the tags."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imrec_core.lake.lake import Lake


@click.command(
    short_help="Give tags to images, and list tags",
    epilog=examples("imrec tag holiday beach.jpg dunes.jpg", "imrec tag large --where 'width >= 4000'"),
)
@click.argument("name", required=False, metavar="[TAG]")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option("--ids", type=click.File(), metavar="FILE", help="File of image_ids or files, one a line; - for stdin.")
@click.option("--where", metavar="SQL", help="Condition over the rows of images to tag.")
@click.option("--like", metavar="IMAGE", help="Tag the images most like this one; see -k.")
@click.option(
    "-k",
    "-n",
    "--limit",
    "k",
    type=click.IntRange(min=1),
    default=None,
    help="With --like: number of images. Default: 5.",
)
@click.option("--remove", is_flag=True, help="Take the tag away instead.")
@click.option("--list", "listed", is_flag=True, help="List the tags with their numbers of images.")
@json_option
@lake_option
def tag(
    name: str | None,
    images: tuple[str, ...],
    ids: TextIO | None,
    where: str | None,
    like: str | None,
    k: int | None,
    remove: bool,
    listed: bool,
    as_json: bool,
    lake: str,
) -> None:
    """Give TAG to images of the lake, named as files or by image_id, or take it away.

    A tag stays with the content of an image: copies have it too, and it survives renames, moves and builds. Filters see
    it at once: --where "'holiday' IN tags".
    """
    from imrec_core.curation.tags import count_tags, tag_images
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake

    opened = Lake(lake)
    if listed or name is None:
        if not listed or name or images or ids or where or like or remove:
            raise click.UsageError("give a TAG and images, or --list alone")
        counts = [asdict(count) for count in count_tags(opened, open_generation(opened))]
        show(as_json, counts, ["tag", "images"])
        return
    if k is not None and like is None:
        raise click.UsageError("-k needs --like IMAGE")
    named = [*images, *_lines(ids), *_found(opened, like, k or 5)]
    if not named and where is None:
        raise click.UsageError("name images to tag: IMAGE, --ids FILE, --where SQL or --like IMAGE")
    changed = tag_images(opened, name, named, where=where, remove=remove)
    if as_json:
        click.echo(json.dumps({"tag": name, "removed": remove, "images": changed}))
    else:
        click.echo(f"{changed} images {'have no longer' if remove else 'now have'} the tag {name!r}")


def _lines(file: TextIO | None) -> "Sequence[str]":
    return [line.strip() for line in file if line.strip()] if file else []


def _found(lake: "Lake", like: str | None, k: int) -> "Sequence[str]":
    """Return the ids of the images most like a query."""
    if like is None:
        return []
    from imrec_core.search.recommender import Recommender
    from imrec_dagster.cli.query_argument import parse_query

    with ProgressLine("searching"):
        return [hit.image_id for hit in Recommender.open(lake).search(parse_query(like)[0], k=k)]
