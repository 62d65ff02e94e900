"""Plan a generation: which features, graphs and edited copies it has, and whether the current one is up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imrec_core.catalog import user_columns
from imrec_core.errors import StaleIndex
from imrec_core.extraction.staleness import digest
from imrec_core.features import Feature, generation_features, known_features
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.features.searched import current_name
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index.computations import Computation, shard_record
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import GraphRequest
from imrec_core.index.manifest import FORMAT, feature_record
from imrec_core.index.opening import readable_generation
from imrec_core.index.shard_selection import ShardSelection, WaitingImages, select_shards
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import IndexParams, Settings

DEFAULT_PARAMS = IndexParams()


@dataclass(frozen=True)
class GenerationPlan:
    """Contents of a generation that would be built now.

    Attributes:
        shards: Shards that are taken from their tables, which are complete.
        held: Shards whose rows are carried over from the current generation: their key there, by key.
        outdated_shards: Shards among both whose rows are as an earlier version of imrec read them.
        missing: Chosen features that are not up to date for every image.
        graphs: HNSW graphs to build.
        copied_images: Maximum number of images of which edited copies are made for the calibration.
        computations: How the vectors were computed, by feature.
        records: Digest of what rows and vectors are made from, by shard; a held shard keeps that of its rows.
        waiting: Images that are held or left out, and what they wait for.
        fingerprint: Digest of all inputs; equal fingerprints mean equal generations.
    """

    shards: tuple[str, ...]
    held: Mapping[str, str]
    outdated_shards: tuple[str, ...]
    features: tuple[Feature, ...]
    missing: tuple[str, ...]
    graphs: tuple[GraphRequest, ...]
    copied_images: int
    computations: Mapping[str, Computation]
    records: Mapping[str, str]
    waiting: WaitingImages
    fingerprint: str


def plan_generation(lake: Lake, params: IndexParams = DEFAULT_PARAMS) -> GenerationPlan:
    """Plan the generation that would be built now.

    It has at least the chosen features of the current generation. Shards that are not up to date keep the rows that
    the current generation has of them, and are left out if it has none; see `shard_selection`.

    Args:
        params: HNSW parameters of graphs without an entry in `lake.toml`.

    Raises:
        StaleIndex: No image can be published.
    """
    settings, current = lake.settings(), readable_generation(lake)
    chosen = generation_features(lake)
    selection = select_shards(lake, settings, chosen, current)
    if selection.waiting.images and not selection.complete and not selection.held:
        raise StaleIndex(f"no image can be published yet: {selection.waiting.summary()}; run: imrec build")
    features = selection.features
    graphs = _graph_requests(features, settings, known_features(lake), params)
    records = _shard_records(lake, selection, current)
    if current is not None and selection.is_unchanged:
        fingerprint = current.facts["fingerprint"]
    else:
        fingerprint = _fingerprint(settings, selection, records, graphs)
    return GenerationPlan(
        selection.complete,
        selection.held,
        selection.outdated,
        features,
        tuple(feature.name for feature in chosen if feature not in features),
        graphs,
        settings.calibration_copies,
        _computations(lake, selection, current),
        records,
        selection.waiting,
        fingerprint,
    )


def _shard_records(lake: Lake, selection: ShardSelection, current: Generation | None) -> dict[str, str]:
    """Return the record of each shard, sorted by key."""
    records = {shard: shard_record(lake, shard, selection.features) for shard in selection.complete}
    if current is not None:
        stored = current.facts.get("shards", {})  # generations of earlier versions have no records
        unknown = f"rows of {current.facts['fingerprint']}"
        records |= {shard: stored.get(key, unknown) for shard, key in selection.held.items()}
    return dict(sorted(records.items()))


def _computations(lake: Lake, selection: ShardSelection, current: Generation | None) -> dict[str, Computation]:
    """Return how the vectors of each feature are computed; held vectors, and those beside them, as before."""
    if current is not None and selection.held:
        return {f.name: Computation.from_record(current.features[f.name]) for f in selection.features}
    return {f.name: Computation.of(lake, f, selection.complete) for f in selection.features}


def _fingerprint(
    settings: Settings, selection: ShardSelection, records: Mapping[str, str], graphs: Sequence[GraphRequest]
) -> str:
    held = [feature_record(feature) for feature in selection.features]
    requests = [(by.feature.name, by.metric.name, asdict(params)) for by, params in graphs]
    columns = user_columns.made_from(settings)
    copies = copies_record(settings.calibration_copies)
    versions = [FORMAT, schemas.IMAGES_VERSION, *selection.outdated]
    return digest([versions, held, requests, sorted(records.items()), columns, copies])


def _graph_requests(
    features: Sequence[Feature], settings: Settings, known: Mapping[str, Feature], default: IndexParams
) -> tuple[GraphRequest, ...]:
    """List the default graphs of features, and the graphs that `lake.toml` requests."""
    names = {feature.name for feature in features}
    requests = []
    for feature in features:
        configured = {
            FeatureMetric.of(feature, metric).metric.name: IndexParams.of(name, table)
            for name, table in settings.indexes.items()
            for of, metric in [split_name(name)]
            if current_name(of, known) == feature.name
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
