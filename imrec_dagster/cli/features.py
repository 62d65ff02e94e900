"""`imrec features`: list every declared feature, and which ones the lake has."""

from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake

_IMAGES = "in the lake"


@click.command(short_help="List the features, and which ones the lake has", epilog=examples("imrec features"))
@json_option
@lake_option
def features(as_json: bool, lake: str) -> None:
    """List every feature, with those that the lake declares itself.

    A ✓ marks the features that searches in the lake can use, with their number of images.
    """
    from imrec_core.features import known_features
    from imrec_core.lake.lake import Lake

    opened = Lake(lake)
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
        for f in known_features(opened).values()
    ]
    columns = ["name", "group", "dims", "metrics", "summary"]
    if not as_json and (images := _images(opened)):
        listed = [row | {_IMAGES: images.get(str(row["name"]), "")} for row in listed]
        columns.insert(3, _IMAGES)
    show(as_json, listed, columns)


def _images(lake: "Lake") -> dict[str, str]:
    """Return the number of images of each feature of the lake, with a mark; empty if there is no lake."""
    from imrec_core.features import known_features, table_name
    from imrec_core.features.searched import current_name
    from imrec_core.index.opening import readable_generation
    from imrec_core.lake.storage.files import exists

    if not exists(lake.settings_path):
        return {}
    known = known_features(lake)
    images = {table_name(current_name(name, known)): "needs imrec build" for name in lake.settings().features}
    if generation := readable_generation(lake):
        searched = f"✓ {len(generation) - generation.removed:,}"
        images |= {table_name(name): searched for name in generation.features}
    return images
