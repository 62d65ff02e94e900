"""`imrec sources`: list, add, rename, move and drop the image folders of a lake."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imrec_core.errors import BadSource
from imrec_dagster.cli.completion import complete_folders
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table

if TYPE_CHECKING:
    from imrec_core.upkeep.sources import SourceChange

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


class _ListByDefault(click.Group):
    """A group in which `imrec sources [OPTIONS]` is `imrec sources list [OPTIONS]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the name of the default command if the arguments name none."""
        asks_for_help = args and args[0] in ctx.help_option_names
        has_command = args and not args[0].startswith("-")
        return super().parse_args(ctx, args if has_command or asks_for_help else ["list", *args])


@click.group(
    cls=_ListByDefault,
    short_help="List, add, rename, move and drop image folders",
    epilog=examples("imrec sources", "imrec sources rename photos holiday"),
)
def sources() -> None:
    """List, add, rename, move and drop the image folders of a lake; without COMMAND, list them."""


@sources.command("list", short_help="List the image folders", epilog=examples("imrec sources list --json"))
@json_option
@lake_option
def list_command(as_json: bool, lake: str) -> None:
    """Print each source with its folder, number of images, their size, and the time of its last scan (UTC)."""
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.sources import list_sources

    found = list_sources(Lake(lake))
    if as_json:
        click.echo(json.dumps([asdict(source) for source in found], ensure_ascii=False))
    elif found:
        rows = [
            [
                source.name,
                str(source.images),
                f"{source.byte_size / 1e6:.1f} MB",
                (source.scanned or "never").removesuffix("+00:00"),
                "" if source.is_there else "away",
                source.place,
            ]
            for source in found
        ]
        click.echo(table(["name", "images", "size", "last scan", "", "place"], rows))
    else:
        click.echo("no image folder yet: imrec build FOLDER")


@sources.command(
    short_help="Add image folders", epilog=examples("imrec sources add ~/Pictures holiday=/mnt/disk/photos")
)
@click.argument(
    "folders", nargs=-1, required=True, metavar="[FOLDER | NAME=FOLDER]...", shell_complete=complete_folders
)
@json_option
@lake_option
def add(folders: tuple[str, ...], as_json: bool, lake: str) -> None:
    """Add image folders; the next build reads them."""
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.sources import add_sources

    names = add_sources(Lake(lake), folders)
    if as_json:
        click.echo(json.dumps({"added": names}, ensure_ascii=False))
    else:
        click.echo(f"added {', '.join(names)}; to read the images, run: imrec build" if names else "nothing to add")


@sources.command(short_help="Rename a source", epilog=examples("imrec sources rename photos holiday"))
@click.argument("old")
@click.argument("new")
@json_option
@lake_option
def rename(old: str, new: str, as_json: bool, lake: str) -> None:
    """Rename a source. No image is read again; ids and paths with the name OLD resolve for one more version."""
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.sources import rename_source

    with ProgressLine(f"renaming {old}"):
        change = rename_source(Lake(lake), old, new)
    _show(change, f"{old} is {new} now", as_json)


@sources.command(
    short_help="Set the new folder of a source whose files were moved",
    epilog=examples("imrec sources move holiday /mnt/disk/holiday"),
)
@click.argument("name")
@click.argument("place", shell_complete=complete_folders)
@yes_option
@json_option
@lake_option
def move(name: str, place: str, yes: bool, as_json: bool, lake: str) -> None:
    """Set another folder for a source whose files were moved to PLACE; the next build decodes only what differs."""
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.sources import move_source, preview_move

    opened = Lake(lake)
    opened.check_version()
    with ProgressLine(f"looking at {place}"):
        preview = preview_move(opened, name, place)
    found = f"{place} has {preview.found} of the {preview.known} known images of {name!r}"
    if not preview.is_plausible and not yes:
        raise BadSource(f"{found}, by path and size; if that is meant, run again with --yes")
    with ProgressLine(f"moving {name}"):
        change = move_source(opened, name, place)
    _show(change, found, as_json)


@sources.command(short_help="Take a source out of the lake", epilog=examples("imrec sources drop holiday"))
@click.argument("name")
@yes_option
@json_option
@lake_option
def drop(name: str, yes: bool, as_json: bool, lake: str) -> None:
    """Take a source out of the lake, with its vectors. The image files stay."""
    from imrec_core.lake.lake import Lake
    from imrec_core.upkeep.sources import drop_source, plan_drop

    opened = Lake(lake)
    plan = plan_drop(opened, name)
    click.echo(plan.summary(), err=True)
    if not yes:
        click.confirm("drop it?", abort=True, err=True)
    with ProgressLine(f"dropping {name}"):
        change = drop_source(opened, name)
    _show(change, f"dropped {plan.name}", as_json)


def _show(change: "SourceChange", done: str, as_json: bool) -> None:
    """Print a change and what is left to do."""
    if as_json:
        click.echo(json.dumps(asdict(change), ensure_ascii=False))
        return
    if change.generation:
        done += f"; published generation {change.generation}"
    elif change.needs_build:
        done += "; to finish, run: imrec build"
    click.echo(done)
