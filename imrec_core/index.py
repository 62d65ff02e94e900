"""Build a generation aside, check it, publish it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core import tables
from imrec_core.calibration import Calibration
from imrec_core.catalog import is_away
from imrec_core.encoders import available_cores
from imrec_core.errors import LakeError, SchemaMismatch, StaleIndex
from imrec_core.features import Feature, chosen_features, known_features
from imrec_core.freshness import has_fresh_images, is_feature_fresh, manifest_version
from imrec_core.generation import FORMAT, Generation, GraphFacts, graph_file, graph_name, make_facts
from imrec_core.lake import Lake, source_of
from imrec_core.metrics import Metric
from imrec_core.settings import IndexParams, Settings

RECALL_FLOOR = 0.95
RECALL_WANTED = 0.99

_BY_DEFAULT = IndexParams()
_EFS = (64, 128, 256, 512, 1024)
_RECALL_QUERIES = 50
_PAIRS = (200, 512)  # queries × others: some 100,000 random pairs for the calibration
_SEED = 20_26
_BLOCK = 16_384


@dataclass(frozen=True)
class GenerationReport:
    """What building a generation did.

    Attributes:
        built: False where the one in use was up to date already.
        missing: Features of the lake that are not in it, because they are not up to date for every shard.
        recall: Measured recall@10 through the graphs, by feature.
    """

    id: str
    rows: int
    built: bool
    byte_size: int
    seconds: float
    features: tuple[str, ...]
    missing: tuple[str, ...] = ()
    recall: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a generation made now would hold.

    Attributes:
        fingerprint: Of all that goes into it; equal fingerprints mean that nothing new would come out.
        missing: Features that are not up to date for every shard.
        indexes: Graphs to build, by feature and metric.
    """

    shards: tuple[str, ...]
    features: tuple[Feature, ...]
    missing: tuple[str, ...]
    indexes: tuple[tuple[Feature, Metric, IndexParams], ...]
    fingerprint: str


def plan_generation(lake: Lake, params: IndexParams = _BY_DEFAULT) -> Plan:
    """What a generation made now would hold.

    Shards that were never read are left out while their source is away, so that they hold up nobody else.

    Raises:
        StaleIndex: The image tables are not up to date.
    """
    sources = lake.settings().sources
    away = {name for name, root in sources.items() if is_away(root)}
    shards = [s for s in lake.live_shards() if source_of(s) not in away or lake.images_path(s).exists()]
    unread = [shard for shard in shards if not has_fresh_images(lake, shard)]
    if unread:
        raise StaleIndex(f"shards not read yet, or changed since: {', '.join(unread)}; run: imrec build")
    settings, chosen = lake.settings(), chosen_features(lake)
    fresh = [f for f in chosen if all(is_feature_fresh(lake, shard, f, settings) for shard in shards)]
    names = [feature.name for feature in fresh]
    made_from = [(name, lake.made_from(lake.feature_path(name, shard))) for name in names for shard in shards]
    versions = [(shard, manifest_version(lake, shard)) for shard in shards]
    indexes = _indexes(fresh, settings, params)
    graphs = [(f.name, metric.name, asdict(of_graph)) for f, metric, of_graph in indexes]
    inputs = json.dumps([FORMAT, tables.IMAGES_VERSION, graphs, versions, made_from], sort_keys=True)
    fingerprint = hashlib.blake2b(inputs.encode(), digest_size=8).hexdigest()
    return Plan(tuple(shards), tuple(fresh), tuple(f.name for f in chosen if f.name not in names), indexes, fingerprint)


def _indexes(
    features: Sequence[Feature], settings: Settings, default: IndexParams
) -> tuple[tuple[Feature, Metric, IndexParams], ...]:
    """The graphs that features get by themselves, and those that `lake.toml` asks for."""
    names = {feature.name for feature in features}
    found = []
    for feature in features:
        asked = {
            (feature.find_metric(metric) if metric else feature.metric).name: IndexParams.of(name, table)
            for name, table in settings.indexes.items()
            for of, _, metric in [name.partition(":")]
            if of == feature.name
        }
        for metric in feature.metrics:
            by_itself = metric == feature.metric and metric.has_graph and feature.candidates not in names
            if by_itself or metric.name in asked:
                found.append((feature, metric, asked.get(metric.name, default)))
    return tuple(found)


def is_up_to_date(lake: Lake, plan: Plan) -> bool:
    """Whether the generation in use is what the plan would make."""
    generation = _in_use(lake)
    return generation is not None and _is_made(generation, plan)


def _is_made(generation: Generation, plan: Plan) -> bool:
    return bool(generation.facts["fingerprint"] == plan.fingerprint)


def _in_use(lake: Lake) -> Generation | None:
    current = lake.current_generation()
    try:
        return Generation(lake.generation_path(current), known_features(lake)) if current else None
    except LakeError:  # damaged: as good as none
        return None


def build_generation(lake: Lake, params: IndexParams = _BY_DEFAULT) -> GenerationReport:
    """Make a generation of all live images and publish it, unless the one in use is that already.

    It is written aside and checked; a reader sees the old one or the new one, whole.

    Raises:
        LakeError: There is no image with vectors, or a graph misses `RECALL_FLOOR` at every breadth.
        StaleIndex: The image tables are not up to date.
        StorageFull: The disk took no more; the generation in use stays.
    """
    started = time.perf_counter()
    plan = plan_generation(lake, params)
    in_use = _in_use(lake)
    if in_use is not None and _is_made(in_use, plan):
        return _report(in_use, built=False)
    taken = [*lake.generations(), lake.current_generation() or "0"]  # the one in use may be damaged beyond listing
    number = max(map(int, taken)) + 1
    with lake.new_generation(f"{number:06d}") as folder:
        _write(lake, folder, plan, started)
    lake.publish(f"{number:06d}")
    return _report(Generation(lake.generation_path(f"{number:06d}"), known_features(lake)), built=True)


def _report(generation: Generation, *, built: bool) -> GenerationReport:
    facts = generation.facts
    recall = {name: value for graph in generation.graphs.values() for name, value in graph.recall.items()}
    return GenerationReport(
        generation.id,
        len(generation),
        built,
        sum(facts["files"].values()),
        facts["seconds"],
        tuple(generation.features),
        tuple(facts["missing"]),
        recall,
    )


def _write(lake: Lake, folder: Path, plan: Plan, started: float) -> None:
    rows, counts = _write_rows(lake, folder, plan.shards)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": plan.fingerprint,
        "rows": rows,
        "missing": list(plan.missing),
        "features": {feature.name: make_facts(feature) for feature in plan.features},
        "graphs": {},
        "calibration": {},
        "files": {},
    }
    for feature in plan.features:
        _write_matrix(lake, folder, feature, plan.shards, counts)
        if feature.is_fitted:
            facts["features"][feature.name]["fitted"] = lake.fitted_version(feature.name)
    for feature, metric, params in plan.indexes:
        facts["graphs"][graph_name(feature, metric)] = asdict(_build_graph(folder, feature, metric, params))
    with ThreadPoolExecutor(available_cores()) as pool:
        calibrated = list(pool.map(partial(_calibrate, folder), plan.features))
    facts["calibration"] = {f.name: found for f, found in zip(plan.features, calibrated, strict=True)}
    facts["files"] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    _write_facts(folder, facts)
    fixed = {graph_name(feature, metric): params.ef for feature, metric, params in plan.indexes if params.ef}
    for name, graph in _tuned(Generation(folder, known_features(lake)), fixed).items():
        facts["graphs"][name] = asdict(graph)
    facts["seconds"] = round(time.perf_counter() - started, 3)
    _write_facts(folder, facts)


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / "generation.json").write_text(json.dumps(facts, indent=1))


def _write_rows(lake: Lake, folder: Path, shards: tuple[str, ...]) -> tuple[int, list[int]]:
    """Write `rows.parquet`; returns the number of rows, and of rows per shard."""
    parts, first = [], 0
    for shard in shards:
        places = lake.read_table(lake.catalog_path(shard))
        images = lake.read_table(lake.images_path(shard))
        if not places["image_id"].equals(images["image_id"]):
            raise SchemaMismatch(f"the images of shard {shard!r} are not those of its manifest; run: imrec build")
        ok = pc.equal(images["status"], "ok")
        count = pc.sum(ok).as_py() or 0
        known = {name: places[name].filter(ok) for name in tables.CATALOG.names}
        known |= {name: images[name].filter(ok) for name in tables.IMAGES.names if name in tables.ROWS.names}
        known |= {
            "row": pa.array(range(first, first + count), pa.int64()),
            "shard": pa.array([shard] * count, pa.string()),
            "removed": pa.array([False] * count, pa.bool_()),
        }
        parts.append(pa.table([known[name] for name in tables.ROWS.names], schema=tables.ROWS))
        first += count
    if not first:
        raise LakeError("no image has been read yet, or all failed; see: imrec failures")
    pq.write_table(pa.concat_tables(parts), folder / "rows.parquet", compression="zstd")
    return first, [len(part) for part in parts]


def _write_matrix(lake: Lake, folder: Path, feature: Feature, shards: tuple[str, ...], counts: list[int]) -> None:
    """Write all vectors of a feature, in the order of the rows.

    Not through a memory map: on a full disk writing to one kills the process.
    """
    header = {"descr": np.dtype(feature.dtype).str, "fortran_order": False, "shape": (sum(counts), feature.width)}
    with (folder / f"{feature.name}.npy").open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for shard, count in zip(shards, counts, strict=True):
            table = lake.read_table(lake.feature_path(feature.name, shard), ["vector"])
            if len(table) != count:
                raise SchemaMismatch(f"{feature.name} has {len(table)} rows for {count} images in shard {shard!r}")
            file.write(np.ascontiguousarray(tables.to_matrix(table["vector"]), feature.dtype).data)


def _build_graph(folder: Path, feature: Feature, metric: Metric, params: IndexParams) -> GraphFacts:
    matrix = np.load(folder / f"{feature.name}.npy", mmap_mode="r")
    graph = hnswlib.Index(space=metric.space, dim=metric.lifted(matrix[:1]).shape[1])
    graph.init_index(len(matrix), M=params.m, ef_construction=params.ef_construction, random_seed=_SEED)
    for first in range(0, len(matrix), _BLOCK):
        block = metric.lifted(matrix[first : first + _BLOCK])
        graph.add_items(block, np.arange(first, first + len(block)), num_threads=available_cores())
    facts = GraphFacts(
        feature.name, metric.name, params.m, params.ef_construction, params.ef or _EFS[0], params.candidates
    )
    path = folder / graph_file(facts)
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():  # hnswlib does not look whether its writes went through
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return facts


# -- measuring ----------------------------------------------------------------------------------------------


def _tuned(generation: Generation, fixed: Mapping[str, int]) -> dict[str, GraphFacts]:
    """Each graph with the least breadth at which all that use it reach `RECALL_WANTED`, or with the fixed one.

    Raises:
        LakeError: One stays below `RECALL_FLOOR`.
    """
    tuned = {}
    queries = _sample(len(generation), _RECALL_QUERIES)
    for name, graph in generation.graphs.items():
        users = graph_users(generation, name)
        exact = {
            label: generation.scan(f.name, metric, generation.matrix(f.name)[queries], 10)
            for label, (f, metric) in users.items()
        }
        recall = {}
        for ef in (fixed[name],) if name in fixed else _EFS:
            candidates = max(graph.candidates, ef // 2)
            generation.graphs[name] = replace(graph, ef=ef, candidates=candidates)
            recall = {
                label: round(recall_at_10(generation, f, metric, queries, exact[label]), 4)
                for label, (f, metric) in users.items()
            }
            if min(recall.values()) >= RECALL_WANTED:
                break
        if min(recall.values()) < RECALL_FLOOR:
            raise LakeError(
                f"the graph of {name} reaches recall@10 {min(recall.values())}, {RECALL_FLOOR} is the floor; "
                f'raise m, ef_construction or ef under [indexes."{name}"] in lake.toml'
            )
        tuned[name] = replace(generation.graphs[name], recall=recall)
    return tuned


def graph_users(generation: Generation, graph: str) -> dict[str, tuple[Feature, Metric]]:
    """What a graph gives candidates for and is measured by: features in their default metric, and its own."""
    users = {}
    for feature in map(generation.feature, generation.features):
        for metric in feature.metrics:
            is_default = metric == feature.metric
            if generation.graph_of(feature, metric) == graph and (is_default or graph_name(feature, metric) == graph):
                users[feature.name if is_default else graph] = (feature, metric)
    return users


def recall_at_10(
    generation: Generation, feature: Feature, metric: Metric, queries: NDArray[np.int64], exact: NDArray[np.int64]
) -> float:
    """Share of the 10 exactly nearest rows that search through the graph finds; equal distances count as found.

    Args:
        queries: Rows asked for, `(n,)`.
        exact: Their nearest rows, `(n, 10)`.
    """
    name = generation.graph_of(feature, metric)
    if name is None:
        return 1.0
    graph = generation.graphs[name]
    found = []
    matrix = generation.matrix(feature.name)
    for row, nearest in zip(queries, exact, strict=True):
        candidates = generation.from_graph(name, generation.matrix(graph.feature)[row], graph.candidates)
        distances = np.sort(metric(matrix[row], matrix[candidates]))[: len(nearest)]
        limit = metric(matrix[row], matrix[nearest]).max()
        found.append(float((distances <= limit * (1 + 1e-6) + 1e-6).sum()) / len(nearest))
    return float(np.mean(found))


def _calibrate(folder: Path, feature: Feature) -> dict[str, Any]:
    """Distances of random pairs, by metric."""
    matrix = np.load(folder / f"{feature.name}.npy", mmap_mode="r")
    chosen = _sample(len(matrix), sum(_PAIRS))
    part = len(chosen) * _PAIRS[0] // sum(_PAIRS)
    queries, others = matrix[chosen[:part]], matrix[chosen[part:]]
    calibrated = {}
    for metric in feature.metrics:  # the default one is resolved best
        asked = queries if metric == feature.metric else queries[: -(-part // 4)]
        as_queries = [feature.as_query(query, metric) for query in asked]
        calibrated[metric.name] = asdict(Calibration.of(_pairs(metric, as_queries, others)))
    return calibrated


def _pairs(metric: Metric, queries: Sequence[NDArray[Any]], others: NDArray[Any]) -> NDArray[np.float32]:
    if not len(queries):  # a lake of one image has no pairs
        return np.ones(1, np.float32)
    gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
    return np.concatenate([metric(query, gallery) for query in queries])


def _sample(rows: int, count: int) -> NDArray[np.int64]:
    """Up to `count` different rows, in random order, the same for the same number of rows."""
    return np.random.default_rng(_SEED).permutation(rows)[:count]
