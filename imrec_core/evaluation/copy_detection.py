"""How well each feature finds the original of an edited copy: needs no labels, only a lake's own images.

A sample of the images is edited in every way of `edits.COPY_PROTOCOL`, described anew, and looked for among all images
by exact distance. The original is to be found, or another file of the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation import measures
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.rankers import RankerSet, query_blocks, sample
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
    """How well copies by one edit are found by one feature.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix.
        edit: A name in `edits.COPY_PROTOCOL`, or `all` for all together.
        recall_at_1: Share of the copies whose nearest image is the original.
        mean_average_precision: 1 where it is the first, 1/2 where it is the second, and so on.
        kept: Share of the copies that are found at all with a `max_false_match_rate`, by that rate.
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

    One image and its copies are in memory at a time, and the distances of a copy to all images.

    Args:
        by: `feature` or `feature:metric`; none given: every feature in its default metric.
        mixes: What is judged beside them, as in `judging.judge`.
        photos: Images that are edited, at most; a random sample, always the same.
        progress: Told how far it is.

    Returns:
        By feature, then by mix; of each every edit, then all together. Intervals are over images, not over copies:
        the copies of one image are alike.

    Raises:
        QueryError: No image can be read.
        BadWeights, UnknownName: A mix or a feature will not do.
    """
    plan = RankerSet.of(generation, by, mixes)
    found = measure_copies(lake, generation, plan, photos=photos, edits=edits, progress=progress)
    return [row for name, values in found.items() for row in _rows(name, list(edits), values)]


def measure_copies(
    lake: Lake,
    generation: Generation,
    plan: RankerSet,
    *,
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, NDArray[np.float64]]:
    """What `evaluate_copy_detection` gives means of, by all that is judged `(images, edits, 2 + rates)`.

    Recall@1, average precision, and whether a cut at each of `SHOWN_RATES` keeps the original.
    """
    of_each: dict[str, list[Numbers]] = {name: [] for name in plan.judged}
    joint = JointCalibrations(generation)
    for made in edited(lake, generation, plan.ways, photos=photos, edits=edits, progress=progress):
        kept = _kept(joint, plan, made)
        for name, found in _searched(generation, plan, made).items():
            of_each[name].append(np.hstack([found, kept[name]]))
    return {name: np.array(values) for name, values in of_each.items()}


def _rows(name: str, edits: Sequence[str], values: Numbers) -> Iterator[CopyDetectionScores]:
    """From values as `measure_copies` has them."""
    for i, edit in enumerate(edits):
        yield _row(name, edit, values[:, i])
    yield _row(name, ALL, values.mean(axis=1))


def _row(name: str, edit: str, values: Numbers) -> CopyDetectionScores:
    kept = dict(zip(SHOWN_RATES, values[:, 2:].mean(axis=0).tolist(), strict=True))
    return CopyDetectionScores(name, edit, measures.estimate(values[:, 0]), measures.estimate(values[:, 1]), kept)


def edited(
    lake: Lake,
    generation: Generation,
    ways: Mapping[str, FeatureMetric],
    *,
    photos: int,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[EditedCopies]:
    """The edited copies of a sample of so many images, at most, as `make_copies` has them."""
    chosen = sample(generation.live, photos)
    return make_copies(lake, generation, ways, chosen, edits=edits, progress=progress)


# -- searching ----------------------------------------------------------------------------------------------


def _searched(generation: Generation, plan: RankerSet, copies: EditedCopies) -> dict[str, Numbers]:
    """Recall@1 and average precision `(copies, 2)` by all that is judged."""
    count, rows = len(next(iter(copies.vectors.values()))), generation.live
    originals = np.searchsorted(rows, copies.originals)
    found = {name: np.empty((count, 2)) for name in plan.judged}
    for some in query_blocks(np.arange(count), len(rows) * plan.held):
        queries = {name: [vectors[i] for i in some] for name, vectors in copies.vectors.items()}
        for name, distances in plan.distances(generation, queries, rows):
            found[name][some] = [_measured(of_copy, originals) for of_copy in distances]
    return found


def _measured(distances: Matrix, originals: NDArray[np.int64]) -> tuple[float, float]:
    return measures.tied_recall_at_1(distances, originals), measures.tied_average_precision(distances, originals)


def _kept(joint: JointCalibrations, plan: RankerSet, copies: EditedCopies) -> dict[str, NDArray[np.bool_]]:
    """Whether a search that cuts at each of `SHOWN_RATES` finds the original `(copies, rates)`, by all that is judged.

    Of a mix it does not depend on how it is fused: a cut looks at its scores.
    """
    distances = distances_to_original(joint.generation, plan.ways, copies)
    found = {}
    for name in plan.judged:
        chosen = plan.weighted(plan.mixes.get(name, {name: 1.0}))
        rates = false_match_rates(joint, chosen, [distances[c.name] for c in chosen])
        found[name] = rates[:, None] <= np.array(SHOWN_RATES)
    return found
