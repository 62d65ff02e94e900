"""The `imrec` command: parse, make one call, show the result.

Results go to stdout, progress and complaints to stderr. torch and Dagster are imported by the commands that need
them, so that the others answer at once.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.errors import ImrecError
from imrec_core.lake import Lake
from imrec_dagster.words import from_here, table

if TYPE_CHECKING:
    from imrec_core.hits import Hits

lake_option = click.option(
    "--lake", envvar="IMREC_LAKE", default="data_lake", show_default=True, help="Folder of the lake (or IMREC_LAKE)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imrec")
def imrec() -> None:
    """Find the images most like this one, in a folder of half a million."""


def main() -> None:
    """Run the command; an `ImrecError` becomes one line and exit status 1."""
    try:
        imrec.main(prog_name="imrec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except ImrecError as error:
        sys.exit(f"imrec: {' '.join(str(error).split())}")
    except (KeyboardInterrupt, click.Abort):
        sys.exit("imrec: interrupted; what was finished is kept, the same command goes on from there")
    except BrokenPipeError:  # `imrec … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- building -----------------------------------------------------------------------------------------------


@imrec.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER | NAME=FOLDER]...")
@click.option("--features", metavar="A,B,…", help="Features that the lake is to have; see: imrec features.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where networks run.")
@lake_option
def build(folders: tuple[str, ...], features: str | None, device: str, lake: str) -> None:
    """Add image folders, describe what is new or changed, publish it for search."""
    from imrec_dagster.command import run_build

    click.echo(run_build(Lake(lake), folders, _names(features), device))


@imrec.command()
@click.argument("folder", required=False)
@lake_option
@click.pass_context
def demo(context: click.Context, folder: str | None, lake: str) -> None:
    """Build a lake of FOLDER, or of photos that come along, and search it three times."""
    from imrec_dagster.demo import run_demo

    run_demo(folder, lake if _is_given(context, "lake") else None)


@imrec.command()
@click.option("--port", default=3000, show_default=True)
@lake_option
def ui(port: int, lake: str) -> None:
    """Serve Dagster's web page over the lake on 127.0.0.1: assets, backfills, schedules."""
    from imrec_dagster.command import serve_dagster

    serve_dagster(Lake(lake), port)


# -- searching ----------------------------------------------------------------------------------------------


@imrec.command()
@click.argument("image")
@click.option("-k", default=5, show_default=True, help="How many to show.")
@click.option("--by", multiple=True, metavar="FEATURE[:METRIC][=WEIGHT]", help="What counts; repeat to combine.")
@click.option("--where", metavar="SQL", help="Condition over the rows, such as: width >= 800 AND source = 'holiday'")
@click.option("--exact", is_flag=True, help="Look at every image instead of asking the graphs.")
@click.option("--sheet", type=click.Path(dir_okay=False), help="Write a picture of the query and its hits.")
@json_option
@lake_option
def search(
    image: str,
    k: int,
    by: tuple[str, ...],
    where: str | None,
    exact: bool,
    sheet: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """Find the images most like IMAGE: a file, or the image_id of one in the lake."""
    from imrec_core.search import ImageId, Recommender

    weights = _weights(by)
    recommender = Recommender.open(lake)
    is_id = len(image) == 16 and not Path(image).exists()
    hits = recommender.search(ImageId(image) if is_id else image, k=k, by=weights, where=where, exact=exact)
    if sheet:
        title = f"{image} by {', '.join(by) or next(iter(recommender.generation.features))}"
        try:
            hits.contact_sheet(sheet, title=title)
        except (OSError, ValueError) as error:  # ValueError: Pillow knows no format by that ending
            raise click.BadParameter(f"cannot write {sheet}: {error}", param_hint="--sheet") from error
    click.echo(hits.to_json() if as_json else _hits_table(hits))


def _weights(by: Sequence[str]) -> dict[str, float] | None:
    """`--by phash=0.5 --by rgb_histogram` as a mapping; None where nothing was said."""
    weights = {}
    for text in by:
        name, equals, weight = text.partition("=")
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError:
            raise click.BadParameter(f"the weight in {text!r} is no number", param_hint="--by") from None
    return weights or None


def _hits_table(hits: "Hits") -> str:
    if not hits:
        return "no image left to compare with"
    names = list(hits[0].parts)
    rows = [
        [str(h.rank), f"{h.score:.3f}", *(f"{h.parts[n].distance:.4g}" for n in names), h.image_id, from_here(h.path)]
        for h in hits
    ]
    return table(["", "score", *names, "image_id", "path"], rows)


# -- looking ------------------------------------------------------------------------------------------------


@imrec.command()
@json_option
@lake_option
def status(as_json: bool, lake: str) -> None:
    """Say what is in the lake, what is fresh, what is stale and what a build would do."""
    from imrec_core.status import lake_status

    found = lake_status(Lake(lake))
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.in_words())


@imrec.command()
@json_option
def features(as_json: bool) -> None:
    """List every way to describe an image that can be chosen."""
    from imrec_core.features import FEATURES

    listed = [
        {
            "name": f.name,
            "dims": f.dims,
            "dtype": f.dtype,
            "metrics": [m.name for m in f.metrics],
            "summary": f.summary,
            "source": f.source,
        }
        for f in FEATURES.values()
    ]
    _show(as_json, listed, ["name", "dims", "metrics", "summary"])


@imrec.command()
@json_option
@lake_option
def failures(as_json: bool, lake: str) -> None:
    """List the images that could not be read or decoded, with the reason."""
    from imrec_core.views import failures as failed_images

    _show(as_json, failed_images(Lake(lake)), ["source", "path", "error"])


@imrec.command()
@click.argument("statement", metavar="SELECT")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@lake_option
def sql(statement: str, as_csv: bool, as_json: bool, lake: str) -> None:
    """Ask the lake's tables in SQL: catalog, images, rows, and one per feature."""
    from imrec_core.views import query

    found = query(Lake(lake), statement)
    if as_csv:
        click.echo(found.pl().write_csv(), nl=False)
    elif as_json:
        click.echo(json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()], default=str))
    else:
        click.echo(str(found), nl=False)


# -- words --------------------------------------------------------------------------------------------------


def _show(as_json: bool, rows: list[dict[str, Any]], columns: list[str]) -> None:
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif rows:
        click.echo(table(columns, [[_cell(row[c]) for c in columns] for row in rows]))
    else:
        click.echo("none")


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None


def _is_given(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


if __name__ == "__main__":
    main()
