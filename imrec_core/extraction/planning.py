"""What is due in a lake: shards to extract, fits and projections; and how many images the passes over a shard read.

`plan` reads metadata only and writes nothing. Whether a generation is due is in `index.plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from imrec_core.extraction.failures import failed_images
from imrec_core.extraction.fit import valid_fit
from imrec_core.extraction.images_upgrade import is_upgradable
from imrec_core.extraction.incremental import UnchangedRows, is_extendable
from imrec_core.extraction.shard_order import reachable_shards
from imrec_core.extraction.staleness import (
    current_fit,
    expected_metadata,
    has_fresh_images,
    stale_features,
    stale_reasons,
)
from imrec_core.features import Feature, chosen_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.models.encoders import Encoder, encoder_of

# -- what is due in a lake ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShardState:
    """Which tables of a shard are up to date.

    Attributes:
        images: Number of images in the manifest.
        has_stale_images: Whether the images table is missing or not up to date.
        is_upgradable: Whether the images table is of the version before; see `images_upgrade`.
        stale: Why tables of features are missing or not up to date, by name of the feature.
    """

    shard: str
    images: int
    has_stale_images: bool
    is_upgradable: bool
    stale: Mapping[str, str]

    def has_bases(self, feature: Feature) -> bool:
        """Whether the tables of all base features are up to date; true for a feature of the pixels."""
        return not any(base.name in self.stale for base in feature.bases)


@dataclass(frozen=True)
class BuildPlan:
    """What can be made with the tables and fits that a lake has now.

    Each step changes what is due next: new base vectors make projections stale, and so does a new fit. So a build
    makes another plan after each step that wrote something.

    Attributes:
        features: All features that the lake computes, with their bases.
        shards: All shards, sorted by key.
        extractions: Features to compute from pixels, by shard; all if the images table is stale. Shards of a source
            that is away are left out: every image would fail.
        unfitted: Features without a fit for their declarations.
        outgrown: Features whose fit is missing or no longer valid.
        fits: Those of them that can be fitted now: the bases are up to date in every shard.
        projections: Features to project, by shard, bases first: none of them waits for a fit, and the features of the
            pixels that they are computed from are up to date.
    """

    features: tuple[Feature, ...]
    shards: tuple[ShardState, ...]
    extractions: Mapping[str, Sequence[Feature]]
    unfitted: tuple[Feature, ...]
    outgrown: tuple[Feature, ...]
    fits: tuple[Feature, ...]
    projections: Mapping[str, Sequence[Feature]]


def plan(lake: Lake) -> BuildPlan:
    """Plan what is due in a lake; read metadata only, and scan no source.

    Raises:
        BadSettings, UnknownName: A declaration in `lake.toml` is invalid, or a listed feature does not exist.
    """
    settings, features = lake.settings(), chosen_features(lake)
    shards = tuple(_shard_state(lake, shard, features, settings) for shard in lake.live_shards())
    images = sum(state.images for state in shards)
    unfitted = [f for f in features if f.is_fitted and current_fit(lake, f) is None]
    outgrown = [f for f in features if f.is_fitted and valid_fit(lake, f, images) is None]
    fits = [f for f in outgrown if all(state.has_bases(f) for state in shards)]
    return BuildPlan(
        tuple(features),
        shards,
        _due_extractions(lake, shards, features),
        tuple(unfitted),
        tuple(outgrown),
        tuple(fits),
        _due_projections(shards, [f for f in features if f.projection and not needs_fit(f, [*unfitted, *fits])]),
    )


def _shard_state(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings) -> ShardState:
    images = lake.row_count(lake.catalog_path(shard))
    stale = stale_reasons(lake, shard, features, settings)
    has_stale_images = not has_fresh_images(lake, shard)
    return ShardState(shard, images, has_stale_images, has_stale_images and is_upgradable(lake, shard), stale)


def _due_extractions(
    lake: Lake, shards: Sequence[ShardState], features: Sequence[Feature]
) -> dict[str, Sequence[Feature]]:
    pixel_features = [f for f in features if not f.projection]
    stale = {s.shard: [f for f in pixel_features if s.has_stale_images or f.name in s.stale] for s in shards}
    due = [s.shard for s in shards if s.has_stale_images or stale[s.shard]]
    # Only if something is due: for an object store this is a request per source.
    return {shard: stale[shard] for shard in (reachable_shards(lake, due) if due else [])}


def needs_fit(feature: Feature, unfitted: Collection[Feature]) -> bool:
    """Return whether a feature or a base of it is one of those that must be fitted first."""
    return feature in unfitted or any(needs_fit(base, unfitted) for base in feature.bases)


def _due_projections(shards: Sequence[ShardState], derived: Sequence[Feature]) -> dict[str, Sequence[Feature]]:
    ordered = sorted(derived, key=lambda feature: feature.depth)
    due = {s.shard: [f for f in ordered if f.name in s.stale and _is_extracted(f, s.stale)] for s in shards}
    return {shard: some for shard, some in due.items() if some}


def _is_extracted(feature: Feature, stale: Mapping[str, str]) -> bool:
    """Return whether the features of the pixels that a feature is computed from are up to date."""
    if not feature.projection:
        return feature.name not in stale
    return all(_is_extracted(base, stale) for base in feature.bases)


# -- passes over a shard --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadEstimate:
    """Number of images that extraction will read.

    Attributes:
        images: Images to read; an image that two passes read counts twice.
        again: Unchanged images among them, which are read for `features` only.
        features: Names of the features that need every image.
    """

    images: int = 0
    again: int = 0
    features: tuple[str, ...] = ()


def encoders_of(features: Sequence[Feature], settings: Settings, device: str) -> dict[str, Encoder]:
    """Load the encoders of the embeddings among some features, by name of the feature."""
    return {f.name: encoder_of(f.model, settings, device) for f in features if f.model}


def new_table_metadata(lake: Lake, shard: str, feature: Feature, settings: Settings, device: str) -> dict[str, str]:
    """Return the metadata that a new table of a feature would have; empty if the feature needs a fit first.

    This is stricter than freshness: vectors of another precision or backend are fresh, but new vectors must not be
    mixed with them in one table.
    """
    expected = expected_metadata(lake, shard, feature, settings) or {}
    for encoder in encoders_of([feature], settings, device).values():
        expected |= {"precision": encoder.precision, "backend": encoder.backend}
    return expected


def next_features(
    lake: Lake,
    shard: str,
    features: Sequence[Feature],
    settings: Settings,
    device: str,
    *,
    retry: bool = False,
    force: bool = False,
) -> list[Feature] | None:
    """Return the features to compute in the next pass; None if all tables are up to date.

    The list may be empty: then only the images table is due. Tables that can be extended go first and together, so
    that only new images are decoded for them. The other tables need every image. If an image may start or stop
    failing, every table gains or loses a row: then up-to-date tables are extended too.

    Args:
        retry: Whether to try failed images again.
        force: Whether to compute all features of all images, although they are up to date.
    """
    if force:
        return list(features)
    stale = stale_features(lake, shard, features, settings)
    same_rows = has_fresh_images(lake, shard) and not (retry and failed_images(lake, shard))
    if same_rows and not stale:
        return None
    return _extendable(lake, shard, stale if same_rows else features, settings, device) or stale


def _extendable(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str) -> list[Feature]:
    return [f for f in features if is_extendable(lake, shard, f, new_table_metadata(lake, shard, f, settings, device))]


def estimate_reads(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str = "auto"
) -> ReadEstimate:
    """Estimate how many images extraction will read in a shard, from its tables and its manifest."""
    work = next_features(lake, shard, features, settings, device)
    if work is None:
        return ReadEstimate()
    rows = lake.row_count(lake.catalog_path(shard))
    extended = _extendable(lake, shard, work, settings, device)
    others = [f for f in stale_features(lake, shard, features, settings) if f not in extended]
    unchanged = len(UnchangedRows(lake, shard, lake.read_table(lake.catalog_path(shard)), [], {}, settings).rows)
    new = rows - unchanged
    if not others:
        return ReadEstimate(new)
    return ReadEstimate((new if extended else 0) + rows, unchanged, tuple(f.name for f in others))


def estimate_all_reads(lake: Lake, extractions: Mapping[str, Iterable[Feature]], device: str = "auto") -> ReadEstimate:
    """Estimate how many images the extractions of a plan will read.

    It is no part of `plan`: it loads encoders, because precision and backend decide which tables can be extended.
    """
    settings = lake.settings()
    reads = [estimate_reads(lake, shard, list(some), settings, device) for shard, some in extractions.items()]
    features = {name for found in reads if found.again for name in found.features}
    return ReadEstimate(sum(r.images for r in reads), sum(r.again for r in reads), tuple(sorted(features)))
