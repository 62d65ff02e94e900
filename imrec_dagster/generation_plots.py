"""Plots of a generation as Dagster metadata: extraction rates, distances, stages and recall."""

from collections.abc import Callable

import dagster as dg

from imrec_core.evaluation.figures import plot_distances
from imrec_core.evaluation.stage_figure import plot_stages
from imrec_core.extraction.failures import count_reasons
from imrec_core.index.recall import CURVE_EFS, recall_at_ef
from imrec_core.lake.lake import Lake
from imrec_core.plots import draw_curves, draw_extraction
from imrec_core.search.recommender import Recommender
from imrec_core.sql import views
from imrec_dagster.metadata import Shown, embed_plot

_PLOTTED = 6  # features and runs on a plot: plots are stored with every generation


def plots_of_generation(lake: Lake, is_new: bool) -> Shown:
    """Plot extraction rates and reasons of failures; recall over ef of a generation whose graphs were measured.

    A new one with measured distances gets plots of distances and stage timings too, which take half a second. None is
    measured again for a generation that extends another.
    """
    connection = views.connect(lake)
    speeds, reasons = connection.sql(_SPEEDS).fetchall(), count_reasons(lake)
    recommender = Recommender(lake)
    generation = recommender.generation
    plots: dict[str, Callable[[], bytes]] = {}
    if speeds:
        plots["extraction"] = lambda: draw_extraction([s for _, s in speeds], reasons)
    is_measured = bool(generation.facts.get("measured"))
    if is_new and generation.features and is_measured:
        first = list(generation.features)[:_PLOTTED]
        plots["distances"] = lambda: plot_distances(recommender, by=first)
        if speeds:
            plots["stages"] = lambda: plot_stages(lake, last=_PLOTTED)
    recalls = recall_at_ef(generation) if is_measured else {}
    if recalls:
        least = dict(sorted(recalls.items(), key=lambda graph: graph[1][-1])[:_PLOTTED])
        title = "recall of the graphs"
        if len(least) < len(recalls):
            title = f"the lowest recall of {len(recalls)} graphs"
        curve = {"x": CURVE_EFS, "y": least, "x_label": "ef", "y_label": "recall@10"}
        plots["recall by ef"] = lambda: draw_curves({title: curve})
    return {name: dg.MetadataValue.md(embed_plot(draw())) for name, draw in plots.items()}


# The longest pass of each shard: a later pass may have read a single new image.
_SPEEDS = """
SELECT name, arg_max((rows + failed) / seconds, seconds) FROM runs
WHERE what = 'extract' AND seconds > 0 GROUP BY name ORDER BY name
"""
