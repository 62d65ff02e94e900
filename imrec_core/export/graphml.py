"""GraphML: which images are nearest to which, as a graph, and the communities in it."""

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
from imrec_core.explore.gallery import gather
from imrec_core.explore.nearest import Nearest
from imrec_core.export.folder import write_missing
from imrec_core.export.parts import Progress
from imrec_core.export.shown import Shown

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SEED, _ROUNDS = 20_26, 10


def check() -> None:
    """Refuse to begin without the library.

    Raises:
        MissingDependency: igraph is not installed.
    """
    if find_spec("igraph") is None:
        raise MissingDependency("igraph", extra="map")


def write_graphml(shown: Shown, folder: Path, neighbours: int, progress: Progress) -> tuple[int, int]:
    """Write the graph unless it is there; returns how many files were, and are.

    Two images are joined where one of them is among the nearest of the other. Communities are found by the Leiden
    algorithm for the greatest modularity (Traag et al. 2019, doi:10.1038/s41598-019-41695-z); 0 is the largest.
    """
    return write_missing(folder, {"graph.graphml": lambda path: _write(shown, path, neighbours, progress)}, progress), 1


def _write(shown: Shown, path: Path, neighbours: int, progress: Progress) -> None:
    import igraph

    near = gather(shown.generation, shown.feature, neighbours, progress, shown.rows).near
    pairs, distances = edges(near)
    graph = igraph.Graph(n=len(shown), edges=pairs.tolist(), directed=False)
    graph.es["distance"] = distances.tolist()
    graph.es["weight"] = weights(distances).tolist()
    for name, values in _attributes(shown.facts).items():
        graph.vs[name] = values
    progress(f"communities of {len(shown)} images and {len(pairs)} pairs")
    graph.vs["community"] = _communities(graph)
    graph.write_graphml(str(path))


def edges(near: Nearest) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each pair once, `(pairs, 2)`, ascending, and its distance `(pairs,)`."""
    count = near.places.shape[1]
    ends = np.column_stack([np.arange(len(near.places)).repeat(count), near.places.reshape(-1)])
    ends.sort(axis=1)
    pairs, first = np.unique(ends, axis=0, return_index=True)
    return pairs, near.distances.reshape(-1)[first]


def weights(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """From 1 of what is the same to 0 of what is far; of the median distance 0.5."""
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
    """Of each image `id`, `source`, `path` and, with a map, where it lies on it."""
    named = {"id": "image_id", "source": "source", "path": "path", "folder": "folder"}
    found = {name: [_NO_XML.sub("?", text) for text in facts[column].to_pylist()] for name, column in named.items()}
    for name in ("x", "y", "cluster"):
        if name in facts.column_names:
            values = facts[name].cast(pa.float64()).fill_null(float("nan"))
            found[name] = values.to_pylist()
    return found
