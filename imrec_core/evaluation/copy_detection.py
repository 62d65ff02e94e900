"""Copy detection: how well features find the originals of edited copies; needs no labels.

A sample of the images of a lake is edited with each edit of `edits.COPY_PROTOCOL`, encoded again, and searched for
among all images by exact distances. The relevant images are the original and files with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation import measures
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.rankers import RankerSet, sample
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index.calibration import SHOWN_RATES
from imrec_core.index.edited_copies import EditedCopies, distances_to_original, make_copies
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.search.match_threshold import JointCalibrations, false_match_rates

Matrix = NDArray[Any]
Numbers = NDArray[np.float64]

MAX_PHOTOS = 200
ALL = "all"


@dataclass(frozen=True)
class CopyDetectionScores:
    """Copy detection scores of one feature and one edit.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix.
        edit: A name in `edits.COPY_PROTOCOL`, or `all` for all edits together.
        recall_at_1: Share of the copies whose nearest image is the original.
        mean_average_precision: Mean of 1 / rank, if the original is the only relevant image.
        kept: Share of the copies whose original passes a `max_false_match_rate`, by that rate.
    """

    by: str
    edit: str
    recall_at_1: Estimate
    mean_average_precision: Estimate
    kept: Mapping[float, float]


def evaluate_copy_detection(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    mixes: Mapping[str, Mapping[str, float]] | None = None,
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> list[CopyDetectionScores]:
    """Measure how well features find the originals of edited copies.

    One image and its copies are in memory at a time, with the distances of a copy to all images.

    Args:
        by: `feature` or `feature:metric`. Default: every feature in its default metric.
        mixes: Mixes to evaluate too, as for `evaluate_retrieval`.
        photos: Maximum number of images to edit; a fixed random sample.
        edits: Edits by name.
        progress: Called with a line for each image.

    Returns:
        Scores by feature, then by mix; for each the edits, then all edits together. Intervals are over images, not over
        copies, since the copies of one image are alike.

    Raises:
        QueryError: No image can be read.
        BadWeights, UnknownName: A mix or a feature is invalid.
    """
    rankers = RankerSet.of(generation, by, mixes)
    measured = measure_copies(lake, generation, rankers, photos=photos, edits=edits, progress=progress)
    return [scores for name, values in measured.items() for scores in _mean_scores(name, list(edits), values)]


def measure_copies(
    lake: Lake,
    generation: Generation,
    rankers: RankerSet,
    *,
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, NDArray[np.float64]]:
    """Measure each copy by each ranker; `evaluate_copy_detection` returns the means.

    Returns:
        By ranker, `(images, edits, 2 + rates)`: recall@1, average precision, and for each of `SHOWN_RATES` whether the
        original passes that match threshold.
    """
    measured: dict[str, list[Numbers]] = {name: [] for name in rankers.names}
    joint = JointCalibrations(generation)
    for made in make_sample_copies(lake, generation, rankers.features, photos=photos, edits=edits, progress=progress):
        passes = _passes_thresholds(joint, rankers, made)
        for name, values in _measure_ranks(generation, rankers, made).items():
            measured[name].append(np.hstack([values, passes[name]]))
    return {name: np.array(values) for name, values in measured.items()}


def _mean_scores(name: str, edits: Sequence[str], values: Numbers) -> Iterator[CopyDetectionScores]:
    """Compute the means of the values of one ranker, as `measure_copies` returns them."""
    for i, edit in enumerate(edits):
        yield _mean_of_edit(name, edit, values[:, i])
    yield _mean_of_edit(name, ALL, values.mean(axis=1))


def _mean_of_edit(name: str, edit: str, values: Numbers) -> CopyDetectionScores:
    kept = dict(zip(SHOWN_RATES, values[:, 2:].mean(axis=0).tolist(), strict=True))
    return CopyDetectionScores(name, edit, measures.estimate(values[:, 0]), measures.estimate(values[:, 1]), kept)


def make_sample_copies(
    lake: Lake,
    generation: Generation,
    features: Mapping[str, FeatureMetric],
    *,
    photos: int,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[EditedCopies]:
    """Make edited copies of a fixed random sample of up to `photos` images; see `make_copies`."""
    rows = sample(generation.live, photos)
    return make_copies(lake, generation, features, rows, edits=edits, progress=progress)


def _measure_ranks(generation: Generation, rankers: RankerSet, copies: EditedCopies) -> dict[str, Numbers]:
    """Compute recall@1 and average precision `(copies, 2)` by each ranker."""
    count, rows = len(next(iter(copies.vectors.values()))), generation.live
    originals = np.searchsorted(rows, copies.originals)
    measured = {name: np.empty((count, 2)) for name in rankers.names}
    for block in rankers.query_blocks(np.arange(count), len(rows)):
        queries = {name: [vectors[i] for i in block] for name, vectors in copies.vectors.items()}
        for name, distances in rankers.distances(generation, queries, rows):
            measured[name][block] = [_measure(of_copy, originals) for of_copy in distances]
    return measured


def _measure(distances: Matrix, originals: NDArray[np.int64]) -> tuple[float, float]:
    return measures.tied_recall_at_1(distances, originals), measures.tied_average_precision(distances, originals)


def _passes_thresholds(
    joint: JointCalibrations, rankers: RankerSet, copies: EditedCopies
) -> dict[str, NDArray[np.bool_]]:
    """Return whether the original passes each of `SHOWN_RATES` `(copies, rates)`, by each ranker.

    For a mix it does not depend on the fusion: the match threshold uses scores.
    """
    distances = distances_to_original(joint.generation, rankers.features, copies)
    passes = {}
    for name in rankers.names:
        features = rankers.weighted_features(rankers.mixes.get(name, {name: 1.0}))
        rates = false_match_rates(joint, features, [distances[f.name] for f in features])
        passes[name] = rates[:, None] <= np.array(SHOWN_RATES)
    return passes
