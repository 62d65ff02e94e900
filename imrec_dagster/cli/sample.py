"""`imrec sample`: draw a random or a diverse sample of the images."""

import json
from dataclasses import asdict

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import gallery_option, json_option, lake_option
from imrec_dagster.cli.output import from_here, write_gallery
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table


@click.command(
    short_help="Draw a random or a diverse sample of images",
    epilog=examples("imrec sample 100 --diverse --tag to_label"),
)
@click.argument("count", type=click.IntRange(min=1), metavar="N")
@click.option("--diverse", is_flag=True, help="Cover the embedding: each image is the one farthest from those before.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of a random sample. Default: 0.")
@click.option("--by", metavar="FEATURE", help="With --diverse: feature of the embedding. Default: the lake's first.")
@click.option("--where", metavar="SQL", help="Condition over the rows to draw from.")
@click.option("--tag", metavar="TAG", help="Give these images a tag, for example for: imrec export --where.")
@gallery_option
@json_option
@lake_option
def sample(
    count: int,
    diverse: bool,
    seed: int | None,
    by: str | None,
    where: str | None,
    tag: str | None,
    gallery: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """Draw N images: at random, or with --diverse so that every image of the lake has a near one in the sample.

    The first images of a diverse sample are a diverse sample, too.
    """
    from imrec_core.curation.listed_images import save_gallery
    from imrec_core.curation.sample import draw_sample
    from imrec_core.lake.lake import Lake

    if diverse and seed is not None:
        raise click.UsageError("--diverse has no seed: it always chooses the same images; leave out --seed")
    if by and not diverse:
        raise click.UsageError("--by needs --diverse: a random sample uses no feature")
    with ProgressLine("drawing a sample"):
        found = draw_sample(Lake(lake), count, diverse=diverse, seed=seed or 0, by=by, where=where)
    images = found.images
    if tag is not None:
        from imrec_core.curation.tags import tag_images

        tag_images(Lake(lake), tag, [image.image_id for image in images])
    if gallery:
        title = f"Sample of {len(images)} images, {'diverse' if diverse else 'at random'}"
        shown = [(image.path, image.image_id) for image in images]
        write_gallery(gallery, lambda: save_gallery([(title, shown)], gallery, most=len(shown)))
    if as_json:
        click.echo(json.dumps([asdict(image) for image in images], ensure_ascii=False))
    else:
        click.echo(table(["image_id", "path"], [[image.image_id, from_here(image.path)] for image in images]))
    if found.radius is not None:
        click.echo(f"every image of the lake is within {found.radius:.3g} of one of these {len(images)}", err=True)
