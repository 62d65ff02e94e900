"""Plot of a map: one point per image, with names and optionally thumbnails of the clusters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.index.generation import Generation
from imrec_core.index.image_files import thumbnail
from imrec_core.lake.lake import Lake
from imrec_core.maps.alignment import align_rows
from imrec_core.maps.cluster_names import name_clusters, names_of
from imrec_core.maps.clustering import NOISE
from imrec_core.maps.colouring import NONE, OTHER, Colours, colours_of, flag_value
from imrec_core.maps.map_table import Cluster, Map
from imrec_core.maps.picture_names import draw_names
from imrec_core.plots.canvas import heading_height, laid_out, new_figure, plain, remove_ticks, render
from imrec_core.plots.style import styled

Pixels = NDArray[np.float64]
"""Position in a plot, from its lower left corner."""

THUMBNAILS = 40
"""Maximum number of clusters with a thumbnail: the largest ones."""

_GREY, _ACCENT = "#d4d4d4", "#d1495b"
_DPI, _LETTERS = 100, 40  # resolution of the figure; longest label
_SIDE = 60  # pixels of a thumbnail
_TRIED, _HIDDEN = 500, 10_000  # candidate positions of a thumbnail; pixels of distance worth hiding no point
_INK = 60_000  # area of all points together, about


@styled
def draw_map(
    lake: Lake,
    made: Map,
    generation: Generation,
    *,
    colour: str = "cluster",
    only: str | None = None,
    thumbnails: bool = False,
    kind: str = "png",
    size: tuple[int, int] = (1320, 960),
) -> bytes:
    """Plot the images of a map that are still in the generation, with the names of its clusters.

    Args:
        colour: Column that colours the points, one of `colour_names`.
        only: Value of that column to highlight; all other points are grey, and clusters have no names.
        thumbnails: Draw the medoid image of each of the 40 largest clusters near the cluster.
        kind: `png` or `svg`; an SVG embeds the points as a bitmap, text and axes as vectors.
        size: Width and height in pixels on the page; a PNG has two pixels for each.

    Raises:
        UnknownName: There is no such column or value.
        QueryError: There is no such kind.
    """
    places, _ = align_rows(made, generation)
    points = np.column_stack([made.table["x"], made.table["y"]])[places]
    title = f"Map of {len(points):,} images by {made.name}: near images look alike, colours by {_label(colour)}"
    about = f"generation {generation.id}"
    height = size[1] / _DPI - heading_height(title, about)
    figure = new_figure(size[0] / _DPI, height, title=title, about=about)
    axes = figure.subplots()
    remove_ticks(axes)
    axes.set(aspect="equal")
    if only is not None:
        _draw_only(axes, points, flag_value(made, generation, colour, only), only)
    elif colour == "cluster":
        _draw_clusters(axes, points, np.asarray(made.table["cluster"])[places])
    else:
        _draw_colours(figure, axes, points, colours_of(made, generation, colour))
    axes.autoscale_view()
    laid_out(figure)  # fixes the positions of points in pixels
    drawn = {}
    if thumbnails:
        drawn = _draw_thumbnails(axes, points, lake, generation, made.clusters[:THUMBNAILS])
    if only is None:
        draw_names(axes, made.clusters, names_of(name_clusters(made, generation)), drawn)
    return render(figure, kind)


def _label(text: str) -> str:
    """Make text safe for a legend, in which matplotlib omits labels that begin with an underscore."""
    shown = plain(text, _LETTERS)
    return f" {shown}" if shown.startswith("_") else shown


def _scatter(axes: Any, points: NDArray[np.float32], count: int, **look: Any) -> Any:
    size = float(np.clip(_INK / max(count, 1), 1, 30))
    return axes.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, alpha=0.8, rasterized=True, **look)


def _draw_only(axes: Any, points: NDArray[np.float32], is_it: NDArray[np.bool_], value: str) -> None:
    _scatter(axes, points[~is_it], len(points), c=_GREY, label=f"the others ({(~is_it).sum()})")
    _scatter(axes, points[is_it], len(points), c=_ACCENT, label=f"{_label(value)} ({is_it.sum()})")
    axes.figure.legend(loc="outside right upper", markerscale=2, reverse=True)


def _draw_clusters(axes: Any, points: NDArray[np.float32], clusters: NDArray[np.int32]) -> None:
    """Draw each cluster in one of 18 colours; more clusters share them."""
    inside = clusters != NOISE
    _scatter(axes, points[~inside], len(points), c=_GREY)
    _scatter(axes, points[inside], len(points), c=_palette()[clusters[inside] % 18])


def _palette() -> NDArray[np.float64]:
    """Return colours `(18, 4)`, the nine strong ones first; grey is reserved for noise."""
    from matplotlib import colormaps

    strong_and_pale = colormaps["tab20"](np.delete(np.arange(20), (14, 15)))
    return np.asarray(np.concatenate([strong_and_pale[::2], strong_and_pale[1::2]]))


def _draw_colours(figure: Any, axes: Any, points: NDArray[np.float32], colours: Colours) -> None:
    if colours.codes is not None:
        for code, label in enumerate(colours.labels):
            of_label = points[colours.codes == code]
            is_rest = label in (OTHER, NONE)
            look = _GREY if is_rest else _palette()[code]
            _scatter(axes, of_label, len(points), color=look, zorder=0 if is_rest else 1, label=_label(label))
        figure.legend(loc="outside right upper", markerscale=2)
        return
    assert colours.values is not None
    known = np.isfinite(colours.values)
    _scatter(axes, points[~known], len(points), c=_GREY)
    drawn = _scatter(axes, points[known], len(points), c=colours.values[known], cmap="viridis")
    bar = figure.colorbar(drawn, ax=axes, label=_label(colours.by), shrink=0.6)
    if colours.kind == "date":
        bar.ax.yaxis.set_major_formatter(lambda value, _: datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d"))


# -- thumbnails of clusters ---------------------------------------------------------------------------------


def _draw_thumbnails(
    axes: Any,
    points: NDArray[np.float32],
    lake: Lake,
    generation: Generation,
    clusters: Sequence[Cluster],
) -> dict[int, Pixels]:
    """Draw a thumbnail near the middle of each cluster where it hides few points, with a line to the middle.

    Returns:
        Left, bottom, right and top of each thumbnail in pixels, by number of the cluster.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    drawn_points = axes.transData.transform(points)
    taken: list[Pixels] = []
    boxes: dict[int, Pixels] = {}
    for cluster in clusters:
        picture = thumbnail(lake, generation, cluster.image_id, _SIDE)
        if picture is None:
            continue
        middle = axes.transData.transform((cluster.x, cluster.y))
        place = _find_free_place(middle, taken, drawn_points, axes.bbox.extents)
        if place is None:
            continue
        taken.append(place)
        half = np.array(picture.size) / 2
        boxes[cluster.cluster] = np.concatenate([place - half, place + half])
        box = AnnotationBbox(
            OffsetImage(np.asarray(picture), zoom=72 / _DPI, resample=True),
            (cluster.x, cluster.y),
            xybox=tuple((place - middle) * 72 / _DPI),
            boxcoords="offset points",
            pad=0.1,
            bboxprops={"edgecolor": "0.3", "linewidth": 0.8},
            arrowprops={"arrowstyle": "-", "color": "0.3", "linewidth": 0.8},
            annotation_clip=False,
        )
        box.set_in_layout(False)
        axes.add_artist(box)
    return boxes


def _find_free_place(
    middle: NDArray[np.float64],
    taken: Sequence[NDArray[np.float64]],
    points: NDArray[np.float64],
    frame: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Find a position for a thumbnail near `middle` that overlaps no other thumbnail and few points.

    Args:
        taken: Positions of the thumbnails drawn so far.
        frame: Left, bottom, right and top of the axes.

    Returns:
        The position, or None if there is no free one.
    """
    steps = np.arange(_TRIED)
    away = 7.0 * np.sqrt(steps)
    places = middle + away[:, None] * np.column_stack([np.cos(2.4 * steps), np.sin(2.4 * steps)])
    half = _SIDE / 2
    usable = ((places > frame[:2] + half) & (places < frame[2:] - half)).all(axis=1)
    for other in taken:
        usable &= np.abs(places - other).max(axis=1) > _SIDE + 6
    if not usable.any():
        return None
    places, away = places[usable], away[usable]
    around = points[np.abs(points - middle).max(axis=1) < away[-1] + _SIDE]
    hidden = np.array([(np.abs(around - place).max(axis=1) < half + 2).sum() for place in places])
    cost = away + _HIDDEN * hidden / max(len(points), 1)
    return np.asarray(places[int(cost.argmin())])
