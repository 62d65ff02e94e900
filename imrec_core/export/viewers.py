"""Export of a generation for viewers: embedding projector, Embedding Atlas, graph programs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from imrec_core.errors import BadExport, UnknownName
from imrec_core.export import atlas, graphml, output_folder, projector
from imrec_core.export.parquet_csv import Progress
from imrec_core.export.report import ExportReport
from imrec_core.export.viewer_selection import ViewerSelection, map_facts, select_for_viewer
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake

VIEWERS = ("projector", "atlas", "graphml")

NEIGHBOURS = 10

_FORMAT = 2  # of export.json; increment it when the same command writes different files
_ROWS = {"projector": projector.ROWS, "atlas": atlas.ROWS}
_MOST_NEIGHBOURS = 50


def export_view(
    lake: Lake,
    out: str | os.PathLike[str],
    to: str,
    *,
    by: str | None = None,
    where: str | None = None,
    rows: int | None = None,
    on: str | None = None,
    neighbours: int = NEIGHBOURS,
    progress: Progress = lambda line: None,
) -> ExportReport:
    """Write the current generation for a viewer, or resume an interrupted export.

    Args:
        out: A folder.
        to: One of `VIEWERS`.
        by: Feature to compare images by; None for that of the map, or the generation's default feature.
        where: SQL condition over the rows.
        rows: Maximum number of images, sampled at random; None for a number that the viewer handles well.
        on: Name of a map; None for any map by that feature. `atlas` requires one.
        neighbours: Neighbours per image, for `atlas` and `graphml`.
        progress: Called with a line for each step.

    Raises:
        UnknownName: There is no such viewer, feature or map.
        BadExport: A map is missing, a number is out of range, no image matches, or `out` holds other files.
        BadFilter: `where` is not a valid condition.
        MissingDependency: The library for that viewer is not installed.
        MissingTable, StaleIndex: There is no readable generation.
        StorageFull: The disk is full; completed files are kept.
    """
    started = time.perf_counter()
    _check(to, os.fspath(out), rows, neighbours)
    out = Path(out)
    generation = open_generation(lake)
    selection = select_for_viewer(lake, generation, by, where, rows or _ROWS.get(to), on, needs_map=to == "atlas")
    if to == "graphml":
        graphml.check()
    with output_folder.open_folder(out, _manifest_facts(selection, to, where, neighbours)) as replaced:
        kept, parts = _write(selection, out, to, neighbours, progress)
    return ExportReport(
        str(out),
        to,
        generation.id,
        len(selection),
        {selection.feature.name: "" if to == "projector" else selection.feature.metric.name},
        parts,
        kept,
        replaced,
        selection.left_out,
        output_folder.size(out),
        time.perf_counter() - started,
    )


def _manifest_facts(selection: ViewerSelection, to: str, where: str | None, neighbours: int) -> dict[str, Any]:
    """Identify an export: equal facts mean equal files, so that it can be resumed."""
    return {
        "imrec_export": _FORMAT,
        "to": to,
        "generation": selection.generation.id,
        "fingerprint": selection.generation.facts["fingerprint"],
        "rows": len(selection),
        "where": where,
        "by": selection.feature.name,
        "map": map_facts(selection.on),
        "neighbours": neighbours if to != "projector" else None,
        "tags": selection.generation.tags and selection.generation.tags.digest(),
    }


def _check(to: str, out: str, rows: int | None, neighbours: int) -> None:
    if to not in VIEWERS:
        raise UnknownName("viewer", to, VIEWERS)
    if "://" in out:
        raise BadExport(f"{out} is a URL; {to} is written to a local folder")
    if rows is not None and rows < 1:
        raise BadExport(f"rows is {rows}; it must be 1 or more")
    if to == "projector" and rows is not None and rows > projector.MOST:
        raise BadExport(f"rows is {rows}; the projector reads at most {projector.MOST} points")
    if not 1 <= neighbours <= _MOST_NEIGHBOURS:
        raise BadExport(f"neighbours is {neighbours}; it must be 1 to {_MOST_NEIGHBOURS}")


def _write(selection: ViewerSelection, out: Path, to: str, neighbours: int, progress: Progress) -> tuple[int, int]:
    if to == "projector":
        return projector.write_projector(selection, out, progress)
    if to == "atlas":
        return atlas.write_atlas(selection, out, neighbours, progress)
    return graphml.write_graphml(selection, out, neighbours, progress)
