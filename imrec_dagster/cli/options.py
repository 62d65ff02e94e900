"""Options that several commands share. Those for labels are in `label_options.py`."""

from collections.abc import Callable

import click

from imrec_core.errors import DeclarationError
from imrec_core.models.device_names import parse_devices
from imrec_dagster.cli.completion import complete_folders


class Devices(click.ParamType):
    """Devices of the networks, as `parse_devices` reads them; the value is a text again."""

    name = "devices"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return ",".join(parse_devices(value))
        except DeclarationError as error:
            self.fail(str(error), param, ctx)


lake_option = click.option(
    "--lake",
    envvar="IMREC_LAKE",
    default="data_lake",
    show_default=True,
    shell_complete=complete_folders,
    help="Folder or URL of the lake (or IMREC_LAKE).",
)


def _trust_models(context: click.Context, parameter: click.Parameter, is_trusted: bool) -> None:
    if is_trusted:
        from imrec_core.models.trust import trust_models

        trust_models()


trust_option = click.option(
    "--trust-models",
    is_flag=True,
    expose_value=False,
    callback=_trust_models,
    help="Let networks in lake.toml run their Python functions and TorchScript programs (or IMREC_TRUST_MODELS=1).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
TIER = click.Choice(["identical", "same_pixels", "near", "edited", "variant"])
null_option = click.option("-0", "--null", is_flag=True, help="Like --paths, but end each with a NUL, for: xargs -0")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print no notes and no progress to stderr.")


def paths_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option `--paths`, which prints such paths and nothing else."""
    return click.option("--paths", is_flag=True, help=f"Print only {what}, one per line.")


gallery_option = click.option(
    "-o",
    "--gallery",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write a contact sheet, as PNG or SVG.",
)
