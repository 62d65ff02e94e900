"""A generation elsewhere: its rows and vectors as files, indexes or collections of other tools.

It goes block by block, and goes on where it stopped; `docs/export.md` shows how to search there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imrec_core.errors import BadExport
from imrec_core.export import faiss, folder, lance, qdrant
from imrec_core.export.parts import Progress, write_csv, write_parquet
from imrec_core.export.report import ExportReport
from imrec_core.export.selection import Selection, select
from imrec_core.export.spaces import TARGETS, Space, space_of
from imrec_core.export.viewers import VIEWERS, export_view
from imrec_core.generation import open_generation
from imrec_core.lake import Lake

__all__ = ["PART_ROWS", "TARGETS", "VIEWERS", "ExportReport", "Space", "export", "export_view", "space_of"]

PART_ROWS = 100_000
FORMAT = 1  # of export.json; goes up when the same command would write something else

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
    """Write the generation in use for another tool; the same call goes on where one before it stopped.

    Args:
        out: A folder, or for Qdrant the URL of a server.
        to: One of `TARGETS`.
        by: `feature` or `feature:metric`; None for all features, of which CSV gets none.
        where: SQL condition over the rows.
        part_rows: Rows that are written before they count as done.
        hnsw: For FAISS: graphs, built in memory, instead of flat indexes.
        collection: For Qdrant: its name.
        api_key: For Qdrant, where a server asks for one.
        progress: Is told each part.

    Raises:
        UnknownName: No such target, feature or metric.
        BadExport: The target cannot compare by a metric, cannot be reached, or `out` holds something else.
        BadFilter: `where` is no condition.
        MissingDependency: The library of the target is not installed.
        MissingTable, StaleIndex: There is no generation, or none can be read.
        StorageFull: The disk took no more; what is done is kept.
    """
    started = time.perf_counter()
    out, is_url = os.fspath(out), "://" in os.fspath(out)
    generation = open_generation(lake)
    selection = select(generation, to, by, where, part_rows)
    if is_url and to != "qdrant":
        raise BadExport(f"{out} is a URL; {to} is written to a local folder")
    if hnsw and to != "faiss":
        raise BadExport(f"graphs are built for faiss; {to} has none of that kind")
    _CHECKS.get(to, lambda: None)()
    facts = {
        "imrec_export": FORMAT,
        "to": to,
        "generation": generation.id,
        "fingerprint": generation.facts["fingerprint"],
        "rows": len(selection),
        "where": where,
        "part_rows": part_rows,
        "hnsw": hnsw,
        "features": {column.name: column.facts() for column in selection.columns},
    }
    if is_url:
        kept, replaced = qdrant.write_qdrant(selection, out, collection, facts, progress, api_key=api_key), False
    else:
        with folder.opened(Path(out), facts) as replaced:
            kept = _write(selection, Path(out), to, facts, progress, hnsw, collection)
    return ExportReport(
        out,
        to,
        generation.id,
        len(selection),
        {column.name: column.space.distance for column in selection.columns},
        _parts(selection, to),
        kept,
        replaced,
        byte_size=0 if is_url else folder.size(Path(out)),
        seconds=time.perf_counter() - started,
    )


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


def _parts(selection: Selection, to: str) -> int:
    if to == "qdrant":
        return len(selection)
    return len(selection.parts) + (len(selection.columns) if to == "faiss" else 0)
