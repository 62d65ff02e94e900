"""Plot of the times that builds and searches took, from the run log."""

from __future__ import annotations

from imrec_core.errors import QueryError
from imrec_core.lake.lake import Lake
from imrec_core.plots.stages import Times, draw_stages
from imrec_core.sql import views


def plot_stages(lake: Lake, *, last: int = 12, format: str = "png") -> bytes:
    """Plot the run times of the last shards, build steps and searches, stage by stage.

    Args:
        last: Maximum number of runs of each kind.
        format: `png` or `svg`.

    Raises:
        QueryError: No run is recorded in this lake.
    """
    connection = views.connect(lake)
    panels = []
    for title, unit, sql in _STAGES:
        found = connection.sql(f"SELECT * FROM ({sql}) ORDER BY ended DESC LIMIT {int(last)}").fetchall()
        if found:
            panels.append(Times(title, unit, [(name, parts) for _, name, parts in reversed(found)]))
    if not panels:
        raise QueryError(f"no run is recorded in {lake.root}; run: imrec build")
    return draw_stages(panels, about=f"the last {last} runs of each kind, the latest below", format=format)


_STAGES = (
    (
        "feature extraction by shard",
        "milliseconds per image, sum over threads",
        """SELECT ended, name || ', ' || (rows + failed) || ' images' AS name,
                  map_from_entries([(s.key, s.value * 1000 / (rows + failed)) FOR s IN map_entries(stages)])
           FROM runs WHERE what = 'extract' AND rows + failed > 0""",
    ),
    (
        "steps of builds",
        "seconds",
        """SELECT ended, what || ' ' || name AS name, MAP {what: seconds} FROM runs
           WHERE what IN ('scan', 'extract', 'fit', 'project', 'generation')""",
    ),
    (
        "generations by stage",
        "seconds",
        "SELECT ended, name, stages FROM runs WHERE what = 'generation' AND cardinality(stages) > 0",
    ),
    (
        "searches by imrec search",
        "milliseconds",
        """SELECT ended, regexp_replace(name, '[^ ]*/', '', 'g') AS name,
                  map_from_entries([(s.key, s.value * 1000) FOR s IN map_entries(stages)])
           FROM runs WHERE what = 'search'""",
    ),
)
