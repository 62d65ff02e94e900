"""`imrec models`: list pretrained networks, fetch their weights, and measure numerical parity."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option, trust_option
from imrec_dagster.cli.output import show
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from imrec_core.models.model import Model


@click.command(
    short_help="List pretrained networks, fetch and check their weights",
    epilog=examples("imrec models --fetch clip_vit_b32"),
)
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--fetch", is_flag=True, help="Download the weights of the named models.")
@click.option(
    "--check", is_flag=True, help="Compare the vectors on this machine with those of the reference implementation."
)
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of images for --check. Default: generated images.",
)
@json_option
@trust_option
@lake_option
def models(names: tuple[str, ...], fetch: bool, check: bool, photos: str | None, as_json: bool, lake: str) -> None:
    """List pretrained networks, with those that the lake declares; fetch their weights; check their parity."""
    from imrec_core.errors import UnknownName
    from imrec_core.features.custom import custom_models
    from imrec_core.lake.lake import Lake
    from imrec_core.models.loading import fetch as fetch_weights
    from imrec_core.models.loading import weights_here
    from imrec_core.models.registry import MODELS

    known = MODELS | {model.name: model for model in custom_models(Lake(lake))}
    for name in names:
        if name not in known:
            raise UnknownName("model", name, known)
    chosen = [known[name] for name in names or known]
    if fetch:
        if not names:
            raise click.UsageError("--fetch needs the name of a model: imrec models --fetch MODEL…")
        for model in chosen:
            click.echo(f"{model.name}: {'weights are present' if weights_here(model) else 'fetching'}", err=True)
            fetch_weights(model)
    if check:
        _show_parity([model for model in chosen if names or weights_here(model)], photos, as_json)
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


def _show_parity(chosen: "list[Model]", photos: str | None, as_json: bool) -> None:
    """Print the cosine between vectors of the fast path and of the reference, and images per second of both."""
    from imrec_core.models.parity import measure_parity, sample_images

    pictures = sample_images(Path(photos) if photos else None)
    rows = []
    for model in chosen:
        with ProgressLine(f"measuring {model.name}"):
            found = measure_parity(model, pictures)
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
