"""Build a generation aside, check it, publish it."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core import tables, user_columns
from imrec_core.calibration import SHOWN_RATES, Calibration, TruePairs
from imrec_core.catalog import is_away
from imrec_core.edited_copies import distances_to_original, make_copies
from imrec_core.edits import COPY_PROTOCOL
from imrec_core.errors import LakeError, QueryError, SchemaMismatch, StaleIndex
from imrec_core.features import Feature, chosen_features, known_features
from imrec_core.freshness import has_fresh_images, is_feature_fresh, manifest_version
from imrec_core.generation import FACTS, FORMAT, Generation, graph_name, make_facts
from imrec_core.graphs import build_graphs
from imrec_core.lake import Lake, source_of
from imrec_core.machine import available_cores
from imrec_core.metrics import Metric
from imrec_core.settings import IndexParams, Settings
from imrec_core.user_columns import Joined

log = logging.getLogger(__name__)

_BY_DEFAULT = IndexParams()
_PAIRS = (200, 512)  # queries × others: some 100,000 random pairs for the calibration
_SEED = 20_26


@dataclass(frozen=True)
class GenerationReport:
    """What building a generation did.

    Attributes:
        built: False where the one in use was up to date already.
        missing: Features of the lake that are not in it, because they are not up to date for every shard.
        recall: Measured recall@10 through the graphs, by feature.
        scanned: Graphs that were left out, since they found too little however dense they were.
        columns: What came of each file of user columns.
        copies_kept: Share of edited copies that a cut at each of `calibration.SHOWN_RATES` keeps, by feature in its
            default metric; empty where no copies were made.
    """

    id: str
    rows: int
    built: bool
    byte_size: int
    seconds: float
    features: tuple[str, ...]
    missing: tuple[str, ...] = ()
    recall: dict[str, float] = field(default_factory=dict)
    scanned: tuple[str, ...] = ()
    columns: tuple[Joined, ...] = ()
    copies_kept: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a generation made now would hold.

    Attributes:
        fingerprint: Of all that goes into it; equal fingerprints mean that nothing new would come out.
        missing: Features that are not up to date for every shard.
        indexes: Graphs to build, by feature and metric.
        true_pairs: Images of which edited copies are made, at most.
    """

    shards: tuple[str, ...]
    features: tuple[Feature, ...]
    missing: tuple[str, ...]
    indexes: tuple[tuple[Feature, Metric, IndexParams], ...]
    true_pairs: int
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
    own = user_columns.made_from(settings)
    copies = [("true_pairs", settings.true_pairs, list(COPY_PROTOCOL))] if settings.true_pairs else []  # as it was else
    inputs = json.dumps([FORMAT, tables.IMAGES_VERSION, graphs, versions, made_from, *own, *copies], sort_keys=True)
    fingerprint = hashlib.blake2b(inputs.encode(), digest_size=8).hexdigest()
    missing = tuple(f.name for f in chosen if f.name not in names)
    return Plan(tuple(shards), tuple(fresh), missing, indexes, settings.true_pairs, fingerprint)


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
        LakeError: There is no image with vectors, or a graph finds too little with the breadth that is fixed for it.
        BadColumns: A file of user columns cannot be joined.
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
        tuple(facts.get("scanned", ())),
        tuple(Joined(**joined) for joined in facts.get("columns", ())),
        _copies_kept(generation),
    )


def _copies_kept(generation: Generation) -> dict[str, tuple[float, ...]]:
    kept = {}
    for name in generation.features:
        calibration = generation.calibration(name, generation.feature(name).metric.name)
        shares = [calibration.true_match_rate(rate) for rate in SHOWN_RATES]
        known = tuple(share for share in shares if share is not None)
        if known:
            kept[name] = known
    return kept


def _write(lake: Lake, folder: Path, plan: Plan, started: float) -> None:
    rows, counts, joined = _write_rows(lake, folder, plan.shards)
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
    if joined:
        facts["columns"] = [asdict(of_file) for of_file in joined]
    for feature in plan.features:
        _write_matrix(lake, folder, feature, plan.shards, counts)
        if feature.is_fitted:
            facts["features"][feature.name]["fitted"] = lake.fitted_version(feature.name)
    with ThreadPoolExecutor(available_cores()) as pool:
        calibrated = list(pool.map(partial(_calibrate, folder), plan.features))
    facts["calibration"] = {f.name: found for f, found in zip(plan.features, calibrated, strict=True)}
    _write_facts(folder, facts)
    generation = Generation(folder, known_features(lake))
    if plan.true_pairs:
        for (name, metric), pairs in _true_pairs(lake, generation, plan.true_pairs).items():
            facts["calibration"][name][metric]["true_pairs"] = asdict(pairs)
    build_graphs(generation, plan.indexes)
    facts["graphs"] = {name: asdict(graph) for name, graph in generation.graphs.items()}
    facts["scanned"] = [n for n in (graph_name(f, m) for f, m, _ in plan.indexes) if n not in generation.graphs]
    facts["files"] = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != FACTS}
    facts["seconds"] = round(time.perf_counter() - started, 3)
    _write_facts(folder, facts)


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / FACTS).write_text(json.dumps(facts, indent=1))


def _write_rows(lake: Lake, folder: Path, shards: tuple[str, ...]) -> tuple[int, list[int], list[Joined]]:
    """Write `rows.parquet`; returns the number of rows, those of each shard, and what came of each user's file."""
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
    rows, joined = user_columns.join(pa.concat_tables(parts), lake.settings())
    pq.write_table(rows, folder / "rows.parquet", compression="zstd")
    return first, [len(part) for part in parts], joined


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


# -- calibration --------------------------------------------------------------------------------------------


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
        found = Calibration.of(_pairs(metric, as_queries, others))
        calibrated[metric.name] = {"distances": found.distances, "rates": found.rates}
    return calibrated


def _pairs(metric: Metric, queries: Sequence[NDArray[Any]], others: NDArray[Any]) -> NDArray[np.float32]:
    if not len(queries):  # a lake of one image has no pairs
        return np.ones(1, np.float32)
    gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
    return np.concatenate([metric(query, gallery) for query in queries])


def _true_pairs(lake: Lake, generation: Generation, photos: int) -> dict[tuple[str, str], TruePairs]:
    """How far edited copies of a sample of the images are from their originals, by feature and metric.

    None where no image can be read any more, with a warning: a disk that is away keeps nobody from searching.
    """
    features = [generation.feature(name) for name in generation.features]
    ways = {graph_name(feature, metric): (feature, metric) for feature in features for metric in feature.metrics}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ways}
    rows = np.sort(_sample(len(generation), photos))
    try:
        for copies in make_copies(lake, generation, ways, rows, progress=log.info):
            for name, distances in distances_to_original(generation, ways, copies).items():
                found[name].append(distances)
    except QueryError as error:
        log.warning("no true pairs: %s", error)
        return {}
    return {(f.name, m.name): TruePairs.of(np.concatenate(found[name])) for name, (f, m) in ways.items()}


def _sample(rows: int, count: int) -> NDArray[np.int64]:
    """Up to `count` different rows, in random order, the same for the same number of rows."""
    return np.random.default_rng(_SEED).permutation(rows)[:count]
