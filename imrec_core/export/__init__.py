"""Export of a generation for other tools: rows and vectors as files, indexes or collections.

An export streams blocks, and an interrupted one resumes. `docs/guides/export.md` shows how to search in each target.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imrec_core.errors import BadExport
from imrec_core.export import faiss, lance, output_folder, qdrant
from imrec_core.export.parquet_csv import Progress, write_csv, write_parquet
from imrec_core.export.report import ExportReport
from imrec_core.export.selection import Selection, select
from imrec_core.export.viewers import VIEWERS, export_view
from imrec_core.features.spaces import TARGETS, Space, space_of
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake

__all__ = ["PART_ROWS", "TARGETS", "VIEWERS", "ExportReport", "Space", "export", "export_view", "space_of"]

PART_ROWS = 100_000
FORMAT = 2  # of export.json; increment it when the same command writes different files

_CHECKS: dict[str, Callable[[], None]] = {"faiss": faiss.check, "lance": lance.check, "qdrant": qdrant.check}


def export(
    lake: Lake,
    out: str | os.PathLike[str],
    to: str,
    *,
    by: Sequence[str] | None = None,
    where: str | None = None,
    part_rows: int = PART_ROWS,
    hnsw: bool = False,
    collection: str = "imrec",
    api_key: str | None = None,
    progress: Progress = lambda line: None,
) -> ExportReport:
    """Write the current generation for another tool, or resume an interrupted export.

    Args:
        out: A folder, or for Qdrant also the URL of a server.
        to: One of `TARGETS`.
        by: `feature` or `feature:metric`; None for all features, or for none with CSV.
        where: SQL condition over the rows.
        part_rows: Rows per part; completed parts are kept when an export is interrupted.
        hnsw: FAISS only: build HNSW indexes, in memory, instead of flat indexes.
        collection: Qdrant only: name of the collection.
        api_key: Qdrant only: API key of the server.
        progress: Called with a line for each part.

    Raises:
        UnknownName: There is no such target, feature or metric.
        BadExport: The target lacks the metric or cannot be reached, or `out` holds other files.
        BadFilter: `where` is not a valid condition.
        MissingDependency: The library of the target is not installed.
        MissingTable, StaleIndex: There is no readable generation.
        StorageFull: The disk is full; completed parts are kept.
    """
    started = time.perf_counter()
    out, is_url = os.fspath(out), "://" in os.fspath(out)
    selection = select(open_generation(lake), to, by, where, part_rows)
    _check(out, to, is_url=is_url, hnsw=hnsw)
    facts = _manifest_facts(selection, to, where, hnsw)
    if is_url:
        kept, replaced = qdrant.write_qdrant(selection, out, collection, facts, progress, api_key=api_key), False
    else:
        with output_folder.open_folder(Path(out), facts) as replaced:
            kept = _write(selection, Path(out), to, facts, progress, hnsw, collection)
    return ExportReport(
        out,
        to,
        selection.generation.id,
        len(selection),
        {column.name: column.space.distance for column in selection.columns},
        _count_parts(selection, to),
        kept,
        replaced,
        byte_size=0 if is_url else output_folder.size(Path(out)),
        seconds=time.perf_counter() - started,
    )


def _check(out: str, to: str, *, is_url: bool, hnsw: bool) -> None:
    if is_url and to != "qdrant":
        raise BadExport(f"{out} is a URL; {to} is written to a local folder")
    if hnsw and to != "faiss":
        raise BadExport(f"HNSW indexes are written for faiss only, not for {to}")
    _CHECKS.get(to, lambda: None)()


def _manifest_facts(selection: Selection, to: str, where: str | None, hnsw: bool) -> dict[str, Any]:
    """Identify an export: equal facts mean equal files, so that it can be resumed."""
    generation = selection.generation
    return {
        "imrec_export": FORMAT,
        "to": to,
        "generation": generation.id,
        "fingerprint": generation.facts["fingerprint"],
        "rows": len(selection),
        "where": where,
        "part_rows": selection.part_rows,
        "hnsw": hnsw,
        "features": {column.name: column.facts() for column in selection.columns},
        "tags": selection.tags and selection.tags.digest(),
    }


def _write(
    selection: Selection, out: Path, to: str, facts: dict[str, Any], progress: Progress, hnsw: bool, collection: str
) -> int:
    if to == "parquet":
        return write_parquet(selection, out, progress)
    if to == "csv":
        return write_csv(selection, out, progress)
    if to == "faiss":
        return faiss.write_faiss(selection, out, progress, hnsw=hnsw)
    if to == "lance":
        return lance.write_lance(selection, out, progress)
    return qdrant.write_qdrant(selection, str(out / "qdrant"), collection, facts, progress)


def _count_parts(selection: Selection, to: str) -> int:
    if to == "qdrant":
        return len(selection)
    return len(selection.parts) + (len(selection.columns) if to == "faiss" else 0)
