"""`imrec map`: lay out the images in two dimensions, and plot the map."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.map_clusters import FIRST, show_clusters
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake
    from imrec_core.maps import MapReport

_METHODS = ("umap", "tsne")  # repeated here, as importing the core is slow; a test compares
_PLOT_FORMATS = (".png", ".svg")


@click.command(
    "map",
    short_help="Lay out all images in two dimensions, and cluster them",
    epilog=examples("imrec map --picture map.png --thumbnails", "imrec map --clusters"),
)
@click.option("--by", metavar="FEATURE", help="Feature that places the images. Default: the first.")
@click.option("--method", type=click.Choice(_METHODS), default="umap", show_default=True, help="Layout method.")
@click.option("--name", help="Name of the map. Default: the feature, and the method if it is tsne.")
@click.option(
    "--sample",
    type=int,
    metavar="N",
    help="Images laid out together; the others are placed by their nearest neighbours.",
)
@click.option(
    "--neighbours", type=int, metavar="N", help="Nearest neighbours that place an image. Default: 15; tsne 30."
)
@click.option("--cluster-size", type=int, metavar="N", help="Smallest number of images in a cluster.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the layout.")
@click.option("--update", is_flag=True, help="Keep the positions of images on the map, and place new ones among them.")
@click.option("--list", "as_list", is_flag=True, help="List the existing maps; build none.")
@click.option("--clusters", "as_clusters", is_flag=True, help="List the clusters of the map by name; build none.")
@click.option(
    "-o",
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Plot the map as PNG or SVG. An existing map is built again only if options change its layout.",
)
@click.option(
    "--colour", default="cluster", show_default=True, help="Colour by cluster, source, folder, or a column of the rows."
)
@click.option("--only", metavar="VALUE", help="Highlight one value of --colour against all others.")
@click.option("--thumbnails", is_flag=True, help="Draw the representative image of each cluster.")
@json_option
@lake_option
def make_map(
    by: str | None,
    method: str,
    name: str | None,
    sample: int | None,
    neighbours: int | None,
    cluster_size: int | None,
    seed: int,
    update: bool,
    as_list: bool,
    as_clusters: bool,
    picture: Path | None,
    colour: str,
    only: str | None,
    thumbnails: bool,
    as_json: bool,
    lake: str,
) -> None:
    """Lay out all images in two dimensions, similar ones near each other, and cluster them.

    `imrec serve` shows the map in the page.
    """
    from imrec_core.lake.lake import Lake

    opened = Lake(lake)
    if as_list:
        _show_maps(opened, as_json)
        return
    if picture and picture.suffix.lower() not in _PLOT_FORMATS:
        raise click.BadParameter(f"{picture.name}: expected a name ending in .png or .svg", param_hint="--picture")
    if not picture and (only or thumbnails or colour != "cluster"):
        raise click.UsageError("--colour, --only and --thumbnails need --picture FILE")
    options = {"sample": sample, "neighbours": neighbours, "cluster_size": cluster_size, "seed": seed or None}
    given = {option: value for option, value in options.items() if value is not None}
    if update and given:
        raise click.UsageError(
            "--update keeps the layout options of the map; leave out --sample, --neighbours, --cluster-size and --seed"
        )
    name = name or _default_name(opened, by, method)
    if as_clusters:
        if given or update or picture:
            raise click.UsageError("--clusters makes no map; leave out layout options, --update and --picture")
        show_clusters(opened, name, as_json=as_json)
        return
    if picture:
        _check_colour(opened, colour)  # before a map is built in vain
    if update or given or not (picture and _exists(opened, name)):
        report = _build(opened, name, by, method, update, given)
        click.echo(json.dumps(report.to_dict()) if as_json else report.summary())
        if not as_json and report.clusters:
            show_clusters(opened, name, most=FIRST)
    if picture:
        _plot(opened, name, picture, colour, only, thumbnails)


def _default_name(lake: "Lake", by: str | None, method: str) -> str:
    from imrec_core.index.opening import open_generation
    from imrec_core.maps import map_name

    return map_name(by or open_generation(lake).default_feature, method)


def _check_colour(lake: "Lake", colour: str) -> None:
    from imrec_core.index.opening import open_generation
    from imrec_core.maps.colouring import check_colour

    check_colour(open_generation(lake), colour)


def _exists(lake: "Lake", name: str) -> bool:
    from imrec_core.maps import map_names

    return name in map_names(lake)


def _build(
    lake: "Lake",
    name: str,
    by: str | None,
    method: str,
    update: bool,
    given: dict[str, int],
) -> "MapReport":
    from imrec_core import maps
    from imrec_dagster.run_log import record_map

    with ProgressLine("reading the lake") as progress:
        if update:
            report = maps.update_map(lake, name, progress=progress)
        else:
            report = maps.build_map(lake, by, method=method, name=name, progress=progress, **given)
    record_map(lake, report)
    return report


def _plot(lake: "Lake", name: str, file: Path, colour: str, only: str | None, thumbnails: bool) -> None:
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.storage.files import write_bytes
    from imrec_core.maps import load_map
    from imrec_core.maps.picture import draw_map

    kind = file.suffix.lower().removeprefix(".")
    with ProgressLine("plotting the map"):
        drawn = draw_map(
            lake,
            load_map(lake, name),
            open_generation(lake),
            colour=colour,
            only=only,
            thumbnails=thumbnails,
            kind=kind,
        )
    write_bytes(file, drawn)
    click.echo(f"{file}: plot of map {name}", err=True)


def _show_maps(lake: "Lake", as_json: bool) -> None:
    from imrec_core.maps import load_map, map_names

    lake.check_version()
    current = lake.current_generation()
    maps = [load_map(lake, name, ["row"]) for name in map_names(lake)]
    rows = [
        {
            "name": m.name,
            "feature": m.feature,
            "method": m.method,
            "images": len(m.table),
            "clusters": len(m.clusters),
            "generation": m.generation,
            "current": m.generation == current,
        }
        for m in maps
    ]
    show(as_json, rows, list(rows[0]) if rows else [])
