"""The clusters of a map as a table: size, name, and what the name goes by."""

import json
from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.tables import table

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake

FIRST = 20
"""Clusters listed after a map was built; `--clusters` lists all."""

_HEADING = ["cluster", "images", "name", "by", "share", "lift"]


def show_clusters(lake: "Lake", name: str, *, as_json: bool = False, most: int | None = None) -> None:
    """Print the clusters of a map, the largest first; at most `most` of them in a table."""
    from dataclasses import asdict

    from imrec_core.index.opening import open_generation
    from imrec_core.maps import load_map, name_clusters

    named = name_clusters(load_map(lake, name, ["row", "image_id", "cluster"]), open_generation(lake))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in named], ensure_ascii=False))
        return
    if not named:
        click.echo(f"map {name} has no clusters")
        return
    rows = []
    for one in sorted(named, key=lambda one: (-one.size, one.cluster))[:most]:
        terms = [
            ", ".join(term.by for term in one.terms),
            ", ".join(f"{term.share:.0%}" for term in one.terms),
            ", ".join(f"{term.lift:.3g}" for term in one.terms),
        ]
        rows.append([str(one.cluster), str(one.size), one.name, *terms])
    click.echo(table(_HEADING, rows, texts=(2,)))
    if len(rows) < len(named):
        click.echo(f"{len(named) - len(rows)} more: imrec map --name {name} --clusters")
