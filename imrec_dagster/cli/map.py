"""`imrec map`: where the images lie, and a picture of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show

if TYPE_CHECKING:
    from imrec_core.maps import MapReport

_METHODS = ("umap", "tsne")  # a test holds them to those of the core, which loads slowly
_PICTURES = (".png", ".svg")


@click.command("map")
@click.option("--by", metavar="FEATURE", help="Images that are alike by it lie near each other. Default: the first.")
@click.option("--method", type=click.Choice(_METHODS), default="umap", show_default=True, help="How it is laid out.")
@click.option("--name", help="Of the map. Default: the feature, and the method if it is tsne.")
@click.option("--sample", type=int, metavar="N", help="Images laid out together; the others join their nearest.")
@click.option("--neighbours", type=int, metavar="N", help="Of each image, by which it is placed. Default: 15; tsne 30.")
@click.option("--cluster-size", type=int, metavar="N", help="Images in a cluster, at least.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one gives another map of the same.")
@click.option("--update", is_flag=True, help="Images on the map stay where they are; new ones are placed among them.")
@click.option("--list", "as_list", is_flag=True, help="List the maps there are, and make none.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw a map as PNG or SVG; one that is there is made anew only where options say how.",
)
@click.option(
    "--colour", default="cluster", show_default=True, help="cluster, source, folder, or a column of the rows."
)
@click.option("--only", metavar="VALUE", help="One value of it against all others.")
@click.option("--thumbnails", is_flag=True, help="Draw the picture that stands for each cluster.")
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
    picture: Path | None,
    colour: str,
    only: str | None,
    thumbnails: bool,
    as_json: bool,
    lake: str,
) -> None:
    """Lay out all images so that those that are alike lie near each other, and find clusters of them.

    `imrec serve` shows the map in the page.
    """
    of = Lake(lake)
    if as_list:
        _show_maps(of, as_json)
        return
    if picture and picture.suffix.lower() not in _PICTURES:
        raise click.BadParameter(f"{picture.name} ends in neither .png nor .svg", param_hint="--picture")
    if not picture and (only or thumbnails or colour != "cluster"):
        raise click.UsageError("--colour, --only and --thumbnails are about a picture; add --picture FILE")
    options = {"sample": sample, "neighbours": neighbours, "cluster_size": cluster_size, "seed": seed or None}
    given = {option: value for option, value in options.items() if value is not None}
    if update and given:
        raise click.UsageError("--update keeps to how the map was made; leave out what says how")
    name = name or _default_name(of, by, method)
    if picture:
        _check_colour(of, colour)  # before a map is made for nothing
    if update or given or not (picture and _is_there(of, name)):
        report = _made(of, name, by, method, update, given)
        click.echo(json.dumps(report.to_dict()) if as_json else report.summary())
    if picture:
        _draw(of, name, picture, colour, only, thumbnails)


def _default_name(lake: Lake, by: str | None, method: str) -> str:
    from imrec_core.index.generation import open_generation
    from imrec_core.maps import map_name

    return map_name(by or open_generation(lake).default_feature, method)


def _check_colour(lake: Lake, colour: str) -> None:
    from imrec_core.index.generation import open_generation
    from imrec_core.maps.colouring import check_colour

    check_colour(open_generation(lake), colour)


def _is_there(lake: Lake, name: str) -> bool:
    from imrec_core.maps import map_names

    return name in map_names(lake)


def _made(
    lake: Lake,
    name: str,
    by: str | None,
    method: str,
    update: bool,
    given: dict[str, int],
) -> "MapReport":
    from imrec_core import maps
    from imrec_dagster.run_log import record

    def progress(line: str) -> None:
        click.echo(line, err=True)

    if update:
        report = maps.update_map(lake, name, progress=progress)
    else:
        report = maps.build_map(lake, by, method=method, name=name, progress=progress, **given)
    record(lake, report)
    return report


def _draw(lake: Lake, name: str, file: Path, colour: str, only: str | None, thumbnails: bool) -> None:
    from imrec_core.index.generation import open_generation
    from imrec_core.lake.storage.files import write_bytes
    from imrec_core.maps import load_map
    from imrec_core.maps.picture import draw_map

    kind = file.suffix.lower().removeprefix(".")
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
    click.echo(f"{name} is drawn in {file}", err=True)


def _show_maps(lake: Lake, as_json: bool) -> None:
    from imrec_core.maps import load_map, map_names

    lake.check_version()
    current = lake.current_generation()
    maps = [load_map(lake, name, ["row"]) for name in map_names(lake)]
    rows = [
        {
            "name": found.name,
            "feature": found.feature,
            "method": found.method,
            "images": len(found.table),
            "clusters": len(found.clusters),
            "generation": found.generation,
            "current": found.generation == current,
        }
        for found in maps
    ]
    show(as_json, rows, list(rows[0]) if rows else [])
