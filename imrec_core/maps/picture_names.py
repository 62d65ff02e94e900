"""Names of clusters in the plot of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.maps.map_table import Cluster
from imrec_core.plots import fonts
from imrec_core.plots.canvas import plain
from imrec_core.plots.style import DPI, INK

_POINTS, _PIXELS = 9, 13  # size of the letters, and their height at 100 pixels per inch
_LETTERS = 32  # longest name
_PAD = 4  # pixels around a name
_BELOW = 14  # pixels from the edge of a thumbnail to the middle of its name


def draw_names(
    axes: Any,
    clusters: Sequence[Cluster],
    names: Mapping[int, str],
    thumbnails: Mapping[int, NDArray[np.float64]],
) -> None:
    """Write the names of clusters over their middle, or below their thumbnail, the largest cluster first.

    A name that would overlap another name or a thumbnail is left out.

    Args:
        clusters: Largest first.
        names: Names by number of the cluster.
        thumbnails: Left, bottom, right and top of each thumbnail in pixels, by number of the cluster.
    """
    taken = list(thumbnails.values())
    left, bottom, right, top = axes.bbox.extents
    for cluster in clusters:
        if cluster.cluster not in names:
            continue
        text = plain(names[cluster.cluster], _LETTERS)
        middle = axes.transData.transform((cluster.x, cluster.y))
        place = np.asarray(middle)
        if cluster.cluster in thumbnails:
            box = thumbnails[cluster.cluster]
            place = np.array([(box[0] + box[2]) / 2, box[1] - _BELOW])
        extent = np.array([fonts.length(text, _PIXELS) / 2 + _PAD, _PIXELS / 2 + _PAD])
        place = np.clip(place, np.array([left, bottom]) + extent, np.array([right, top]) - extent)
        box = np.concatenate([place - extent, place + extent])
        if any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken):
            continue
        taken.append(box)
        axes.annotate(
            text,
            (cluster.x, cluster.y),
            xytext=tuple((place - middle) * 72 / DPI),  # a PNG has more pixels per inch
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_POINTS,
            color=INK,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
            annotation_clip=False,
        ).set_in_layout(False)
