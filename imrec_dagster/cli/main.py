"""The `imrec` command: parse, make one call, show the result.

Results go to stdout, progress and complaints to stderr. torch and Dagster are imported by the commands that need
them, so that the others answer at once.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.errors import ImrecError
from imrec_core.lake import Lake
from imrec_dagster.cli.duplicates import compare, duplicates
from imrec_dagster.cli.evaluate import evaluate
from imrec_dagster.cli.export import export
from imrec_dagster.cli.map import make_map
from imrec_dagster.cli.options import json_option, lake_option, show
from imrec_dagster.cli.plot import plot
from imrec_dagster.cli.search import search
from imrec_dagster.cli.serve import serve
from imrec_dagster.cli.tune import tune

if TYPE_CHECKING:
    from imrec_core.models import Model


# -- building -----------------------------------------------------------------------------------------------


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER | NAME=FOLDER]...")
@click.option(
    "--features", metavar="A,B,…", help="Features that the lake is to have, no others; +A,+B adds. See: imrec features."
)
@click.option(
    "--with", "columns", multiple=True, metavar="FILE", help="Join its columns, by image_id or path; Parquet or CSV."
)
@click.option("--without", multiple=True, metavar="FILE", help="Join its columns no longer.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where networks run.")
@lake_option
def build(
    folders: tuple[str, ...],
    features: str | None,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    device: str,
    lake: str,
) -> None:
    """Add image folders, describe what is new or changed, publish it for search.

    A lake remembers its folders: without FOLDER they are looked through again. NAME says what a folder is called in
    the lake, else it is called as on the disk.
    """
    from imrec_dagster.cli.build import run_build

    click.echo(run_build(Lake(lake), folders, _names(features), device, columns=columns, without=without))


@click.command()
@click.argument("folder", required=False)
@lake_option
@click.pass_context
def demo(context: click.Context, folder: str | None, lake: str) -> None:
    """Build a lake of FOLDER, or of photos that come along, and search it three times."""
    from imrec_dagster.cli.demo import run_demo

    run_demo(folder, lake if _is_given(context, "lake") else None)


@click.command()
@click.option("--port", default=3000, show_default=True, help="Where it is served.")
@lake_option
def ui(port: int, lake: str) -> None:
    """Serve Dagster's web page over the lake on 127.0.0.1: assets, backfills, schedules."""
    from imrec_dagster.cli.build import serve_dagster

    serve_dagster(Lake(lake), port)


# -- looking ------------------------------------------------------------------------------------------------


@click.command()
@json_option
@lake_option
def status(as_json: bool, lake: str) -> None:
    """Say what is in the lake, what is fresh, what is stale and what a build would do."""
    from imrec_core.status import lake_status

    found = lake_status(Lake(lake))
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.in_words())


@click.command()
@json_option
@lake_option
def features(as_json: bool, lake: str) -> None:
    """List every way to describe an image that can be chosen, and those that the lake declares itself."""
    from imrec_core.features import known_features

    listed = [
        {
            "name": f.name,
            "group": f.group,
            "dims": f.dims,
            "dtype": f.dtype,
            "metrics": [m.name for m in f.metrics],
            "summary": f.summary,
            "source": f.source,
        }
        for f in known_features(Lake(lake)).values()
    ]
    show(as_json, listed, ["name", "group", "dims", "metrics", "summary"])


@click.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--fetch", is_flag=True, help="Bring the weights of the named models to this machine.")
@click.option("--check", is_flag=True, help="Compare how models run here with how their authors run them.")
@click.option("--photos", type=click.Path(exists=True, file_okay=False), help="Pictures for --check; else its own.")
@json_option
@lake_option
def models(names: tuple[str, ...], fetch: bool, check: bool, photos: str | None, as_json: bool, lake: str) -> None:
    """List the pretrained networks, with those that the lake declares; fetch their weights; check them."""
    from imrec_core.errors import UnknownName
    from imrec_core.features.own import own_models
    from imrec_core.loaders import fetch as fetch_weights
    from imrec_core.loaders import weights_here
    from imrec_core.models import MODELS

    known = MODELS | {model.name: model for model in own_models(Lake(lake))}
    for name in names:
        if name not in known:
            raise UnknownName("model", name, known)
    chosen = [known[name] for name in names or known]
    if fetch:
        if not names:
            raise click.UsageError("say which models to fetch: imrec models --fetch MODEL…")
        for model in chosen:
            click.echo(
                f"{model.name}: {'its weights are here already' if weights_here(model) else 'fetching'}", err=True
            )
            fetch_weights(model)
    if check:
        _show_agreement([model for model in chosen if names or weights_here(model)], photos, as_json)
        return
    listed = [
        {
            "name": m.name,
            "dims": m.dims,
            "input": f"{m.preprocess.crop} px",
            "text": m.text,
            "weights": "here" if weights_here(m) else "not here",
            "extra": m.extra,
            "licence": m.licence,
            "source": m.source,
        }
        for m in chosen
    ]
    show(as_json, listed, list(listed[0]))


def _show_agreement(chosen: "list[Model]", photos: str | None, as_json: bool) -> None:
    """The cosine between a picture's vectors by the fast path and by the reference, and images per second of both."""
    from imrec_core.agreement import agreement, sample_pictures

    pictures = sample_pictures(Path(photos) if photos else None)
    rows = []
    for model in chosen:
        found = agreement(model, pictures)
        rows.append({"name": model.name, "pictures": len(pictures), **asdict(found)})
    if not as_json:
        rows = [
            {
                "name": row["name"],
                "runs on": f"{row['backend']} {row['precision']}",
                "against": row["reference"],
                "mean cosine": f"{row['mean']:.4f}",
                "least": f"{row['least']:.4f}",
                "images/s": f"{row['images_per_second']:.0f}",
                "against's": f"{row['reference_images_per_second']:.0f}",
            }
            for row in rows
        ]
    show(as_json, rows, list(rows[0]) if rows else [])


@click.command()
@click.option("--retry", is_flag=True, help="Try them again first; say how many came good and how many still fail.")
@json_option
@lake_option
def failures(retry: bool, as_json: bool, lake: str) -> None:
    """List the images that could not be read or decoded, with the reason."""
    from imrec_core.views import failures as failed_images

    if retry:
        from imrec_dagster.cli.build import run_retry

        tried = run_retry(Lake(lake))
        click.echo(f"{tried.good} came good, {tried.failed} still fail{'s' * (tried.failed == 1)}", err=as_json)
    show(as_json, failed_images(Lake(lake)), ["source", "path", "error"])


@click.command()
@click.argument("statement", metavar="SELECT")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@lake_option
def sql(statement: str, as_csv: bool, as_json: bool, lake: str) -> None:
    """Ask the lake's tables in SQL: catalog, images, rows, runs, and one per feature.

    "DESCRIBE rows" lists the columns of one, and what --where and --order-by of a search can name.
    """
    from imrec_core.views import query

    found = query(Lake(lake), statement)
    if as_csv:
        click.echo(found.pl().write_csv(), nl=False)
    elif as_json:
        click.echo(json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()], default=str))
    else:
        click.echo(str(found), nl=False)


# -- words --------------------------------------------------------------------------------------------------


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None


def _is_given(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


# -- the command ------------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imrec")
def imrec() -> None:
    """Find the images most like this one, in a folder of half a million."""


for command in (
    build,
    demo,
    ui,
    search,
    duplicates,
    compare,
    export,
    make_map,
    serve,
    evaluate,
    tune,
    plot,
    status,
    features,
    models,
    failures,
    sql,
):
    imrec.add_command(command)


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
