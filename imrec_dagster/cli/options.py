"""Options that several commands share. Those for labels are in `label_options.py`."""

import click

lake_option = click.option(
    "--lake",
    envvar="IMREC_LAKE",
    default="data_lake",
    show_default=True,
    help="Folder or URL of the lake (or IMREC_LAKE).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
TIER = click.Choice(["identical", "same_pixels", "near", "edited", "variant"])
