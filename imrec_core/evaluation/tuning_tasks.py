"""Tasks that feature weights are tuned on: labelled images, or edited copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation.copy_detection import edited
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.rankers import as_queries, resolve_rankers, sample
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index import exact_search
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake

MAX_QUERIES = 400


MAX_PHOTOS = 60


_SCORES = 64_000_000  # held at most: 256 MB


@dataclass(frozen=True)
class Task:
    """Queries with the scores of every row, from which any mix can be judged.

    Attributes:
        ways: What can be mixed, `F` of them, by name.
        scores: Calibrated, `(F, queries, rows)`; -1 for the query itself, which is to be found last.
        relevant: For each query the columns that are to be found, one or more.
        units: For each query what it comes from: itself, or the image of which it is a copy. Queries of one unit are
            alike, and so never on both sides of a fold.
    """

    ways: tuple[str, ...]
    scores: NDArray[np.float32]
    relevant: Sequence[NDArray[np.int64]]
    units: NDArray[np.int64]


def labelled_task(
    generation: Generation, labels: Labels, *, by: Sequence[str] = (), queries: int = MAX_QUERIES
) -> Task:
    """Each labelled image asks for those of its label; of a large lake a random sample of the gallery is searched."""
    ways = resolve_rankers(generation, by)
    asked = sample(labels.queries, queries)
    rows = _gallery(np.flatnonzero(labels.groups >= 0), asked, len(ways) * len(asked))
    scores = np.empty((len(ways), len(asked), len(rows)), np.float32)
    for i, way in enumerate(ways.values()):
        scores[i] = _scores(generation, way, as_queries(generation, way, asked), rows)
    scores[:, np.arange(len(asked)), np.searchsorted(rows, asked)] = -1
    relevant = [np.flatnonzero((labels.groups[rows] == labels.groups[row]) & (rows != row)) for row in asked]
    has = np.array([len(columns) > 0 for columns in relevant])  # the sample may have left a query without
    kept = [columns for columns in relevant if len(columns)]
    return Task(tuple(ways), scores[:, has], kept, asked[has])


def copies_task(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Task:
    """Each edited copy asks for its original; of a large lake a random sample of the gallery is searched.

    Raises:
        QueryError: No image can be read.
    """
    ways = resolve_rankers(generation, by)
    every = generation.live
    rows = _gallery(every, sample(every, photos), len(ways) * photos * len(edits))
    scores = np.empty((len(ways), min(photos, len(every)) * len(edits), len(rows)), np.float32)
    relevant: list[NDArray[np.int64]] = []
    units: list[int] = []
    for made in edited(lake, generation, ways, photos=photos, edits=edits, progress=progress):
        copies = slice(len(units), len(units) + len(edits))
        for i, (name, way) in enumerate(ways.items()):
            scores[i, copies] = _scores(generation, way, made.vectors[name], rows)
        columns = np.flatnonzero(np.isin(rows, made.originals))
        relevant += [columns] * len(edits)
        units += [made.row] * len(edits)
    return Task(tuple(ways), scores[:, : len(units)], relevant, np.array(units))


def _scores(
    generation: Generation, way: FeatureMetric, queries: Sequence[Any], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    scores = exact_search.distances(way.metric, queries, generation.matrix(way.feature.name), rows)
    calibration = generation.calibration(way.feature.name, way.metric.name)
    for of_query in scores:
        of_query[:] = calibration.score(of_query)
    return scores


def _gallery(rows: NDArray[np.int64], needed: NDArray[np.int64], per_row: int) -> NDArray[np.int64]:
    """As many of the rows as fit into memory with so many scores each, those that are needed among them."""
    return np.union1d(sample(rows, max(1, _SCORES // max(per_row, 1))), needed)
