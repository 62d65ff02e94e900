"""Status of a lake: its images, features and generation, and what a build would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from imrec_core.catalog import retry_marks
from imrec_core.catalog.file_kinds import NotRead, summarize
from imrec_core.catalog.scan_report import not_read
from imrec_core.errors import LakeError, StaleIndex
from imrec_core.extraction.failures import count_failed, count_unreadable
from imrec_core.extraction.planning import BuildPlan, plan
from imrec_core.features import Feature
from imrec_core.images.thumbnails import kept_mb
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.lake.lake import Lake, source_of
from imrec_core.upkeep import sizes


@dataclass(frozen=True)
class FeatureStatus:
    """Status of a feature.

    Attributes:
        fresh_shards: Number of shards in which the feature is up to date.
        stale_shards: The other shards.
        why: The other shards by reason.
    """

    name: str
    fresh_shards: int
    stale_shards: tuple[str, ...]
    why: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LakeStatus:
    """Status of a lake.

    Attributes:
        sources: Name and root of each source, and the number of images that the last scan found.
        shards: Number of shards.
        failed: Number of images that could not be read or decoded.
        unreadable: Number of folders and other entries that the last scan could not read.
        not_read: Files that the last scan passed over, by kind, with what would help.
        outdated: Number of images in tables of the version before. The next build reads their headers, and decodes
            again those whose pixels are read otherwise now.
        waiting: Number of images in shards that cannot be read because their source is away, by source. Those that were
            read before stay searchable as they are.
        unread_shards: Shards whose images have not been read since they changed.
        generation: Id, features, number of images and time of the generation in use; None if there is none.
        up_to_date: Whether that generation contains all tables of the lake, and no image waits.
        waiting_images: Images that the next generation would hold as they were, or not at all, and what they wait for.
        sizes: Bytes of the lake's files by kind; see `upkeep.sizes`.
        retried: Number of images that failed and are marked to be tried again by the next build.
        thumbnail_mb: Approximate size of the thumbnails on this machine in MB (`kept`), and its limit (`most`).
    """

    root: str
    sources: tuple[dict[str, Any], ...]
    shards: int
    failed: int
    unreadable: int
    not_read: tuple[NotRead, ...]
    outdated: int
    waiting: dict[str, int]
    unread_shards: tuple[str, ...]
    features: tuple[FeatureStatus, ...]
    generation: dict[str, Any] | None
    up_to_date: bool
    thumbnail_mb: dict[str, int]
    waiting_images: WaitingImages = field(default_factory=WaitingImages)
    sizes: dict[str, int] = field(default_factory=dict)
    retried: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `imrec status --json` prints it."""
        return asdict(self)

    def summary(self) -> str:
        """Format the status as text."""
        lines = [f"lake {self.root}"]
        for source in self.sources:
            lines.append(f"  {source['name']}: {source['images']} images in {source['root']}")
        if not self.sources:
            lines.append("  no image folder yet: imrec build FOLDER")
        lines.append(
            f"{self.shards} shards, {self.failed} failed images" + (" (imrec failures)" if self.failed else "")
        )
        if self.unreadable:
            lines.append(f"folders and other entries that cannot be read: {self.unreadable} (imrec failures)")
        if self.not_read:
            lines.append(summarize(self.not_read))
        lines.extend(self._feature_lines())
        if self.generation is None:
            lines.append("no generation yet: nothing can be searched")
        else:
            made = f"{self.generation['rows']} images, made {self.generation['created']}"
            lines.append(f"generation {self.generation['id']}: {made}")
        if self.waiting_images.images:
            lines.append(self.waiting_images.summary())
        if self.sizes:
            lines.append(sizes.summary(self.sizes))
        if self.thumbnail_mb["kept"]:
            lines.append("thumbnails: about {kept} MB of {most} at most".format_map(self.thumbnail_mb))
        if self.outdated:
            lines.append(
                f"{self.outdated} images are in tables of the version before: imrec build reads their headers, and "
                "decodes again those with another colour profile than sRGB, with grey of more than 8 bits, and those "
                "that failed"
            )
        lines.extend(
            f"{images} images of {name} wait to be read until their folder is back"
            for name, images in self.waiting.items()
        )
        if self.retried:
            lines.append(f"failed images that the next imrec build tries again: {self.retried}")
        lines.append(self._next_step())
        return "\n".join(lines)

    def _feature_lines(self) -> list[str]:
        """Return one line for all fresh features, and for each other one how many shards are fresh, and why not all."""
        fresh = [feature.name for feature in self.features if not feature.stale_shards]
        shards = f"{self.shards} of {self.shards} shards"
        lines = [f"  {', '.join(fresh)}: fresh for {shards}"] if fresh else []
        for feature in self.features:
            if feature.stale_shards:
                lines.append(f"  {feature.name}: fresh for {feature.fresh_shards} of {self.shards} shards")
                lines.extend(f"    {_join(shards)}: {reason}" for reason, shards in feature.why.items())
        return lines

    def _next_step(self) -> str:
        unread = tuple(shard for shard in self.unread_shards if source_of(shard) not in self.waiting)
        if unread:
            return f"imrec build would read what is new in {_join(unread)}, and publish a generation"
        stale = [f.name for f in self.features if f.stale_shards]
        if stale:
            return f"imrec build would compute {', '.join(stale)}, and publish a generation"
        if not self.up_to_date:
            return "imrec build would publish a generation"
        if self.retried:
            return "all that the last scan found is searchable; imrec build tries the marked images again"
        return "all that the last scan found is searchable; imrec build looks for changes"


def lake_status(lake: Lake) -> LakeStatus:
    """Return the status of a lake; read metadata only, and scan no source.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    settings, due = lake.settings(), plan(lake)
    is_current, waiting = _next_generation(lake)
    return LakeStatus(
        str(lake.root),
        tuple(
            {"name": name, "root": str(root), "images": _images(due, name)} for name, root in settings.sources.items()
        ),
        len(due.shards),
        count_failed(lake, (state.shard for state in due.shards)),
        count_unreadable(lake),
        not_read(lake),
        sum(state.images for state in due.shards if state.is_upgradable),
        _waiting(due),
        tuple(state.shard for state in due.shards if state.has_stale_images),
        tuple(_feature_status(due, feature) for feature in due.features),
        _generation(lake),
        is_current and not waiting.images,
        {"kept": kept_mb(lake), "most": settings.thumbnail_mb},
        waiting,
        sizes.lake_sizes(lake),
        len(retry_marks.load(lake)),
    )


def _images(due: BuildPlan, source: str) -> int:
    return sum(state.images for state in due.shards if source_of(state.shard) == source)


def _waiting(due: BuildPlan) -> dict[str, int]:
    waiting: Counter[str] = Counter()
    for state in due.shards:
        if state.has_stale_images and state.shard not in due.extractions:
            waiting[source_of(state.shard)] += state.images
    return dict(waiting)


def _feature_status(due: BuildPlan, feature: Feature) -> FeatureStatus:
    reasons = {state.shard: state.stale[feature.name] for state in due.shards if feature.name in state.stale}
    why: dict[str, list[str]] = {}
    for shard, reason in reasons.items():
        why.setdefault(reason, []).append(shard)
    fresh = len(due.shards) - len(reasons)
    return FeatureStatus(feature.name, fresh, tuple(reasons), {reason: tuple(some) for reason, some in why.items()})


def _generation(lake: Lake) -> dict[str, Any] | None:
    try:
        generation = open_generation(lake)
    except LakeError:
        return None
    facts = {name: generation.facts[name] for name in ("created", "missing")}
    rows = len(generation) - generation.removed
    return {"id": generation.id, "features": list(generation.features), "rows": rows, **facts}


def _next_generation(lake: Lake) -> tuple[bool, WaitingImages]:
    """Return whether the next generation is the current one, and the images that wait."""
    try:
        due = plan_generation(lake)
    except StaleIndex:
        return False, WaitingImages()
    return is_up_to_date(lake, due), due.waiting


def _join(shards: tuple[str, ...]) -> str:
    shown = ", ".join(shards[:3])
    return shown if len(shards) <= 3 else f"{shown} and {len(shards) - 3} more shards"
