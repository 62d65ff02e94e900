"""What is in a lake, what is fresh, what is stale, and what a build would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from imrec_core.errors import LakeError, StaleIndex
from imrec_core.extraction.staleness import has_fresh_images, stale_reason
from imrec_core.features import chosen_features
from imrec_core.images.thumbnails import kept_mb
from imrec_core.index.generation import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import exists


@dataclass(frozen=True)
class FeatureStatus:
    """How far a feature is: shards that have it, those that lack it or have it stale, and the latter by reason."""

    name: str
    fresh_shards: int
    stale_shards: tuple[str, ...]
    why: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LakeStatus:
    """What is in a lake.

    Attributes:
        sources: Name, root and images found by the last scan.
        failed: Images that could not be read or decoded.
        unread_shards: Shards whose images were not read since they changed.
        generation: Id, images, features and time of the generation in use; None where there is none.
        up_to_date: Whether that generation holds all that is in the lake.
        thumbnail_mb: Millions of bytes that thumbnails take on this machine, about (`kept`), and may take (`most`).
    """

    root: str
    sources: tuple[dict[str, Any], ...]
    shards: int
    failed: int
    unread_shards: tuple[str, ...]
    features: tuple[FeatureStatus, ...]
    generation: dict[str, Any] | None
    up_to_date: bool
    thumbnail_mb: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what `imrec status --json` prints."""
        return asdict(self)

    def in_words(self) -> str:
        """As a person reads it."""
        lines = [f"lake {self.root}"]
        for source in self.sources:
            lines.append(f"  {source['name']}: {source['images']} images in {source['root']}")
        if not self.sources:
            lines.append("  no image folder yet: imrec build FOLDER")
        lines.append(
            f"{self.shards} shards, {self.failed} failed images" + (" (imrec failures)" if self.failed else "")
        )
        for feature in self.features:
            lines.append(f"  {feature.name}: fresh for {feature.fresh_shards} of {self.shards} shards")
            lines.extend(f"    {_listed(shards)}: {reason}" for reason, shards in feature.why.items())
        if self.generation is None:
            lines.append("no generation yet: nothing can be searched")
        else:
            made = f"{self.generation['rows']} images, made {self.generation['created']}"
            lines.append(f"generation {self.generation['id']}: {made}")
        if self.thumbnail_mb["kept"]:
            lines.append("thumbnails: about {kept} MB of {most} at most".format_map(self.thumbnail_mb))
        lines.append(self._next_step())
        return "\n".join(lines)

    def _next_step(self) -> str:
        if self.unread_shards:
            return f"imrec build would read what is new in {_listed(self.unread_shards)}, and publish a generation"
        stale = [f.name for f in self.features if f.stale_shards]
        if stale:
            return f"imrec build would compute {', '.join(stale)}, and publish a generation"
        if not self.up_to_date:
            return "imrec build would publish a generation"
        return "all that the last scan found is searchable; imrec build looks for changes"


def lake_status(lake: Lake) -> LakeStatus:
    """What is in the lake; reads metadata only, and scans nothing.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    settings, shards = lake.settings(), lake.live_shards()
    counts = {shard: lake.row_count(lake.catalog_path(shard)) for shard in shards}
    unread = tuple(shard for shard in shards if not has_fresh_images(lake, shard))
    features = []
    for feature in chosen_features(lake):
        whys = {shard: stale_reason(lake, shard, feature, settings) for shard in shards}
        stale = tuple(shard for shard, why in whys.items() if why)
        why = {
            reason: tuple(shard for shard in stale if whys[shard] == reason)
            for reason in (whys[shard] for shard in stale)
        }
        features.append(FeatureStatus(feature.name, len(shards) - len(stale), stale, why))
    return LakeStatus(
        str(lake.root),
        tuple(
            {"name": name, "root": str(root), "images": sum(n for s, n in counts.items() if source_of(s) == name)}
            for name, root in settings.sources.items()
        ),
        len(shards),
        _failed(lake, shards),
        unread,
        tuple(features),
        _generation(lake),
        _is_up_to_date(lake),
        {"kept": kept_mb(lake), "most": settings.thumbnail_mb},
    )


def _failed(lake: Lake, shards: list[str]) -> int:
    tables = (lake.images_path(shard) for shard in shards)
    return sum(
        lake.read_table(path, ["status"])["status"].to_pylist().count("failed") for path in tables if exists(path)
    )


def _generation(lake: Lake) -> dict[str, Any] | None:
    try:
        generation = open_generation(lake)
    except LakeError:
        return None
    facts = {name: generation.facts[name] for name in ("created", "missing")}
    rows = len(generation) - generation.removed
    return {"id": generation.id, "features": list(generation.features), "rows": rows, **facts}


def _is_up_to_date(lake: Lake) -> bool:
    try:
        return is_up_to_date(lake, plan_generation(lake))
    except StaleIndex:
        return False


def _listed(shards: tuple[str, ...]) -> str:
    shown = ", ".join(shards[:3])
    return shown if len(shards) <= 3 else f"{shown} and {len(shards) - 3} more shards"
