"""`imrec demo`: build a lake of demo photos and search it three times."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.errors import MissingDependency
from imrec_dagster.cli.build import run_build
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import lake_option
from imrec_dagster.cli.output import from_here
from imrec_dagster.cli.page_server import listen_locally, require_web, serve_locally

if TYPE_CHECKING:
    from imrec_core.search.query import Query
    from imrec_core.search.recommender import Recommender

_PHOTOS = Path("demo_photos")
_LAKE = "data_lake/demo"  # apart from the default lake, which gets no demo photos

# Queries over the demo photos: an edited copy should find its original and the other copies of it.
_DEMO_QUERIES = (
    ("content", "efficientnet_lite0", "coffee__crop.jpg"),
    ("colour", "hsv_histogram", "flower__mirrored.jpg"),
    ("hash", "phash", "rocket__jpeg20.jpg"),
)


@click.command(short_help="Build a lake of demo photos, and search it", epilog=examples("imrec demo"))
@click.argument("folder", required=False)
@lake_option
@click.pass_context
def demo(context: click.Context, folder: str | None, lake: str) -> None:
    """Build a lake of FOLDER, or of the demo photos of scikit-image and scikit-learn, and search it three times.

    In a terminal, the search page of the lake is then served until Ctrl-C; not if DEMO_SERVE=0 is set.
    """
    root = lake if _is_given(context, "lake") else (_LAKE if folder is None else "data_lake")
    run_demo(folder, root)
    _offer_page(root)


def _is_given(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


def run_demo(folder: str | None, root: str) -> None:
    """Build a lake, search it three times, write a contact sheet, and print commands to try next."""
    from imrec_core.images.sample_photos import prepare
    from imrec_core.lake.lake import Lake
    from imrec_core.plots.contact_sheet import draw
    from imrec_core.search.recommender import Recommender

    if folder is None:
        click.echo(
            f"{prepare(_PHOTOS)} demo photos in {_PHOTOS}; those in broken/ cannot be read, on purpose", err=True
        )
    click.echo(run_build(Lake(root), [folder or f"demo={_PHOTOS}"], None, "auto"))
    recommender = Recommender.open(root)
    sections = []
    for subject, feature, query in _queries(recommender, folder):
        hits = recommender.search(query, by=feature, k=5)
        click.echo(f"\nby {subject} ({feature}), most like {from_here(str(hits.query))}:")
        for hit in hits:
            click.echo(f"  {hit.score:.3f}  {hit.likeness:<10}  {from_here(hit.path)}")
        sections.append(hits.section(f"Most similar by {subject}: {from_here(str(hits.query))}"))
    sheet = Path(root) / "contact_sheet.png"
    draw(sections).save(sheet)
    click.echo(
        "\na score of 1 is identical, 0.75 as close as one random pair of images in a thousand, 0.6 one in a hundred"
    )
    click.echo(f"contact sheet of queries and hits: {sheet}")
    click.echo(_next_steps(root, from_here(hits[0].path)))


def _queries(recommender: "Recommender", folder: str | None) -> "list[tuple[str, str, Query]]":
    from imrec_core.search.query import ImageId

    if folder is None:
        return [(subject, feature, str(_PHOTOS / name)) for subject, feature, name in _DEMO_QUERIES]
    ids = recommender.generation.live_table(["image_id"])["image_id"]
    spread = [ids[len(ids) * part // 4].as_py() for part in (1, 2, 3)]
    return [(subject, feature, ImageId(i)) for (subject, feature, _), i in zip(_DEMO_QUERIES, spread, strict=True)]


def _next_steps(root: str, path: str) -> str:
    lake = _lake_words(root)
    mix = "--by efficientnet_lite0 --by hsv_histogram=0.5"
    return f"""
To try next:
  .venv/bin/imrec search {shlex.quote(path)} {mix} --sheet hits.png{lake}
  .venv/bin/imrec ui{lake}  # the Dagster graph that made it
  .venv/bin/imrec build /my/photos"""


def _lake_words(root: str) -> str:
    return "" if root == "data_lake" else f" --lake {shlex.quote(root)}"


def _offer_page(root: str) -> None:
    """Serve the page until Ctrl-C; print the command instead outside a terminal, and if the page is not wanted."""
    from imrec_core.lake.lake import Lake

    click.echo("\nTo search with the mouse:")
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not is_terminal or os.environ.get("DEMO_SERVE") == "0" or not _has_web():
        click.echo(f"  .venv/bin/imrec serve{_lake_words(root)}")
        return
    with listen_locally(None) as listener:
        serve_locally(Lake(root), listener)


def _has_web() -> bool:
    try:
        require_web()
    except MissingDependency:
        return False
    return True
