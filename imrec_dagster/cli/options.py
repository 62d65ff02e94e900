"""Options that several commands share."""

import click

lake_option = click.option(
    "--lake", envvar="IMREC_LAKE", default="data_lake", show_default=True, help="Folder of the lake (or IMREC_LAKE)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
TIER = click.Choice(["identical", "same_pixels", "near", "edited"])
