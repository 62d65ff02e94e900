"""Build a generation aside, check it, publish it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import SchemaMismatch, StaleIndex
from imrec_core.features import Feature, known_features
from imrec_core.index.calibration import SHOWN_RATES
from imrec_core.index.calibration_pairs import calibrate, positive_pair_distances
from imrec_core.index.exact_search import blocks
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import build_graphs, extend_graphs
from imrec_core.index.manifest import FORMAT, make_facts, matrix_name
from imrec_core.index.plan import _BY_DEFAULT, GenerationPlan, _copies, _in_use, _is_made, plan_generation
from imrec_core.index.row_assignment import RowAssignment, assign_rows
from imrec_core.index.vector_file import VectorFile, as_before_on_failure
from imrec_core.lake import schemas
from imrec_core.lake.lake import GENERATION_FACTS, ROWS_FILE, Lake
from imrec_core.lake.settings import IndexParams
from imrec_core.runtime.cpu import cpu_count

log = logging.getLogger(__name__)

_REMOVED_AT_MOST = 0.25  # of the rows; with more a generation is built whole
_GROWN = 1.1  # times as many rows as scores and graphs were measured with: then they are measured again


@dataclass(frozen=True)
class GenerationReport:
    """What building a generation did.

    Attributes:
        rows: Images in it.
        removed: Rows beside them whose image was removed or has changed.
        built: False where the one in use was up to date already.
        why: Whether it extends the one before, and if not, why.
        missing: Features of the lake that are not in it, because they are not up to date for every shard.
        recall: Measured recall@10 through the graphs, by feature.
        scanned: Graphs that were left out, since they found too little however dense they were.
        columns: What came of each file of user columns.
        copies_kept: Share of edited copies that a cut at each of `calibration.SHOWN_RATES` keeps, by feature in its
            default metric; empty where no copies were made.
    """

    id: str
    rows: int
    removed: int
    built: bool
    why: str
    byte_size: int
    seconds: float
    features: tuple[str, ...]
    missing: tuple[str, ...] = ()
    recall: dict[str, float] = field(default_factory=dict)
    scanned: tuple[str, ...] = ()
    columns: tuple[Joined, ...] = ()
    copies_kept: dict[str, tuple[float, ...]] = field(default_factory=dict)


def build_generation(lake: Lake, params: IndexParams = _BY_DEFAULT) -> GenerationReport:
    """Make a generation of all live images and publish it, unless the one in use is that already.

    It extends the one in use where it can: its rows keep their numbers, new ones come after them, and those of images
    that are gone are marked. It is written aside and checked; a reader sees the old one or the new one, whole.

    Raises:
        LakeError: There is no image with vectors, or a graph finds too little with the breadth that is fixed for it.
        BadColumns: A file of user columns cannot be joined.
        StaleIndex: The image tables are not up to date, or tables were changed meanwhile.
        StorageFull: The disk took no more; the generation in use stays.
    """
    with lake.alone("generation"):
        return _build(lake, params)


def _build(lake: Lake, params: IndexParams) -> GenerationReport:
    started = time.perf_counter()
    plan = plan_generation(lake, params)
    in_use = _in_use(lake)
    if in_use is not None and _is_made(in_use, plan):
        return _report(in_use, built=False)
    taken = [*lake.generations(), lake.current_generation() or "0"]  # the one in use may be damaged beyond listing
    number = max(map(int, taken)) + 1
    before, placing, why = _place(lake, plan, in_use)
    growing = [before.matrix_file(name) for name in before.features] if before else []
    with as_before_on_failure(growing), lake.new_generation(f"{number:06d}") as folder:
        _write(lake, folder, plan, placing, before, why, started)
        # Else an image could have the vector of another, and keep it from one generation to the next.
        if plan_generation(lake, params).fingerprint != plan.fingerprint:
            raise StaleIndex("tables were changed while the generation was built; run: imrec build")
    lake.publish(f"{number:06d}")
    return _report(Generation(lake.local_generation(f"{number:06d}"), known_features(lake)), built=True)


def _place(lake: Lake, plan: GenerationPlan, in_use: Generation | None) -> tuple[Generation | None, RowAssignment, str]:
    """The generation that is extended, if one is, the rows of the new one, and why."""
    why = "there is none to extend" if in_use is None else _why_not_extended(in_use, plan)
    if in_use is None or why:
        return None, assign_rows(lake, plan.shards), f"built whole: {why}"
    placing = assign_rows(lake, plan.shards, in_use)
    if placing.removed > _REMOVED_AT_MOST * len(placing.table):
        why = f"{placing.removed} of {len(placing.table)} rows are removed"
        return None, assign_rows(lake, plan.shards), f"built whole: {why}"
    new = len(placing.table) - placing.kept
    return in_use, placing, f"extends {in_use.id} by {new} rows, {len(placing.dropped)} removed"


def _why_not_extended(generation: Generation, plan: GenerationPlan) -> str:
    """What is different, if anything is but the images."""
    facts = generation.facts
    if facts.get("images_version") != schemas.IMAGES_VERSION:
        return "the images are described otherwise"
    made = {name: stored.get("made") for name, stored in facts["features"].items()}
    changed = sorted({name for name in {*made, *plan.made} if made.get(name) != plan.made.get(name)})
    if changed or generation.outdated:
        return f"{', '.join(changed or generation.outdated)} new, gone or computed otherwise"
    if facts.get("indexes") != _asked(plan):
        return "the graphs are to be built otherwise"
    return "" if facts.get("true_pairs") == _copies(plan.true_pairs) else "true_pairs was changed"


def _asked(plan: GenerationPlan) -> list[list[Any]]:
    """The graphs as `generation.json` has what was asked of them."""
    return [[str(by), asdict(params)] for by, params in plan.indexes]


def _report(generation: Generation, *, built: bool) -> GenerationReport:
    facts = generation.facts
    recall = {name: value for graph in generation.graphs.values() for name, value in graph.recall.items()}
    return GenerationReport(
        generation.id,
        len(generation) - generation.removed,
        generation.removed,
        built,
        facts["why"],
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


def _write(
    lake: Lake,
    folder: Path,
    plan: GenerationPlan,
    placing: RowAssignment,
    before: Generation | None,
    why: str,
    started: float,
) -> None:
    facts: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": plan.fingerprint,
        "why": why,
        "images_version": schemas.IMAGES_VERSION,
        "rows": len(placing.table),
        "removed": placing.removed,
        "missing": list(plan.missing),
        "features": {f.name: {**make_facts(f), "made": plan.made[f.name]} for f in plan.features},
        "indexes": _asked(plan),
        "true_pairs": _copies(plan.true_pairs),
        "graphs": {},
        "calibration": {},
        "files": {},
    }
    if placing.joined:
        facts["columns"] = [asdict(of_file) for of_file in placing.joined]
    pq.write_table(placing.table, folder / ROWS_FILE, compression="zstd")
    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(lambda feature: _write_matrix(lake, folder, feature, placing, before), plan.features))
    for feature in plan.features:
        if feature.is_fitted:
            facts["features"][feature.name]["fitted"] = lake.fitted_version(feature.name)
    _write_facts(folder, facts)
    generation = Generation(folder, known_features(lake))
    measured = before.facts["measured_rows"] if before else 0
    is_new = before is None or len(placing.table) > _GROWN * measured
    facts["measured"], facts["measured_rows"] = is_new, len(placing.table) if is_new else measured
    kept = before.facts["calibration"] if before else {}
    facts["calibration"] = _calibrated(lake, generation, plan) if is_new else kept
    if before is None:
        graphs = build_graphs(generation, plan.indexes)
    else:
        graphs = extend_graphs(generation, before, plan.indexes, placing.kept, measure=is_new)
    facts["graphs"] = {name: graph.to_dict() for name, graph in graphs.items()}
    facts["scanned"] = [n for n in (str(by) for by, _ in plan.indexes) if n not in graphs]
    facts["files"] = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != GENERATION_FACTS}
    facts["seconds"] = round(time.perf_counter() - started, 3)
    _write_facts(folder, facts)


def _calibrated(lake: Lake, generation: Generation, plan: GenerationPlan) -> dict[str, dict[str, dict[str, Any]]]:
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(pool.map(partial(calibrate, generation), plan.features))
    calibrated = {f.name: of_feature for f, of_feature in zip(plan.features, found, strict=True)}
    if plan.true_pairs:
        for (name, metric), pairs in positive_pair_distances(lake, generation, plan.true_pairs).items():
            calibrated[name][metric]["true_pairs"] = asdict(pairs)
    return calibrated


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    (folder / GENERATION_FACTS).write_text(json.dumps(facts, indent=1))


def _write_matrix(
    lake: Lake, folder: Path, feature: Feature, placing: RowAssignment, before: Generation | None
) -> None:
    """Write all vectors of a feature, in the order of the rows; of those there were before only the file's name."""
    file = VectorFile(folder / matrix_name(feature.name), len(placing.table), feature.width, feature.dtype)
    if before is not None and file.grow_from(before.matrix_file(feature.name), _added(lake, feature, placing)):
        return
    kept = (block for _, block in blocks(before.matrix(feature.name))) if before is not None else ()
    file.write(chain(kept, _added(lake, feature, placing)))


def _added(lake: Lake, feature: Feature, placing: RowAssignment) -> Iterator[NDArray[Any]]:
    """The vectors of the rows that are new, shard by shard."""
    for shard, count, positions in placing.added:
        table = lake.read_table(lake.feature_path(feature.name, shard), ["vector"])
        if len(table) != count:
            raise SchemaMismatch(f"{feature.name} has {len(table)} rows for {count} images in shard {shard!r}")
        yield schemas.to_matrix(table["vector"])[positions]
