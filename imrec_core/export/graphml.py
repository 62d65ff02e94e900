"""GraphML: the nearest-neighbour graph of the images, with its communities."""

from __future__ import annotations

import random
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import MissingDependency
from imrec_core.export.output_folder import write_missing
from imrec_core.export.parquet_csv import Progress
from imrec_core.export.viewer_selection import ViewerSelection
from imrec_core.maps.gallery import load_gallery
from imrec_core.maps.neighbours import Nearest

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SEED, _ROUNDS = 20_26, 10


def check() -> None:
    """Require the library.

    Raises:
        MissingDependency: igraph is not installed.
    """
    if find_spec("igraph") is None:
        raise MissingDependency("igraph", extra="map")


def write_graphml(selection: ViewerSelection, folder: Path, neighbours: int, progress: Progress) -> tuple[int, int]:
    """Write the graph if it is missing; return the number of files kept, and in total.

    An edge joins two images if one is among the nearest of the other. Communities maximise modularity by the Leiden
    algorithm (Traag et al. 2019, doi:10.1038/s41598-019-41695-z); 0 is the largest.
    """
    return write_missing(
        folder, {"graph.graphml": lambda path: _write(selection, path, neighbours, progress)}, progress
    ), 1


def _write(selection: ViewerSelection, path: Path, neighbours: int, progress: Progress) -> None:
    import igraph

    near = load_gallery(selection.generation, selection.feature, neighbours, progress, selection.rows).near
    pairs, distances = edges(near)
    graph = igraph.Graph(n=len(selection), edges=pairs.tolist(), directed=False)
    graph.es["distance"] = distances.tolist()
    graph.es["weight"] = weights(distances).tolist()
    for name, values in _attributes(selection.facts).items():
        graph.vs[name] = values
    progress(f"finding communities among {len(selection)} images and {len(pairs)} pairs")
    graph.vs["community"] = _communities(graph)
    graph.write_graphml(str(path))


def edges(near: Nearest) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each pair of neighbours once `(pairs, 2)`, ascending, and its distance `(pairs,)`."""
    count = near.indices.shape[1]
    ends = np.column_stack([np.arange(len(near.indices)).repeat(count), near.indices.reshape(-1)])
    ends.sort(axis=1)
    pairs, first = np.unique(ends, axis=0, return_index=True)
    return pairs, near.distances.reshape(-1)[first]


def weights(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """Convert distances to weights: 1 for distance 0, 0.5 for the median, towards 0 for large ones."""
    middle = float(np.median(distances)) if len(distances) else 0.0
    return 1 / (1 + distances.astype(np.float64) / max(middle, 1e-12))


def _communities(graph: Any) -> list[int]:
    import igraph

    igraph.set_random_number_generator(random.Random(_SEED))
    try:
        found = graph.community_leiden("modularity", weights="weight", n_iterations=_ROUNDS)
    finally:
        igraph.set_random_number_generator(random)
    membership = np.asarray(found.membership)
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(-np.bincount(membership), kind="stable")] = np.arange(len(found))
    return rank[membership].tolist()  # type: ignore[no-any-return]


def _attributes(facts: pa.Table) -> dict[str, list[Any]]:
    """Collect node attributes: `id`, `source`, `path`, `folder` and, with a map, `x`, `y` and `cluster`."""
    named = {"id": "image_id", "source": "source", "path": "path", "folder": "folder"}
    found = {name: [_NO_XML.sub("?", text) for text in facts[column].to_pylist()] for name, column in named.items()}
    for name in ("x", "y", "cluster"):
        if name in facts.column_names:
            values = facts[name].cast(pa.float64()).fill_null(float("nan"))
            found[name] = values.to_pylist()
    return found
