"""Plots of what was measured, as PNG or SVG: numbers in, the bytes of a file out. `of_lake` gets the numbers."""

from imrec_core.plots.canvas import format_of
from imrec_core.plots.comparisons import draw_hashes, draw_histograms
from imrec_core.plots.confusion import draw_confusion
from imrec_core.plots.curves import (
    Breadths,
    draw_curves,
    draw_extraction,
    draw_precision_recall,
    draw_recall_by_ef,
    draw_stages,
)
from imrec_core.plots.distributions import draw_distances, draw_values

__all__ = [
    "Breadths",
    "draw_confusion",
    "draw_curves",
    "draw_distances",
    "draw_extraction",
    "draw_hashes",
    "draw_histograms",
    "draw_precision_recall",
    "draw_recall_by_ef",
    "draw_stages",
    "draw_values",
    "format_of",
]
