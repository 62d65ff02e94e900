"""`imrec duplicates`: find copies, record decisions about them, move them aside and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import TIER, json_option, lake_option, null_option, paths_option, quiet_option
from imrec_dagster.cli.output import from_here, show, write_paths
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imrec_core.duplicates import Duplicates
    from imrec_core.duplicates.contents import Copy
    from imrec_core.duplicates.groups import Group
    from imrec_core.duplicates.move_plan import MovePlan
    from imrec_core.lake.lake import Lake

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    short_help="Find copies, record decisions, move files aside",
    epilog=examples(
        "imrec duplicates --tier edited --plan copies.json", "imrec duplicates --apply copies.json --to ~/aside"
    ),
)
@click.option("--tier", type=TIER, default="near", show_default=True, help="Widest tier of duplicates to find.")
@click.option(
    "--keep", metavar="RULE", help="File of a group to keep: original (the default), largest, oldest or source:NAME."
)
@click.option(
    "--between",
    nargs=2,
    metavar="A B",
    help="Duplicates across two sources, for example train/test leaks: images of A with a copy in B.",
)
@click.option("-o", "--plan", type=_FILE, help="Write a plan of files to move; see --apply.")
@click.option("--apply", "applied", type=_FILE, metavar="PLAN", help="Move the files of a plan; needs --to.")
@click.option(
    "--to", type=click.Path(file_okay=False), metavar="FOLDER", help="Folder to which --apply moves the files."
)
@click.option("--undo", type=_FILE, metavar="PLAN", help="Move the files of a plan back.")
@click.option(
    "--not-duplicate", nargs=2, metavar="A B", help="Record that two images are not duplicates; holds for later builds."
)
@click.option("--always-keep", metavar="A", help="Record that an image is always kept.")
@click.option("--forget", metavar="A", help="Delete the decisions about an image.")
@paths_option("the paths of the files that a plan would move")
@null_option
@quiet_option
@json_option
@lake_option
def duplicates(
    tier: str,
    keep: str | None,
    between: tuple[str, str] | None,
    plan: Path | None,
    applied: Path | None,
    to: str | None,
    undo: Path | None,
    not_duplicate: tuple[str, str] | None,
    always_keep: str | None,
    forget: str | None,
    paths: bool,
    null: bool,
    quiet: bool,
    as_json: bool,
    lake: str,
) -> None:
    """Find images that are copies of each other, record decisions about them, move them aside and back.

    Tiers: identical (the same bytes), same_pixels, near (re-encoded, resized, lightly edited), edited (cropped,
    mirrored, rotated), variant (near except for a detail, such as another number or an added caption; only a plan of
    this tier moves variants). Name an image by its file or by its image_id.

    Results of comparisons are stored in the lake. After Ctrl-C the next run continues; later runs compare only new
    pairs.
    """
    from imrec_core.lake.lake import Lake

    actions = [applied, undo, not_duplicate, always_keep, forget]
    if as_json and (paths or null):
        raise click.UsageError("give one of --json and --paths (or --null)")
    if any(actions) and (paths or null):
        raise click.UsageError("--paths and --null list copies; give them without --apply, --undo or a decision")
    if sum(map(bool, actions)) > 1 or (any(actions) and (plan or between or keep)):
        raise click.UsageError("give only one of --apply, --undo, --not-duplicate, --always-keep and --forget")
    if bool(applied) != bool(to):
        raise click.UsageError("--apply PLAN and --to FOLDER need each other")
    if applied or undo:
        from imrec_core.duplicates.plan_execution import apply_plan, undo_plan

        if applied and to:
            click.echo(f"{apply_plan(applied, to)} files are in {to}; to undo: imrec duplicates --undo {applied}")
        elif undo:
            click.echo(f"{undo_plan(undo)} files moved back")
    elif any(actions):
        _decide(Lake(lake), not_duplicate, always_keep, forget, as_json)
    else:
        found = _find(Lake(lake), tier, keep, between, quiet)
        if paths or null:
            _print_paths(found, null, quiet)
        else:
            click.echo(found.to_json() if as_json else _groups_table(found))
        if plan:
            _save_plan(found, plan, quiet)


def _decide(
    lake: "Lake", not_duplicate: tuple[str, str] | None, always_keep: str | None, forgotten: str | None, as_json: bool
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


def _find(lake: "Lake", tier: str, keep: str | None, between: tuple[str, str] | None, quiet: bool) -> "Duplicates":
    from imrec_core.duplicates import find_duplicates

    with ProgressLine("looking for copies", quiet=quiet) as progress:
        found = find_duplicates(lake, tier=tier, keep=keep, between=between, progress=progress)
    if found.left_out and not quiet:
        click.echo(
            f"{len(found.left_out)} files are missing, changed or unreadable and left out, e.g. {found.left_out[0]}; "
            "run: imrec build",
            err=True,
        )
    return found


def _print_paths(found: "Duplicates", null: bool, quiet: bool) -> None:
    """Print the files that a plan would move: each image, then its companions."""
    from imrec_core.duplicates.move_plan import MovePlan

    preview = MovePlan.preview(found)
    write_paths([file.path for file, _ in preview.files], null)
    if preview.left and not quiet:
        first = preview.left[0]
        click.echo(f"images left in place: {len(preview.left)}, e.g. {first.path}: {first.reason}", err=True)


def _save_plan(found: "Duplicates", plan: Path, quiet: bool) -> None:
    from imrec_core.duplicates.move_plan import MovePlan

    made = MovePlan.of(found)
    made.save(plan)
    for line in () if quiet else _plan_summary(made, plan):
        click.echo(line, err=True)


def _plan_summary(made: "MovePlan", plan: Path) -> "Iterator[str]":
    companions = sum(len(move.companions) for move in made.moves)
    along = f" with {companions} companions" if companions else ""
    apply = f"imrec duplicates --apply {plan} --to FOLDER"
    yield f"{plan}: {len(made.moves)} files to move{along}; apply it with: {apply}"
    if made.left:
        first = made.left[0]
        yield f"images left in place: {len(made.left)}, listed in the plan; e.g. {first.path}: {first.reason}"


def _decision(group: "Group", copy: "Copy") -> str:
    if copy is group.representative:
        return f"keep: {group.why}"
    return "keep" if copy.is_kept else ""


def _groups_table(found: "Duplicates") -> str:
    from imrec_core.duplicates.keep_rules import date_of

    if not found.groups:
        return "no duplicates"
    rows = [
        [
            str(number) if copy is group.representative else "",
            group.tier if copy is group.representative else "",
            _decision(group, copy),
            f"{copy.width}×{copy.height}" + (f", {copy.frames} frames" if (copy.frames or 1) > 1 else ""),
            str(copy.byte_size),
            "{:%Y-%m-%d} {}".format(*date_of(copy)),
            copy.image_id,
            " + ".join([from_here(copy.path), *copy.companions]),
        ]
        for number, group in enumerate(found.groups, start=1)
        for copy in group.copies
    ]
    return table(["", "tier", "", "size", "bytes", "date", "image_id", "path"], rows)
