"""`imrec duplicates`: which images are copies of each other, and what to do with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.options import TIER, json_option, lake_option
from imrec_dagster.cli.output import from_here, show, table

if TYPE_CHECKING:
    from imrec_core.duplicates import Duplicates

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--tier", type=TIER, default="near", show_default=True, help="The widest that is looked for.")
@click.option("--keep", metavar="RULE", help="What stays: largest (the default), oldest or source:NAME.")
@click.option("--between", nargs=2, metavar="A B", help="Copies of images of source A in source B.")
@click.option("--plan", type=_FILE, help="Write a plan of what to move; see --apply.")
@click.option("--apply", "carried_out", type=_FILE, metavar="PLAN", help="Move the files of a plan; needs --to.")
@click.option("--to", type=click.Path(file_okay=False), metavar="FOLDER", help="Where --apply moves them.")
@click.option("--undo", type=_FILE, metavar="PLAN", help="Move the files of a plan back.")
@click.option("--not-duplicate", nargs=2, metavar="A B", help="Note that two images are none, for all builds to come.")
@click.option("--always-keep", metavar="A", help="Note that an image is always to stay.")
@click.option("--forget", metavar="A", help="Take back what was noted about an image.")
@json_option
@lake_option
def duplicates(
    tier: str,
    keep: str | None,
    between: tuple[str, str] | None,
    plan: Path | None,
    carried_out: Path | None,
    to: str | None,
    undo: Path | None,
    not_duplicate: tuple[str, str] | None,
    always_keep: str | None,
    forget: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """Find images that are copies of each other; note decisions about them; carry them away, and back.

    Tiers: identical (the same bytes), same_pixels, near (re-encoded, resized, lightly edited), edited (cropped,
    mirrored, turned). Images are given as files or by their image_id.
    """
    asked = [carried_out, undo, not_duplicate, always_keep, forget]
    if sum(map(bool, asked)) > 1 or (any(asked) and (plan or between or keep)):
        raise click.UsageError("give one of --apply, --undo, --not-duplicate, --always-keep and --forget, by itself")
    if bool(carried_out) != bool(to):
        raise click.UsageError("--apply PLAN and --to FOLDER belong together")
    if carried_out or undo:
        from imrec_core.duplicates.move_plan import apply_plan, undo_plan

        if carried_out and to:
            click.echo(f"{apply_plan(carried_out, to)} files are in {to}; back: imrec duplicates --undo {carried_out}")
        elif undo:
            click.echo(f"{undo_plan(undo)} files moved back")
    elif any(asked):
        _decide(Lake(lake), not_duplicate, always_keep, forget, as_json)
    else:
        _find(Lake(lake), tier, keep, between, plan, as_json)


def _decide(
    lake: Lake, not_duplicate: tuple[str, str] | None, always_keep: str | None, forgotten: str | None, as_json: bool
) -> None:
    from imrec_core.duplicates.decisions import decide_keep, decide_not_duplicate, forget, load_decisions

    if not_duplicate:
        decide_not_duplicate(lake, *not_duplicate)
    if always_keep:
        decide_keep(lake, always_keep)
    if forgotten:
        forget(lake, forgotten)
    decided = load_decisions(lake)
    rows: list[dict[str, Any]] = [{"decision": "keep", "contents": [content]} for content in sorted(decided.keep)]
    rows += [{"decision": "not_duplicate", "contents": list(pair)} for pair in sorted(decided.not_duplicate)]
    show(as_json, rows, ["decision", "contents"])


def _find(
    lake: Lake, tier: str, keep: str | None, between: tuple[str, str] | None, plan: Path | None, as_json: bool
) -> None:
    from imrec_core.duplicates import find_duplicates
    from imrec_core.duplicates.move_plan import MovePlan

    found = find_duplicates(
        lake, tier=tier, keep=keep, between=between, progress=lambda line: click.echo(line, err=True)
    )
    if found.left_out:
        click.echo(
            f"{len(found.left_out)} files are gone, changed or unreadable and left out, such as {found.left_out[0]}; "
            "run: imrec build",
            err=True,
        )
    click.echo(found.to_json() if as_json else _groups_table(found))
    if plan:
        made = MovePlan.of(found)
        made.save(plan)
        click.echo(
            f"{plan}: {len(made.moves)} files to move; carry it out with: imrec duplicates --apply {plan} --to FOLDER",
            err=True,
        )


def _groups_table(found: "Duplicates") -> str:
    if not found.groups:
        return "no duplicates"
    rows = [
        [
            str(number) if copy is group.representative else "",
            group.tier if copy is group.representative else "",
            "keep" if copy.is_kept else "",
            f"{copy.width}×{copy.height}",
            str(copy.byte_size),
            copy.image_id,
            from_here(copy.path),
        ]
        for number, group in enumerate(found.groups, start=1)
        for copy in group.copies
    ]
    return table(["", "tier", "", "size", "bytes", "image_id", "path"], rows)
