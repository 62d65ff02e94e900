"""Tasks that feature weights are tuned on: labelled images, or edited copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation.copy_detection import make_sample_copies
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.rankers import query_vectors, resolve_rankers, sample
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index import exact_search
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake

MAX_QUERIES = 400
MAX_PHOTOS = 60

_SCORES = 64_000_000  # maximum number in memory: 256 MB


@dataclass(frozen=True)
class TuningTask:
    """Queries with the scores of every row by each feature, from which any mix can be evaluated.

    Attributes:
        features: Names of the F features to mix.
        scores: Calibrated scores `(F, queries, rows)`; -1 for the query itself, which ranks last.
        relevant: Relevant columns of each query, one or more.
        units: Unit of each query `(queries,)`: the query itself, or the image that it is a copy of. Queries of one unit
            are alike, and so always in the same fold.
    """

    features: tuple[str, ...]
    scores: NDArray[np.float32]
    relevant: Sequence[NDArray[np.int64]]
    units: NDArray[np.int64]


def labelled_task(
    generation: Generation, labels: Labels, *, by: Sequence[str] = (), queries: int = MAX_QUERIES
) -> TuningTask:
    """Create a task of labelled images as queries; images of the same label are relevant.

    The gallery is a random sample if the lake is large.

    Args:
        by: `feature` or `feature:metric`. Default: every feature in its default metric.
        queries: Maximum number of queries.

    Raises:
        UnknownName: There is no such feature or metric.
    """
    features = resolve_rankers(generation, by)
    query_rows = sample(labels.queries, queries)
    rows = _sample_gallery(np.flatnonzero(labels.groups >= 0), query_rows, len(features) * len(query_rows))
    scores = np.empty((len(features), len(query_rows), len(rows)), np.float32)
    for i, pair in enumerate(features.values()):
        scores[i] = _scores(generation, pair, query_vectors(generation, pair, query_rows), rows)
    scores[:, np.arange(len(query_rows)), np.searchsorted(rows, query_rows)] = -1
    relevant = [np.flatnonzero((labels.groups[rows] == labels.groups[row]) & (rows != row)) for row in query_rows]
    has_relevant = np.array([len(columns) > 0 for columns in relevant])  # the sample may contain none
    kept = [columns for columns in relevant if len(columns)]
    return TuningTask(tuple(features), scores[:, has_relevant], kept, query_rows[has_relevant])


def copies_task(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> TuningTask:
    """Create a task of edited copies as queries; the original is relevant.

    The gallery is a random sample if the lake is large.

    Args:
        by: `feature` or `feature:metric`. Default: every feature in its default metric.
        photos: Maximum number of images to edit.
        edits: Edits by name.
        progress: Called with a line for each image.

    Raises:
        QueryError: No image can be read.
        UnknownName: There is no such feature or metric.
    """
    features = resolve_rankers(generation, by)
    all_rows = generation.live
    rows = _sample_gallery(all_rows, sample(all_rows, photos), len(features) * photos * len(edits))
    scores = np.empty((len(features), min(photos, len(all_rows)) * len(edits), len(rows)), np.float32)
    relevant: list[NDArray[np.int64]] = []
    units: list[int] = []
    for made in make_sample_copies(lake, generation, features, photos=photos, edits=edits, progress=progress):
        copies = slice(len(units), len(units) + len(edits))
        for i, (name, pair) in enumerate(features.items()):
            scores[i, copies] = _scores(generation, pair, made.vectors[name], rows)
        columns = np.flatnonzero(np.isin(rows, made.originals))
        relevant += [columns] * len(edits)
        units += [made.row] * len(edits)
    return TuningTask(tuple(features), scores[:, : len(units)], relevant, np.array(units))


def _scores(
    generation: Generation, pair: FeatureMetric, queries: Sequence[Any], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    scores = exact_search.distances(pair, queries, generation.matrix(pair.feature.name), rows)
    calibration = generation.calibration(pair.feature.name, pair.metric.name)
    for of_query in scores:
        of_query[:] = calibration.score(of_query)
    return scores


def _sample_gallery(rows: NDArray[np.int64], needed: NDArray[np.int64], per_row: int) -> NDArray[np.int64]:
    """Select as many rows as fit into memory with `per_row` scores each, including the needed ones."""
    return np.union1d(sample(rows, max(1, _SCORES // max(per_row, 1))), needed)
