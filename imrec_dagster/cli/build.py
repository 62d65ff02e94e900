"""`imrec build`: add folders to a lake, and bring it up to date. The runs themselves are in `imrec_dagster.builder`."""

import functools
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from imrec_core.errors import BadSettings, BadSource
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_dagster.cli.completion import complete_folders
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import Devices, lake_option, trust_option

if TYPE_CHECKING:
    from imrec_core.extraction.report import ShardReport
    from imrec_core.lake.lake import Lake
    from imrec_core.lake.settings import Settings
    from imrec_dagster.cli.progress import BuildProgress


@click.command(
    short_help="Add image folders, extract features, publish a generation",
    epilog=examples("imrec build ~/Pictures", "imrec build holiday=/mnt/disk/photos --features +pdq"),
)
@click.argument("folders", nargs=-1, metavar="[FOLDER | NAME=FOLDER]...", shell_complete=complete_folders)
@click.option(
    "--features",
    metavar="A,B,…",
    help="Features of the lake, replacing its list; +A,+B adds to it. See: imrec features.",
)
@click.option(
    "--with",
    "columns",
    multiple=True,
    metavar="FILE",
    help="Join the columns of a Parquet or CSV file, by image_id or path; repeatable.",
)
@click.option("--without", multiple=True, metavar="FILE", help="Remove the columns of a file; repeatable.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only the first N images of each source, by path; kept in lake.toml for later builds. 0: all.",
)
@click.option(
    "--publish-early",
    is_flag=True,
    help="Publish a new lake after its first shard, then about every five minutes, to search while the rest is read.",
)
@click.option("--verify", is_flag=True, help="Read every file again, and extract those whose content has changed.")
@click.option(
    "--device",
    type=Devices(),
    default="auto",
    show_default=True,
    help="Devices of the networks: auto, cpu, cuda, or CUDA devices by number, such as cuda:0,cuda:1.",
)
@trust_option
@lake_option
def build(
    folders: tuple[str, ...],
    features: str | None,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    limit: int | None,
    publish_early: bool,
    verify: bool,
    device: str,
    lake: str,
) -> None:
    """Add image folders, extract features of new and changed images, and publish a generation for search.

    The lake keeps the list of its folders; without FOLDER, all of them are scanned again. NAME is the name of the
    source in the lake, by default that of the folder.
    """
    from imrec_core.lake.lake import Lake

    names = _parse_names(features)
    summary = run_build(
        Lake(lake),
        folders,
        names,
        device,
        columns=columns,
        without=without,
        limit=limit,
        verify=verify,
        publish_early=publish_early,
    )
    click.echo(summary)


def _parse_names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None


@functools.cache  # once: later it would keep garbage
def _exclude_modules_from_collection() -> None:
    """Exclude the modules loaded so far from Python's searches for cycles: that saves 1.5 s (2026-12).

    Not after DuckDB was loaded, whose bindings print a warning about objects that are alive at the exit.
    """
    if "duckdb" not in sys.modules:
        gc.freeze()


@translate_os_errors()
def run_build(
    lake: "Lake",
    folders: Sequence[str],
    features: Sequence[str] | None,
    device: str,
    *,
    columns: Sequence[str] = (),
    without: Sequence[str] = (),
    limit: int | None = None,
    verify: bool = False,
    publish_early: bool = False,
) -> str:
    """Add folders, features and column files to the lake, bring it up to date, and return a summary.

    Args:
        features: All features of the lake, or features to add, each with a leading `+`; None keeps the list.
        columns: Files to add, whose columns are joined to the images.
        without: Files to remove, with their columns.
        limit: The setting `limit`; None keeps it.
        verify: Whether to read every file again, although its size and times are the same.
        publish_early: Whether a new lake is published before all its images are read.

    Raises:
        ImrecError: A folder, a feature, a file or the lake is invalid, or a run failed.
        KeyboardInterrupt: Ctrl-C was pressed; completed work is kept.
    """
    from imrec_core.catalog import user_columns
    from imrec_dagster.builder import build_lake
    from imrec_dagster.cli.progress import BuildProgress, interruptible

    _exclude_modules_from_collection()
    started = time.perf_counter()
    settings = _extended_settings(lake, folders, features).without_columns(without).with_columns(columns)
    settings = settings if limit is None else replace(settings, limit=limit)
    if not settings.sources:
        raise BadSource("the lake has no image folder yet; give one: imrec build FOLDER")
    if columns:
        user_columns.check(lake, settings)
    lake.open_for_writing().save_settings(settings)
    progress = BuildProgress()
    with interruptible(progress):
        build_lake(lake, progress=progress, device=device, verify=verify, publish_early=publish_early)
    return _summary(lake, progress, time.perf_counter() - started)


def _extended_settings(lake: "Lake", folders: Sequence[str], features: Sequence[str] | None) -> "Settings":
    """Return the lake's settings with more folders and features, after validating these."""
    from imrec_core.catalog.scan import require_image
    from imrec_core.features import FEATURES, find_feature, known_features, table_name
    from imrec_core.features.searched import current_name

    old = lake.settings()
    settings = old.with_folders(folders)
    for name in settings.sources.keys() - old.sources.keys():
        require_image(settings.source(name), settings, leave_out=lake.root)
    if features is not None:
        settings = replace(settings, features=_merge_features(settings.features, features))
    known = known_features(lake)
    if not settings.features and (features is not None or known.keys() == FEATURES.keys()):
        raise BadSettings("features: no feature is chosen; see: imrec features")
    for name in settings.features:
        find_feature(current_name(table_name(name), known), known)
    return settings


def _merge_features(current: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Replace the current features by `A,B`, or append `+A,+B` to them.

    Raises:
        BadSettings: Only some names have a plus.
    """
    added = [name.removeprefix("+") for name in names if name.startswith("+")]
    if not added:
        return tuple(names)
    if len(added) < len(names):
        raise BadSettings("--features: only some names have a '+'; give it to all names to add, or to none to replace")
    return tuple(dict.fromkeys((*current, *added)))


def _summary(lake: "Lake", progress: "BuildProgress", seconds: float) -> str:
    from imrec_core.catalog.file_kinds import summarize
    from imrec_core.catalog.scan_report import not_read
    from imrec_core.extraction.failures import count_unreadable
    from imrec_core.index.plan import plan_generation

    diff, shards, generation = progress.catalog, progress.shards, progress.generation
    if len(diff.unavailable) == len(lake.settings().sources):
        raise BadSource("no source can be read; the lake is unchanged")
    lines = [f"{diff.new} new, {diff.changed} changed, {diff.removed} removed, {diff.unchanged} unchanged images"]
    if diff.reread:
        lines.append(f"{diff.reread} unchanged images read again to compare their content")
    if diff.excluded:
        lines.append(f"{diff.excluded} of the removed images are left out now (exclude or limit in lake.toml)")
    if unreadable := count_unreadable(lake):
        lines.append(f"folders and other entries that cannot be read: {unreadable} (see: imrec failures)")
    if passed_over := summarize(not_read(lake)):
        lines.append(passed_over)
    if shards:
        lines.append(_shards_summary(shards))
    if generation is not None and generation.built:
        details = f"{generation.byte_size / 1e6:.0f} MB, {generation.seconds:.1f} s; {generation.why}"
        lines.append(f"generation {generation.id}: {generation.rows} images, {details}")
        lines.extend(f"joined {joined.summary()}" for joined in generation.columns)
    else:
        lines.append(f"nothing to do: generation {lake.current_generation()} is up to date")
    waiting = generation.waiting if generation is not None else plan_generation(lake).waiting
    if waiting.images:
        lines.append(waiting.summary())
    return "\n".join([*lines, f"{seconds:.1f} s in all"])


def _shards_summary(shards: "Sequence[ShardReport]") -> str:
    """Format how many images were decoded now, and how many the shards hold in all."""
    decoded, failed = sum(s.decoded for s in shards), sum(s.failed for s in shards)
    rate = f" at {decoded / max(sum(s.seconds for s in shards), 1e-9):.0f} images/s" if decoded else ""
    note = " (see: imrec failures)" if failed else ""
    count = f"{len(shards)} shard{'s' if len(shards) > 1 else ''}"
    return f"{decoded} decoded{rate}; in {count} {sum(s.rows for s in shards)} extracted, {failed} failed{note}"
