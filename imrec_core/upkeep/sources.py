"""Sources of a lake: listing, adding, renaming, moving to another place, and dropping.

A rename writes the tables of the source under the new name, with new ids, and reads no image. Until `lake.toml` has the
new name, the lake is as before; afterwards the tables of the old name are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import polars as pl

from imrec_core.catalog import scan_report, scan_times
from imrec_core.catalog.scan import require_image, scan_source
from imrec_core.errors import BadSettings, LakeError, StaleIndex
from imrec_core.extraction.failures import count_statuses
from imrec_core.extraction.lost_content import remove_kept
from imrec_core.index.build import build_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.source_names import check_source_name
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath
from imrec_core.upkeep.shard_files import copy_renamed, remove_tables, table_paths

_LEAST_FOUND = 0.5  # share of the known images that must be at the new place of a source


@dataclass(frozen=True)
class SourceInfo:
    """A source as `imrec sources list` shows it.

    Attributes:
        place: Root folder or URL.
        images: Number of images that the last scan found.
        byte_size: Size of their files.
        scanned: Time of the last complete scan in UTC, ISO 8601; None if none is recorded.
        is_there: Whether the folder is there and not empty.
    """

    name: str
    place: str
    images: int
    byte_size: int
    scanned: str | None
    is_there: bool


@dataclass(frozen=True)
class SourceChange:
    """Result of a change of the sources.

    Attributes:
        images: Number of images of the source.
        generation: Id of the generation that was published; None if none was.
        needs_build: Whether a build is due before searches see the change.
    """

    name: str
    images: int
    generation: str | None = None
    needs_build: bool = False


@dataclass(frozen=True)
class DropPlan:
    """What goes when a source is dropped. Its image files stay.

    Attributes:
        images: Number of images that are no longer found.
        vectors: Number of vectors, over all features.
        byte_size: Size of the tables that are removed.
    """

    name: str
    place: str
    images: int
    vectors: int
    byte_size: int

    def summary(self) -> str:
        """Format the plan as text."""
        return (
            f"source {self.name!r} ({self.place}): {self.images} images and their {self.vectors} vectors go from the "
            f"lake ({self.byte_size / 1e6:.1f} MB); the image files stay"
        )


@dataclass(frozen=True)
class MovePreview:
    """How many images of a source are at another place, by path and size."""

    known: int
    found: int

    @property
    def is_plausible(self) -> bool:
        """Whether enough images are there for this to be the same collection."""
        return self.found >= _LEAST_FOUND * self.known


def list_sources(lake: Lake) -> list[SourceInfo]:
    """List the sources in the order of `lake.toml`; scan none.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    times = scan_times.read(lake)
    return [_info(lake, name, root, times) for name, root in lake.settings().sources.items()]


def _info(lake: Lake, name: str, root: AnyPath, times: Mapping[str, str]) -> SourceInfo:
    sizes = [_byte_sizes(lake, shard) for shard in shards_of(lake, name)]
    images, byte_size = sum(map(len, sizes)), sum(int(column.sum()) for column in sizes)
    return SourceInfo(name, str(root), images, byte_size, times.get(name), not files.is_away(root))


def _byte_sizes(lake: Lake, shard: str) -> pl.Series:
    return pl.Series(lake.read_table(lake.catalog_path(shard), ["byte_size"])["byte_size"])


def shards_of(lake: Lake, name: str) -> list[str]:
    """List the shards of a source, sorted."""
    return [shard for shard in lake.shards() if source_of(shard) == name]


def add_sources(lake: Lake, folders: Sequence[str]) -> list[str]:
    """Add folders to `lake.toml`, given as for `imrec build`; return the names of the new sources.

    Raises:
        BadSettings: A name or folder is a source already, or overlaps with one.
        BadSource: A folder is missing or holds no image.
    """
    old = lake.settings()
    settings = old.with_folders(folders)
    new = [name for name in settings.sources if name not in old.sources]
    for name in new:
        require_image(settings.source(name), settings, leave_out=lake.root)
    lake.open_for_writing().save_settings(settings)
    return new


# -- renaming -----------------------------------------------------------------------------------------------


def rename_source(lake: Lake, old: str, new: str) -> SourceChange:
    """Give a source another name. Vectors, decisions and ids are kept; no image is read.

    Ids and paths with the old name resolve in this release and the next. If the generation in use was up to date, one
    with the new name is published, with the same rows.

    Raises:
        UnknownName: There is no such source.
        BadSettings: The new name is invalid or taken.
    """
    lake.check_version()
    lake.open_for_writing()
    with lake.exclusive_lock("catalog"):
        old = lake.settings().source(old).name  # it may be a former name
        settings = _renamed_settings(lake.settings(), old, new)
        can_publish = _is_published(lake)
        for shard in shards_of(lake, new):  # of a source of that name that was taken out of lake.toml
            remove_tables(lake, shard)
        shards, images = shards_of(lake, old), 0
        for shard in shards:
            with lake.exclusive_lock(f"extract-{shard}"):
                images += copy_renamed(lake, shard, new)
        lake.save_settings(settings)
        scan_times.rename(lake, old, new)
        scan_report.rename(lake, old, new)
        for shard in shards:
            remove_tables(lake, shard)
    return _published(lake, SourceChange(new, images), can_publish=can_publish)


def _renamed_settings(settings: Settings, old: str, new: str) -> Settings:
    check_source_name(new)
    if new in settings.sources:
        raise BadSettings(f"source {new!r} is {settings.sources[new]} already; choose another name")
    sources = {new if name == old else name: root for name, root in settings.sources.items()}
    renamed = {name: entry for name, entry in settings.renamed_sources.items() if name != new}
    renamed[old] = {"name": new, "version": version("imrec")}
    return replace(settings, sources=sources, renamed_sources=renamed)


# -- moving -------------------------------------------------------------------------------------------------


def preview_move(lake: Lake, name: str, place: str) -> MovePreview:
    """Compare the known images of a source with the files at another place.

    Raises:
        UnknownName: There is no such source.
        BadSettings: The place is or overlaps with another source.
        BadSource: The place is missing, or cannot be listed.
    """
    name = lake.settings().source(name).name
    settings = lake.settings().with_place(name, place)
    there = scan_source(settings.source(name), settings, leave_out=lake.root).select("image_id", "byte_size")
    tables = [lake.read_table(lake.catalog_path(s), ["image_id", "byte_size"]) for s in shards_of(lake, name)]
    known = pl.concat([there.clear(), *(pl.DataFrame(table) for table in tables)])
    return MovePreview(len(known), len(known.join(there, on=["image_id", "byte_size"], how="semi")))


def move_source(lake: Lake, name: str, place: str) -> SourceChange:
    """Set another root for a source whose files were moved there. The next build decodes only what differs.

    Raises:
        UnknownName, BadSettings, BadSource: As for `preview_move`.
    """
    lake.check_version()
    lake.open_for_writing()
    with lake.exclusive_lock("catalog"):
        name = lake.settings().source(name).name
        settings = lake.settings().with_place(name, place)
        require_image(settings.source(name), settings, leave_out=lake.root)
        lake.save_settings(settings)
    images = sum(lake.row_count(lake.catalog_path(shard)) for shard in shards_of(lake, name))
    return SourceChange(name, images, needs_build=True)


# -- dropping -----------------------------------------------------------------------------------------------


def plan_drop(lake: Lake, name: str) -> DropPlan:
    """Count what goes when a source is dropped; change nothing.

    Raises:
        MissingTable: There is no lake.
        UnknownName: There is no such source.
    """
    lake.check_version()
    source = lake.settings().source(name)
    images = vectors = byte_size = 0
    for shard in shards_of(lake, source.name):
        images += lake.row_count(lake.catalog_path(shard))
        paths = [lake.feature_path(feature, shard) for feature in lake.layout.stored_features()]
        vectors += sum(_count_rows(lake, path) for path in paths)
        byte_size += sum(status.byte_size for path in table_paths(lake, shard) if (status := files.status(path)))
    return DropPlan(source.name, str(source.root), images, vectors, byte_size)


def _count_rows(lake: Lake, path: AnyPath) -> int:
    try:
        return lake.row_count(path)
    except LakeError:  # damaged, and removed with the others
        return 0


def drop_source(lake: Lake, name: str) -> SourceChange:
    """Take a source out of the lake, with its tables. The image files stay.

    If the generation in use was up to date, one without the images is published.

    Raises:
        UnknownName: There is no such source.
    """
    plan = plan_drop(lake, name)
    lake.open_for_writing()
    with lake.exclusive_lock("catalog"):
        can_publish = _is_published(lake)
        settings = lake.settings()
        sources = {other: root for other, root in settings.sources.items() if other != plan.name}
        renamed = {old: entry for old, entry in settings.renamed_sources.items() if entry["name"] != plan.name}
        lake.save_settings(replace(settings, sources=sources, renamed_sources=renamed))
        for shard in shards_of(lake, plan.name):
            with lake.exclusive_lock(f"extract-{shard}"):
                remove_tables(lake, shard)
        remove_kept(lake, plan.name)
        scan_report.remove(lake, plan.name)
    return _published(lake, SourceChange(plan.name, plan.images), can_publish=can_publish)


# -- publishing ---------------------------------------------------------------------------------------------


def _is_published(lake: Lake) -> bool:
    """Return whether the generation in use has all that the lake has."""
    try:
        plan = plan_generation(lake)
    except StaleIndex:
        return False
    return is_up_to_date(lake, plan) and not plan.waiting.images


def _published(lake: Lake, change: SourceChange, *, can_publish: bool) -> SourceChange:
    """Publish a generation with the change, if nothing else is due."""
    if lake.current_generation() is None:
        return change
    if not any(count_statuses(lake, shard)["ok"] for shard in lake.live_shards()):
        lake.withdraw_generation()
        return change
    if not can_publish:
        return replace(change, needs_build=True)
    return replace(change, generation=build_generation(lake).id)
