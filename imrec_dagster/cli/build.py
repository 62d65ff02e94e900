"""`imrec build`: add folders to a lake, and bring it up to date."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from imrec_core.catalog.scan import require_image
from imrec_core.errors import BadSettings, BadSource
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_dagster.cli.options import lake_option

if TYPE_CHECKING:
    from imrec_core.extraction.report import ShardReport
    from imrec_dagster.cli.progress import BuildProgress


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER | NAME=FOLDER]...")
@click.option(
    "--features", metavar="A,B,…", help="Features that the lake is to have, no others; +A,+B adds. See: imrec features."
)
@click.option(
    "--with", "columns", multiple=True, metavar="FILE", help="Join its columns, by image_id or path; Parquet or CSV."
)
@click.option("--without", multiple=True, metavar="FILE", help="Join its columns no longer.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where networks run.")
@lake_option
def build(
    folders: tuple[str, ...],
    features: str | None,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    device: str,
    lake: str,
) -> None:
    """Add image folders, describe what is new or changed, publish it for search.

    A lake remembers its folders: without FOLDER they are looked through again. NAME says what a folder is called in
    the lake, else it is called as on the disk.
    """
    click.echo(run_build(Lake(lake), folders, _names(features), device, columns=columns, without=without))


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None


def run_build(
    lake: Lake,
    folders: Sequence[str],
    features: Sequence[str] | None,
    device: str,
    *,
    columns: Sequence[str] = (),
    without: Sequence[str] = (),
) -> str:
    """Add folders, features and files of columns to the lake, bring it up to date, and say what was done.

    Args:
        features: All that the lake is to have, or with a `+` before each those to add; None as before.
        columns: Files whose columns are joined to the images from now on.
        without: Those whose columns are joined no longer.

    Raises:
        ImrecError: What is wrong with the folders, the features, the files or the lake.
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
    """
    from imrec_core.catalog import user_columns
    from imrec_dagster.builder import build_lake
    from imrec_dagster.cli.progress import BuildProgress, interruptible

    started = time.perf_counter()
    settings = _with(lake, folders, features).without_columns(without).with_columns(columns)
    if not settings.sources:
        raise BadSource("the lake has no image folder yet; give one: imrec build FOLDER")
    if columns:
        user_columns.check(lake, settings)
    lake.open_for_writing().save_settings(settings)
    progress = BuildProgress()
    with interruptible(progress):
        build_lake(lake, progress=progress, device=device)
    return _summary(lake, progress, time.perf_counter() - started)


def _with(lake: Lake, folders: Sequence[str], features: Sequence[str] | None) -> Settings:
    """The lake's settings with folders and features added, once they are known to be good."""
    from imrec_core.features import FEATURES, find_feature, known_features

    old = lake.settings()
    settings = old.with_folders(folders)
    for name in settings.sources.keys() - old.sources.keys():
        require_image(settings.source(name), settings, leave_out=lake.root)
    if features is not None:
        settings = replace(settings, features=_chosen(settings.features, features))
    known = known_features(lake)
    if not settings.features and (features is not None or known.keys() == FEATURES.keys()):
        raise BadSettings("no feature is chosen; see: imrec features")
    for name in settings.features:
        find_feature(name, known)
    return settings


def _chosen(before: Sequence[str], said: Sequence[str]) -> tuple[str, ...]:
    """`A,B` as it is said; `+A,+B` after those there were.

    Raises:
        BadSettings: Some have a plus, and some have none.
    """
    added = [name.removeprefix("+") for name in said if name.startswith("+")]
    if not added:
        return tuple(said)
    if len(added) < len(said):
        raise BadSettings("give all features that the lake is to have, or a '+' before each that is to be added")
    return tuple(dict.fromkeys((*before, *added)))


def _summary(lake: Lake, progress: "BuildProgress", seconds: float) -> str:
    found, shards, generation = progress.catalog, progress.shards, progress.generation
    if len(found.unavailable) == len(lake.settings().sources):
        raise BadSource("no source can be read; what the lake holds is kept as it is")
    lines = [f"{found.new} new, {found.changed} changed, {found.removed} removed, {found.unchanged} unchanged images"]
    if shards:
        lines.append(_of_shards(shards))
    if generation is not None and generation.built:
        made = f"{generation.byte_size / 1e6:.0f} MB, {generation.seconds:.1f} s; {generation.why}"
        lines.append(f"generation {generation.id}: {generation.rows} images, {made}")
        lines.extend(f"joined {joined.in_words()}" for joined in generation.columns)
    else:
        lines.append(f"nothing to do: generation {lake.current_generation()} holds all of it")
    return "\n".join([*lines, f"{seconds:.1f} s in all"])


def _of_shards(shards: "Sequence[ShardReport]") -> str:
    """What was read now, and what the shards hold with what was kept."""
    decoded, failed = sum(s.decoded for s in shards), sum(s.failed for s in shards)
    rate = f" at {decoded / max(sum(s.seconds for s in shards), 1e-9):.0f} images/s" if decoded else ""
    note = " (see: imrec failures)" if failed else ""
    where = f"{len(shards)} shard{'s' if len(shards) > 1 else ''}"
    return f"{decoded} decoded{rate}; in {where} {sum(s.rows for s in shards)} described, {failed} failed{note}"
