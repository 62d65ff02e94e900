"""A generation for programs that show it: pictures on a map, points in space, a graph."""

from __future__ import annotations

import os
import time
from pathlib import Path

from imrec_core.errors import BadExport, UnknownName
from imrec_core.export import atlas, folder, graphml, projector
from imrec_core.export.parts import Progress
from imrec_core.export.report import ExportReport
from imrec_core.export.shown import Shown, choose, map_facts
from imrec_core.generation import open_generation
from imrec_core.lake import Lake

VIEWERS = ("projector", "atlas", "graphml")

NEIGHBOURS = 10

_FORMAT = 1  # goes up when the same command would write something else
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
    """Write the generation in use for a viewer; the same call goes on where one before it stopped.

    Args:
        out: A folder.
        to: One of `VIEWERS`.
        by: A feature, in its default metric; None for that of the map, or the generation's first.
        where: SQL condition over the rows.
        rows: Images at most, a random sample of more; None for as many as the viewer does well with.
        on: Name of a map; None for one by that feature. `atlas` needs one.
        neighbours: Of each image, for `atlas` and `graphml`.

    Raises:
        UnknownName: No such viewer, feature or map.
        BadExport: A map is missing, a number is wrong, no image is left, or `out` holds something else.
        BadFilter: `where` is no condition.
        MissingDependency: The library that writes it is not installed.
        MissingTable, StaleIndex: There is no generation, or none can be read.
        StorageFull: The disk took no more; what is done is kept.
    """
    started = time.perf_counter()
    _check(to, os.fspath(out), rows, neighbours)
    out = Path(out)
    generation = open_generation(lake)
    shown = choose(lake, generation, by, where, rows or _ROWS.get(to), on, needs_map=to == "atlas")
    if to == "graphml":
        graphml.check()
    facts = {
        "imrec_export": _FORMAT,
        "to": to,
        "generation": generation.id,
        "fingerprint": generation.facts["fingerprint"],
        "rows": len(shown),
        "where": where,
        "by": shown.feature.name,
        "map": map_facts(shown.on),
        "neighbours": neighbours if to != "projector" else None,
    }
    with folder.opened(out, facts) as replaced:
        kept, parts = _write(shown, out, to, neighbours, progress)
    return ExportReport(
        str(out),
        to,
        generation.id,
        len(shown),
        {shown.feature.name: "" if to == "projector" else shown.feature.metric.name},
        parts,
        kept,
        replaced,
        shown.left_out,
        folder.size(out),
        time.perf_counter() - started,
    )


def _check(to: str, out: str, rows: int | None, neighbours: int) -> None:
    if to not in VIEWERS:
        raise UnknownName("viewer", to, VIEWERS)
    if "://" in out:
        raise BadExport(f"{out} is a URL; {to} is written to a local folder")
    if rows is not None and rows < 1:
        raise BadExport(f"rows is {rows}; it must be 1 or more")
    if to == "projector" and rows is not None and rows > projector.MOST:
        raise BadExport(f"the projector reads {projector.MOST} points at most, not {rows}")
    if not 1 <= neighbours <= _MOST_NEIGHBOURS:
        raise BadExport(f"neighbours is {neighbours}; it must be 1 to {_MOST_NEIGHBOURS}")


def _write(shown: Shown, out: Path, to: str, neighbours: int, progress: Progress) -> tuple[int, int]:
    if to == "projector":
        return projector.write_projector(shown, out, progress)
    if to == "atlas":
        return atlas.write_atlas(shown, out, neighbours, progress)
    return graphml.write_graphml(shown, out, neighbours, progress)
