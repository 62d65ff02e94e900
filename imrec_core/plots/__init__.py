"""Plots of measurements: numbers and images in, PNG or SVG bytes out. Reads neither a lake nor an index.

`evaluation.figures` collects the numbers.
"""

from imrec_core.plots.canvas import format_of
from imrec_core.plots.comparisons import draw_hashes, draw_histograms
from imrec_core.plots.confusion import draw_confusion
from imrec_core.plots.curves import (
    EfCurve,
    draw_curves,
    draw_extraction,
    draw_precision_recall,
    draw_recall_by_ef,
)
from imrec_core.plots.distributions import draw_distances, draw_values
from imrec_core.plots.stages import draw_stages
from imrec_core.runtime.lazy import lazy_names

__all__ = [
    "EfCurve",
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

__getattr__ = lazy_names(__name__, {"EfCurve": "curves"}, {"Breadths": "EfCurve"})  # its name in version 0.1
