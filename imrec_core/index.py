"""Build a generation aside, check it, publish it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
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
from imrec_core.features import Feature, find_feature
from imrec_core.fit import is_feature_fresh
from imrec_core.freshness import has_fresh_images, manifest_version
from imrec_core.generation import FORMAT, Generation, GraphFacts, make_facts
from imrec_core.lake import Lake, source_of
from imrec_core.metrics import Metric

RECALL_FLOOR = 0.95
RECALL_WANTED = 0.99

_EFS = (64, 128, 256, 512, 1024)
_RECALL_QUERIES = 50
_PAIRS = (200, 512)  # queries × others: some 100,000 random pairs for the calibration
_SEED = 20_26
_BLOCK = 16_384


@dataclass(frozen=True)
class IndexParams:
    """How graphs are built.

    Attributes:
        m: Links of a node in HNSW.
        ef_construction: Breadth of the search for them.
        candidates: Rows taken from a graph before exact re-ranking, at least.
    """

    m: int = 16
    ef_construction: int = 100
    candidates: int = 100


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
    """

    shards: tuple[str, ...]
    features: tuple[str, ...]
    missing: tuple[str, ...]
    fingerprint: str


def plan_generation(lake: Lake, params: IndexParams = IndexParams()) -> Plan:
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
    chosen = lake.settings().features
    fresh = [name for name in chosen if all(is_feature_fresh(lake, s, find_feature(name)) for s in shards)]
    made_from = [(name, lake.made_from(lake.feature_path(name, shard))) for name in fresh for shard in shards]
    versions = [(shard, manifest_version(lake, shard)) for shard in shards]
    inputs = json.dumps([FORMAT, asdict(params), versions, made_from], sort_keys=True)
    fingerprint = hashlib.blake2b(inputs.encode(), digest_size=8).hexdigest()
    return Plan(tuple(shards), tuple(fresh), tuple(n for n in chosen if n not in fresh), fingerprint)


def is_up_to_date(lake: Lake, plan: Plan) -> bool:
    """Whether the generation in use is what the plan would make."""
    generation = _in_use(lake)
    return generation is not None and _is_made(generation, plan)


def _is_made(generation: Generation, plan: Plan) -> bool:
    return bool(generation.facts["fingerprint"] == plan.fingerprint)


def _in_use(lake: Lake) -> Generation | None:
    current = lake.current_generation()
    try:
        return Generation(lake.generation_path(current)) if current else None
    except LakeError:  # damaged: as good as none
        return None


def build_generation(lake: Lake, params: IndexParams = IndexParams()) -> GenerationReport:
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
        _write(lake, folder, plan, params, started)
    lake.publish(f"{number:06d}")
    return _report(Generation(lake.generation_path(f"{number:06d}")), built=True)


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


def _write(lake: Lake, folder: Path, plan: Plan, params: IndexParams, started: float) -> None:
    rows, counts = _write_rows(lake, folder, plan.shards)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": plan.fingerprint,
        "rows": rows,
        "missing": list(plan.missing),
        "params": asdict(params),
        "features": {name: make_facts(find_feature(name)) for name in plan.features},
        "graphs": {},
        "calibration": {},
        "files": {},
    }
    for name in plan.features:
        feature = find_feature(name)
        _write_matrix(lake, folder, feature, plan.shards, counts)
        if feature.projection:
            facts["features"][name]["fitted"] = lake.fitted_version(name)
    for name in plan.features:
        feature = find_feature(name)
        if feature.metric.has_graph and feature.candidates not in plan.features:
            facts["graphs"][name] = asdict(_build_graph(folder, feature, params))
    with ThreadPoolExecutor(available_cores()) as pool:
        calibrated = pool.map(lambda name: _calibrate(folder, find_feature(name)), plan.features)
        facts["calibration"] = dict(zip(plan.features, calibrated, strict=True))
    facts["files"] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    _write_facts(folder, facts)
    for name, graph in _tuned(Generation(folder)).items():
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


def _build_graph(folder: Path, feature: Feature, params: IndexParams) -> GraphFacts:
    matrix = np.load(folder / f"{feature.name}.npy", mmap_mode="r")
    metric = feature.metric
    graph = hnswlib.Index(space=metric.space, dim=metric.lifted(matrix[:1]).shape[1])
    graph.init_index(len(matrix), M=params.m, ef_construction=params.ef_construction, random_seed=_SEED)
    for first in range(0, len(matrix), _BLOCK):
        block = metric.lifted(matrix[first : first + _BLOCK])
        graph.add_items(block, np.arange(first, first + len(block)), num_threads=available_cores())
    path = folder / f"{feature.name}.{metric.name}.hnsw"
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():  # hnswlib does not look whether its writes went through
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return GraphFacts(metric.name, params.m, params.ef_construction, _EFS[0], params.candidates)


# -- measuring ----------------------------------------------------------------------------------------------


def _tuned(generation: Generation) -> dict[str, GraphFacts]:
    """Each graph with the least breadth at which every feature that uses it reaches `RECALL_WANTED`.

    Raises:
        LakeError: One stays below `RECALL_FLOOR`.
    """
    tuned = {}
    queries = _sample(len(generation), _RECALL_QUERIES)
    for name, graph in generation.graphs.items():
        users = [f for f in map(find_feature, generation.features) if generation.graph_of(f) == find_feature(name)]
        exact = {f.name: generation.scan(f.name, f.metric, generation.matrix(f.name)[queries], 10) for f in users}
        for ef in _EFS:
            candidates = max(graph.candidates, ef // 2)
            generation.graphs[name] = replace(graph, ef=ef, candidates=candidates)
            recall = {f.name: round(recall_at_10(generation, f, queries, exact[f.name]), 4) for f in users}
            if min(recall.values()) >= RECALL_WANTED:
                break
        if min(recall.values()) < RECALL_FLOOR:
            raise LakeError(
                f"the graph of {name} reaches recall@10 {min(recall.values())}, {RECALL_FLOOR} is the floor"
            )
        tuned[name] = replace(generation.graphs[name], recall=recall)
    return tuned


def recall_at_10(
    generation: Generation, feature: Feature, queries: NDArray[np.int64], exact: NDArray[np.int64]
) -> float:
    """Share of the 10 exactly nearest rows that search through the graph finds; equal distances count as found.

    Args:
        queries: Rows asked for, `(n,)`.
        exact: Their nearest rows, `(n, 10)`.
    """
    graph = generation.graph_of(feature)
    if graph is None:
        return 1.0
    found = []
    matrix = generation.matrix(feature.name)
    for row, nearest in zip(queries, exact, strict=True):
        vector = generation.matrix(graph.name)[row]
        candidates = generation.from_graph(graph, vector, generation.graphs[graph.name].candidates)
        distances = np.sort(feature.metric(matrix[row], matrix[candidates]))[: len(nearest)]
        limit = feature.metric(matrix[row], matrix[nearest]).max()
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
        calibrated[metric.name] = asdict(Calibration.of(_pairs(metric, asked, others)))
    return calibrated


def _pairs(metric: Metric, queries: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float32]:
    if not len(queries):  # a lake of one image has no pairs
        return np.ones(1, np.float32)
    gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
    return np.concatenate([metric(query, gallery) for query in queries])


def _sample(rows: int, count: int) -> NDArray[np.int64]:
    """Up to `count` different rows, in random order, the same for the same number of rows."""
    return np.random.default_rng(_SEED).permutation(rows)[:count]
