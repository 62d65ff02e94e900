"""Plan a generation: which features, graphs and edited copies it has, and whether the current one is up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imrec_core.catalog import user_columns
from imrec_core.errors import StaleIndex
from imrec_core.extraction.staleness import (
    WHICH_IMAGES,
    can_wait,
    digest,
    has_fresh_images,
    is_feature_fresh,
    manifest_version,
)
from imrec_core.features import Feature, chosen_features
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import GraphRequest
from imrec_core.index.manifest import FORMAT
from imrec_core.index.opening import readable_generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import IndexParams, Settings
from imrec_core.lake.storage.files import exists, is_away

DEFAULT_PARAMS = IndexParams()

_NOT_COMPUTATION = (*WHICH_IMAGES, "bases")  # metadata without influence on vectors; bases have their own digest


@dataclass(frozen=True)
class GenerationPlan:
    """Contents of a generation that would be built now.

    Attributes:
        waiting: Shards whose source is away and whose images table is not up to date; their images stay as they were.
        missing: Chosen features that are not up to date for every shard.
        graphs: HNSW graphs to build.
        copied_images: Maximum number of images of which edited copies are made for the calibration.
        computations: Digest of how the vectors were computed, independent of the images, by feature.
        fingerprint: Digest of all inputs; equal fingerprints mean equal generations.
    """

    shards: tuple[str, ...]
    waiting: tuple[str, ...]
    features: tuple[Feature, ...]
    missing: tuple[str, ...]
    graphs: tuple[GraphRequest, ...]
    copied_images: int
    computations: Mapping[str, str]
    fingerprint: str


def plan_generation(lake: Lake, params: IndexParams = DEFAULT_PARAMS) -> GenerationPlan:
    """Plan the generation that would be built now.

    Shards of a source that is not mounted are left out if they were never read, and taken as they are if their images
    table is of an earlier version, so that other sources can be built.

    Args:
        params: HNSW parameters of graphs without an entry in `lake.toml`.

    Raises:
        StaleIndex: The image tables are not up to date.
    """
    settings = lake.settings()
    shards, waiting = _readable_shards(lake, settings)
    chosen = chosen_features(lake)
    fresh = [f for f in chosen if all(is_feature_fresh(lake, shard, f, settings) for shard in shards)]
    names = [feature.name for feature in fresh]
    graphs = _graph_requests(fresh, settings, params)
    return GenerationPlan(
        shards=tuple(shards),
        waiting=tuple(waiting),
        features=tuple(fresh),
        missing=tuple(feature.name for feature in chosen if feature.name not in names),
        graphs=graphs,
        copied_images=settings.calibration_copies,
        computations={feature.name: _computation_digest(lake, feature, shards) for feature in fresh},
        fingerprint=_fingerprint(lake, settings, shards, waiting, names, graphs),
    )


def _readable_shards(lake: Lake, settings: Settings) -> tuple[list[str], list[str]]:
    """Return the shards of the generation, and those among them that wait for their source."""
    away = {name for name, root in settings.sources.items() if is_away(root)}
    shards = [s for s in lake.live_shards() if source_of(s) not in away or exists(lake.images_path(s))]
    stale = [shard for shard in shards if not has_fresh_images(lake, shard)]
    waiting = [shard for shard in stale if source_of(shard) in away and can_wait(lake, shard)]
    unread = [shard for shard in stale if shard not in waiting]
    if unread:
        raise StaleIndex(f"shards not read yet, or changed since: {', '.join(unread)}; run: imrec build")
    return shards, waiting


def _fingerprint(
    lake: Lake,
    settings: Settings,
    shards: Sequence[str],
    waiting: Sequence[str],
    features: Sequence[str],
    graphs: Sequence[GraphRequest],
) -> str:
    tables = [(name, lake.made_from(lake.feature_path(name, shard))) for name in features for shard in shards]
    versions = [(shard, manifest_version(lake, shard)) for shard in shards]
    requests = [(by.feature.name, by.metric.name, asdict(params)) for by, params in graphs]
    columns = user_columns.made_from(settings)
    copies = copies_record(settings.calibration_copies)
    inputs = [FORMAT, schemas.IMAGES_VERSION, requests, versions, tables, *columns, copies, *waiting]
    return hashlib.blake2b(json.dumps(inputs, sort_keys=True).encode(), digest_size=8).hexdigest()


def _computation_digest(lake: Lake, feature: Feature, shards: Sequence[str]) -> str:
    """Compute a digest that is equal if the same image would get the same vector."""
    tables = (lake.made_from(lake.feature_path(feature.name, shard)) or {} for shard in shards)
    computations = {
        json.dumps({k: v for k, v in made_from.items() if k not in _NOT_COMPUTATION}, sort_keys=True)
        for made_from in tables
    }
    return digest([sorted(computations), [_computation_digest(lake, base, shards) for base in feature.bases]])


def _graph_requests(features: Sequence[Feature], settings: Settings, default: IndexParams) -> tuple[GraphRequest, ...]:
    """List the default graphs of features, and the graphs that `lake.toml` requests."""
    names = {feature.name for feature in features}
    requests = []
    for feature in features:
        configured = {
            FeatureMetric.of(feature, metric).metric.name: IndexParams.of(name, table)
            for name, table in settings.indexes.items()
            for of, metric in [split_name(name)]
            if of == feature.name
        }
        for metric in feature.metrics:
            is_default = metric == feature.metric and metric.has_graph and feature.candidates not in names
            if is_default or metric.name in configured:
                requests.append((FeatureMetric(feature, metric), configured.get(metric.name, default)))
    return tuple(requests)


def copies_record(images: int) -> list[Any]:
    """Return the entry of `generation.json` for the edited copies of so many images."""
    return [images, list(COPY_PROTOCOL)] if images else []


def is_up_to_date(lake: Lake, plan: GenerationPlan) -> bool:
    """Return whether the current generation is the one that the plan would build."""
    generation = readable_generation(lake)
    return generation is not None and lake.is_published(generation.id) and matches_plan(generation, plan)


def matches_plan(generation: Generation, plan: GenerationPlan) -> bool:
    """Return whether a generation is the one that the plan would build, with all its graphs."""
    return bool(generation.facts["fingerprint"] == plan.fingerprint) and not generation.damaged
