"""Build a generation in a new folder, or extend the current one; validate it and publish it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import DamagedGeneration, StaleIndex
from imrec_core.features import Feature, known_features
from imrec_core.index.calibration import SHOWN_RATES
from imrec_core.index.calibration_pairs import RandomPairs, calibrate, positive_pair_distances
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import GraphRequest, Graphs, build_graphs, extend_graphs
from imrec_core.index.integrity import GenerationFiles
from imrec_core.index.manifest import FORMAT, feature_record
from imrec_core.index.neighbourhoods import averaged_rows
from imrec_core.index.opening import readable_generation
from imrec_core.index.plan import (
    DEFAULT_PARAMS,
    GenerationPlan,
    copies_record,
    matches_plan,
    plan_generation,
)
from imrec_core.index.row_assignment import HeldShards, RowAssignment, assign_rows
from imrec_core.index.row_table import write_rows
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.index.vector_file import truncate_on_failure
from imrec_core.index.vector_writing import BuildInputs, new_vectors, write_vectors
from imrec_core.lake import schemas
from imrec_core.lake.lake import GENERATION_FACTS, Lake
from imrec_core.lake.settings import IndexParams
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.timing import record_timings, timed

log = logging.getLogger(__name__)

_MAX_REMOVED = 0.25  # share of removed rows above which a generation is built whole
_MAX_GROWTH = 1.1  # factor of rows since the last measurement above which calibration and recall are measured again
_MAX_EXTENDED = 2  # factor of rows since the last whole build above which a large generation is built whole again
_LARGE = 10_000  # rows from which the dims and the order of insertion of graphs depend on the rows; see `graph_space`


@dataclass(frozen=True)
class GenerationReport:
    """Result of building a generation.

    Attributes:
        rows: Number of images.
        removed: Number of further rows whose image was removed or has changed.
        built: False if the current generation was up to date.
        why: Whether it extends the previous generation; if not, the reason.
        missing: Chosen features that are not in it, because they are not up to date for every image.
        recall: Measured recall@10 through the HNSW graphs, by feature.
        scanned: Graphs left out because their recall is too low even with a larger M; exact search replaces them.
        columns: Result of joining each file of user columns.
        copies_kept: Share of edited copies within the threshold at each of `calibration.SHOWN_RATES`, by feature in its
            default metric; empty if no copies were made.
        waiting: Images that it holds as they were before, or not at all, and what they wait for.
        stage_seconds: Seconds of each stage of its build: `plan`, `rows`, `vectors`, `graph NAME` for each graph,
            `recall`, `calibration`, `checksums`. Empty for generations of earlier versions.
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
    waiting: WaitingImages = field(default_factory=WaitingImages)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)


def build_generation(lake: Lake, params: IndexParams = DEFAULT_PARAMS, *, force: bool = False) -> GenerationReport:
    """Build a generation of all complete images and publish it, unless the current one is up to date.

    Images whose tables are not up to date stay as they are in the current generation; see `plan_generation`.

    If possible it extends the current generation: rows keep their numbers, new rows are appended, and rows of removed
    images are marked. It is written to a new folder and validated; readers see the old or the new generation complete.

    Args:
        params: HNSW parameters of graphs without an entry in `lake.toml`.
        force: Whether to build it whole, although the current one is up to date or could be extended.

    Raises:
        LakeError: No image has vectors, or a graph is below the recall floor at the ef that `lake.toml` sets.
        BadColumns: A file of user columns cannot be joined.
        StaleIndex: No image can be published, or tables changed during the build.
        StorageFull: The disk is full; the current generation stays in use.
    """
    with lake.exclusive_lock("generation"):
        try:
            return _build_and_publish(lake, params, force=force)
        except DamagedGeneration as error:
            log.warning("%s; building a whole generation instead", error)
            if error.is_certain:
                lake.set_aside(error.path)
            return _build_and_publish(lake, params, force=force)


def _build_and_publish(lake: Lake, params: IndexParams, *, force: bool = False) -> GenerationReport:
    with record_timings() as stages:
        return _build_if_due(lake, params, stages, force=force)


def _build_if_due(
    lake: Lake, params: IndexParams, stages: Mapping[str, float], *, force: bool = False
) -> GenerationReport:
    started = time.perf_counter()
    with timed("plan"):
        plan = plan_generation(lake, params)
        current = readable_generation(lake)
    if current is not None and not force and matches_plan(current, plan):
        if not lake.is_published(current.id):  # CURRENT was damaged or missing
            lake.publish(current.id)
        return _make_report(current, plan, built=False)
    ids = [*lake.generations(), lake.current_generation() or "0"]  # a damaged current one may not be listed
    new_id = f"{max(int(id_) for id_ in ids if id_.isdecimal()) + 1:06d}"
    with timed("rows"):
        build = _prepare(lake, plan, current, force=force)
    shared = [build.previous.vector_file(name) for name in build.previous.features] if build.previous else []
    with truncate_on_failure(shared), lake.new_generation(new_id) as folder:
        _write(build, folder, started, stages)
        # Otherwise an image could get the vector of another, and keep it in all later generations.
        if plan_generation(lake, params).fingerprint != plan.fingerprint:
            raise StaleIndex("tables changed while the generation was built; run: imrec build")
    lake.publish(new_id)
    return _make_report(Generation(lake.local_generation(new_id), known_features(lake)), plan, built=True)


def _prepare(lake: Lake, plan: GenerationPlan, current: Generation | None, *, force: bool) -> BuildInputs:
    """Assign rows, and decide whether to extend the current generation."""
    if force:
        reason = "a whole build was requested"
    else:
        reason = "no generation to extend" if current is None else _rebuild_reason(current, plan)
    held = HeldShards(current, plan.held) if current is not None and plan.held else None
    if current is not None and not reason:
        rows = assign_rows(lake, plan.shards, current, held)
        reason = _outgrown_reason(current, rows)
        if not reason:
            new = len(rows.table) - rows.kept
            why = f"extends {current.id} by {new} rows, {len(rows.dropped)} removed"
            return BuildInputs(lake, plan, rows, current, current, why)
    rows = assign_rows(lake, plan.shards, None, held)
    return BuildInputs(lake, plan, rows, current, None, f"built whole: {reason}")


def _outgrown_reason(current: Generation, rows: RowAssignment) -> str:
    """Return why the current generation should not be extended by rows; empty if it should."""
    count, whole = len(rows.table), _whole_rows(current)
    if rows.removed > _MAX_REMOVED * count:
        return f"{rows.removed} of {count} rows are removed"
    # Extended graphs keep the dims and the order of insertion that suit the few rows that they began with.
    is_outgrown = count >= _LARGE and count > _MAX_EXTENDED * whole
    return (
        f"{count} rows are more than {_MAX_EXTENDED} times the {whole} of the last whole build" if is_outgrown else ""
    )


def _whole_rows(generation: Generation) -> int:
    """Return the number of rows when the generation, or the one that it extends, was built whole."""
    return int(generation.facts.get("whole_rows", generation.facts["rows"]))  # earlier versions did not note it


def _rebuild_reason(generation: Generation, plan: GenerationPlan) -> str:
    """Return what differs from the plan besides the images; empty if nothing does."""
    facts = generation.facts
    # Outdated images may have got other vectors since, though their content is the same.
    if facts.get("images_version") != schemas.IMAGES_VERSION or facts.get("waiting", []) != list(plan.outdated_shards):
        return "image properties are computed differently"
    stored = {name: entry.get("made") for name, entry in facts["features"].items()}
    planned = {name: computation.digest for name, computation in plan.computations.items()}
    changed = {name for name in {*stored, *planned} if stored.get(name) != planned.get(name)}
    changed |= {feature.name for feature in plan.features if not generation.holds(feature)}
    if changed or generation.outdated:
        return f"features added, removed or computed differently: {', '.join(sorted(changed) or generation.outdated)}"
    if facts.get("indexes") != _graphs_record(plan):
        return "HNSW parameters changed"
    return "" if facts.get("true_pairs") == copies_record(plan.copied_images) else "edited copies changed"


def _graphs_record(plan: GenerationPlan) -> list[list[Any]]:
    """Return the requested graphs as `generation.json` holds them."""
    return [[str(by), asdict(params)] for by, params in plan.graphs]


def _make_report(generation: Generation, plan: GenerationPlan, *, built: bool) -> GenerationReport:
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
        plan.missing,
        recall,
        tuple(facts.get("scanned", ())),
        tuple(Joined(**joined) for joined in facts.get("columns", ())),
        _copies_kept(generation),
        plan.waiting,
        facts.get("stages", {}),
    )


def _copies_kept(generation: Generation) -> dict[str, tuple[float, ...]]:
    """Compute `GenerationReport.copies_kept` from the calibration."""
    kept = {}
    for name in generation.features:
        calibration = generation.calibration(name, generation.feature(name).metric.name)
        shares = [calibration.true_match_rate(rate) for rate in SHOWN_RATES]
        measured = tuple(share for share in shares if share is not None)
        if measured:
            kept[name] = measured
    return kept


def _write(build: BuildInputs, folder: Path, started: float, stages: Mapping[str, float]) -> None:
    """Write all files of a generation; the manifest is complete only at the end.

    Args:
        stages: Seconds of each stage so far, which `timed` updates.
    """
    lake, plan, rows, previous = build.lake, build.plan, build.rows, build.previous
    facts = _initial_manifest(build)
    with timed("rows"):
        write_rows(folder, rows.table)
    with timed("vectors"):
        _write_all_vectors(build, folder)
    for feature in plan.features:
        if feature.is_fitted:
            facts["features"][feature.name]["fitted"] = _fit_version(build, feature)
    _write_manifest(folder, facts)
    generation = Generation(folder, known_features(lake))
    measured = previous.facts["measured_rows"] if previous else 0
    measure = previous is None or len(rows.table) > _MAX_GROWTH * measured
    facts["measured"], facts["measured_rows"] = measure, len(rows.table) if measure else measured
    graphs = _make_graphs(build, generation, measure=measure)
    stored = previous.facts["calibration"] if previous else {}
    with timed("calibration"):
        facts["calibration"] = _calibrate(lake, generation, plan) if measure else stored
    facts["graphs"] = {name: graph.to_dict() for name, graph in graphs.items()}
    facts["scanned"] = [name for name in (str(by) for by, _ in plan.graphs) if name not in graphs]
    facts["files"] = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.name != GENERATION_FACTS}
    with timed("checksums"):
        facts["checksums"] = GenerationFiles.of(folder, facts).record(previous.files if previous else None)
    facts["seconds"] = round(time.perf_counter() - started, 3)
    facts["stages"] = {name: round(seconds, 3) for name, seconds in stages.items()}
    _write_manifest(folder, facts)


def _write_all_vectors(build: BuildInputs, folder: Path) -> None:
    """Write the vectors of all features, except the averages of neighbourhoods, which need graphs."""
    computed = [feature for feature in build.plan.features if feature.averaged is None]
    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(lambda feature: write_vectors(build, folder, feature, new_vectors(build, feature)), computed))


def _initial_manifest(build: BuildInputs) -> dict[str, Any]:
    """Return the manifest without what is measured from the written files."""
    plan, rows = build.plan, build.rows
    facts: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": plan.fingerprint,
        "why": build.why,
        "images_version": schemas.IMAGES_VERSION,
        "rows": len(rows.table),
        "whole_rows": _whole_rows(build.previous) if build.previous else len(rows.table),
        "removed": rows.removed,
        "shards": dict(plan.records),
        "held": sorted(plan.held),
        "waiting": list(plan.outdated_shards),  # as versions before the first with `held` named them
        "waiting_images": asdict(plan.waiting),
        "missing": list(plan.missing),
        "features": {f.name: {**feature_record(f), **plan.computations[f.name].to_record()} for f in plan.features},
        "indexes": _graphs_record(plan),
        "true_pairs": copies_record(plan.copied_images),
        "graphs": {},
        "calibration": {},
        "files": {},
    }
    if rows.joined:
        facts["columns"] = [asdict(of_file) for of_file in rows.joined]
    if former := build.lake.settings().former_names:
        facts["former_names"] = dict(former)
    return facts


def _fit_version(build: BuildInputs, feature: Feature) -> str | None:
    """Return the version of the fit that computed the vectors; the lake may have a newer one than held vectors."""
    if build.plan.held and build.current is not None:
        return build.current.fit_versions.get(feature.name)
    return build.lake.fitted_version(feature.stored_as)


def _calibrate(lake: Lake, generation: Generation, plan: GenerationPlan) -> dict[str, dict[str, dict[str, Any]]]:
    """Calibrate all features on random pairs, and on edited copies if the plan has them."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        entries = list(pool.map(partial(calibrate, generation, RandomPairs.of(generation)), plan.features))
    calibrated = {feature.name: entry for feature, entry in zip(plan.features, entries, strict=True)}
    if plan.copied_images:
        for (name, metric), pairs in positive_pair_distances(lake, generation, plan.copied_images).items():
            calibrated[name][metric]["true_pairs"] = asdict(pairs)
    return calibrated


def _write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    (folder / GENERATION_FACTS).write_text(json.dumps(facts, indent=1))


def _make_graphs(build: BuildInputs, generation: Generation, *, measure: bool) -> Graphs:
    """Make all graphs, and the averaged vectors in between, which are found with the graphs of the others."""

    def make(requests: tuple[GraphRequest, ...]) -> Graphs:
        if build.previous is None:
            return build_graphs(generation, requests)
        return extend_graphs(generation, build.previous, requests, build.rows.kept, measure=measure)

    plan, first = build.plan, build.rows.kept if build.previous else 0
    graphs = make(tuple(request for request in plan.graphs if request[0].feature.averaged is None))
    searchable = generation.with_graphs(graphs)
    for feature in plan.features:
        if feature.averaged is not None:
            with timed("vectors"):
                write_vectors(build, generation.folder, feature, averaged_rows(searchable, feature, first))
    return graphs | make(tuple(request for request in plan.graphs if request[0].feature.averaged is not None))
