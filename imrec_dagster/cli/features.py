"""`imrec features`: list every declared feature."""

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show


@click.command(short_help="List the features", epilog=examples("imrec features"))
@json_option
@lake_option
def features(as_json: bool, lake: str) -> None:
    """List every feature, with those that the lake declares itself."""
    from imrec_core.features import known_features
    from imrec_core.lake.lake import Lake

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
