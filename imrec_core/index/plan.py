"""Plan a generation: which features, graphs and copies it holds, and whether the published one is up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imrec_core.catalog import user_columns
from imrec_core.errors import LakeError, StaleIndex
from imrec_core.extraction.staleness import WHICH_IMAGES, digest, has_fresh_images, is_feature_fresh, manifest_version
from imrec_core.features import Feature, chosen_features, known_features
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import GraphRequest
from imrec_core.index.manifest import FORMAT
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import IndexParams, Settings
from imrec_core.lake.storage.files import exists, is_away

_BY_DEFAULT = IndexParams()


@dataclass(frozen=True)
class GenerationPlan:
    """What a generation made now would hold.

    Attributes:
        fingerprint: Of all that goes into it; equal fingerprints mean that nothing new would come out.
        missing: Features that are not up to date for every shard.
        indexes: Graphs to build, by feature and metric.
        true_pairs: Images of which edited copies are made, at most.
        made: Of each feature a digest of how its vectors were computed, whichever images they are of.
    """

    shards: tuple[str, ...]
    features: tuple[Feature, ...]
    missing: tuple[str, ...]
    indexes: tuple[GraphRequest, ...]
    true_pairs: int
    made: Mapping[str, str]
    fingerprint: str


def plan_generation(lake: Lake, params: IndexParams = _BY_DEFAULT) -> GenerationPlan:
    """What a generation made now would hold.

    Shards that were never read are left out while their source is away, so that they hold up nobody else.

    Raises:
        StaleIndex: The image tables are not up to date.
    """
    sources = lake.settings().sources
    away = {name for name, root in sources.items() if is_away(root)}
    shards = [s for s in lake.live_shards() if source_of(s) not in away or exists(lake.images_path(s))]
    unread = [shard for shard in shards if not has_fresh_images(lake, shard)]
    if unread:
        raise StaleIndex(f"shards not read yet, or changed since: {', '.join(unread)}; run: imrec build")
    settings, chosen = lake.settings(), chosen_features(lake)
    fresh = [f for f in chosen if all(is_feature_fresh(lake, shard, f, settings) for shard in shards)]
    names = [feature.name for feature in fresh]
    made_from = [(name, lake.made_from(lake.feature_path(name, shard))) for name in names for shard in shards]
    versions = [(shard, manifest_version(lake, shard)) for shard in shards]
    indexes = _indexes(fresh, settings, params)
    graphs = [(by.feature.name, by.metric.name, asdict(of_graph)) for by, of_graph in indexes]
    own = user_columns.made_from(settings)
    copies = _copies(settings.true_pairs)
    inputs = json.dumps([FORMAT, schemas.IMAGES_VERSION, graphs, versions, made_from, *own, copies], sort_keys=True)
    fingerprint = hashlib.blake2b(inputs.encode(), digest_size=8).hexdigest()
    missing = tuple(f.name for f in chosen if f.name not in names)
    made = {feature.name: _how_made(lake, feature, shards) for feature in fresh}
    return GenerationPlan(tuple(shards), tuple(fresh), missing, indexes, settings.true_pairs, made, fingerprint)


def _how_made(lake: Lake, feature: Feature, shards: Sequence[str]) -> str:
    """Equal where vectors of the same image are."""
    found = (lake.made_from(lake.feature_path(feature.name, shard)) or {} for shard in shards)
    hows = {json.dumps({k: v for k, v in made.items() if k not in _PLACE}, sort_keys=True) for made in found}
    return digest([sorted(hows), [_how_made(lake, base, shards) for base in feature.bases]])


_PLACE = (*WHICH_IMAGES, "bases")  # bases are looked at themselves


def _indexes(features: Sequence[Feature], settings: Settings, default: IndexParams) -> tuple[GraphRequest, ...]:
    """The graphs that features get by themselves, and those that `lake.toml` asks for."""
    names = {feature.name for feature in features}
    found = []
    for feature in features:
        asked = {
            FeatureMetric.of(feature, metric).metric.name: IndexParams.of(name, table)
            for name, table in settings.indexes.items()
            for of, metric in [split_name(name)]
            if of == feature.name
        }
        for metric in feature.metrics:
            by_itself = metric == feature.metric and metric.has_graph and feature.candidates not in names
            if by_itself or metric.name in asked:
                found.append((FeatureMetric(feature, metric), asked.get(metric.name, default)))
    return tuple(found)


def is_up_to_date(lake: Lake, plan: GenerationPlan) -> bool:
    """Whether the generation in use is what the plan would make."""
    generation = _in_use(lake)
    return generation is not None and _is_made(generation, plan)


def _is_made(generation: Generation, plan: GenerationPlan) -> bool:
    return bool(generation.facts["fingerprint"] == plan.fingerprint)


def _in_use(lake: Lake) -> Generation | None:
    current = lake.current_generation()
    try:
        return Generation(lake.local_generation(current), known_features(lake)) if current else None
    except LakeError:  # damaged: as good as none
        return None


def _copies(photos: int) -> list[Any]:
    """The edited copies that are made of so many images, as `generation.json` has them."""
    return [photos, list(COPY_PROTOCOL)] if photos else []
