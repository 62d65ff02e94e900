"""Comparison of fusions with the best single feature, on a lake's own images.

Fusion can be worse. Each fusion of a mix is evaluated like a feature, on the same queries, and compared with the best
feature query by query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.evaluation import copy_detection, measures, retrieval
from imrec_core.evaluation.copy_detection import measure_copies
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.rankers import MIX, RankerSet, default_mix, resolve_rankers
from imrec_core.evaluation.retrieval import QueryMeasures, RetrievalScores, evaluate_queries
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.search.fusion import FUSIONS

MEASURE = "mAP"

Mix = tuple[str, Mapping[str, float]]


@dataclass(frozen=True)
class FusionScores:
    """Scores of single features and of the fusions of a mix.

    Attributes:
        judged: Scores of the features, then of the mix by each fusion, with names by `fused_name`. Without labels,
            `precision` is empty.
        mix, weights: Name and weights of the mix.
        best: The best single feature by `MEASURE`. It is selected on these queries, which favours it.
        gains: Mean difference of `MEASURE` to that of `best` over the queries, by fusion. If its interval contains 0,
            the difference may be chance.
    """

    judged: tuple[RetrievalScores, ...]
    mix: str
    weights: Mapping[str, float]
    best: str
    gains: Mapping[str, Estimate]


def evaluate_fusions(
    generation: Generation,
    labels: Labels,
    *,
    by: Sequence[str] = (),
    mix: Mix | None = None,
    k: int = 5,
    queries: int = retrieval.MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> FusionScores:
    """Compare fusions by labels, with the measures of `evaluate_retrieval`.

    In a search, `rrf` and `dbsf` depend on the ranked candidates. Here these are all labelled images, as in an exact
    search, so that HNSW graphs do not matter.

    Args:
        by: `feature` or `feature:metric`. Default: those of the mix, or every feature in its default metric.
        mix: Name and weights of the mix; None for all features in `by` with equal weights.
        k: Number of results of precision@k and recall@k.
        queries: Maximum number of queries; a fixed random sample if there are more.
        progress: Called with a line for each block of queries.

    Raises:
        QueryError: There is only one feature.
        BadWeights, UnknownName: The mix or a feature is invalid.
    """
    rankers = _rankers(generation, by, mix)
    measured = evaluate_queries(generation, labels, rankers, k=k, queries=queries, progress=progress)
    return _compare(rankers, measured, mix)


def evaluate_fusions_by_copies(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    mix: Mix | None = None,
    photos: int = copy_detection.MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> FusionScores:
    """Compare fusions by copy detection over all edits together, as `evaluate_fusions` does by labels.

    Args:
        photos: Maximum number of images to edit.

    Raises:
        QueryError: There is only one feature, or no image can be read.
        BadWeights, UnknownName: The mix or a feature is invalid.
    """
    rankers = _rankers(generation, by, mix)
    measured = measure_copies(lake, generation, rankers, photos=photos, edits=edits, progress=progress)
    return _compare(rankers, [_per_image(name, values.mean(axis=1)) for name, values in measured.items()], mix)


def _per_image(name: str, values: NDArray[np.float64]) -> QueryMeasures:
    """Return the recall@1 and average precision `(images, 2)`; per image, since its copies are alike."""
    return QueryMeasures(name, {"R@1": values[:, 0], MEASURE: values[:, 1]}, ())


def _rankers(generation: Generation, by: Sequence[str], mix: Mix | None) -> RankerSet:
    """Resolve the single features, and one mix by every fusion."""
    name, weights = mix or (MIX, default_mix(resolve_rankers(generation, by)))
    parts = [part for part, weight in weights.items() if weight]
    if len(parts) == 1:
        raise QueryError(f"{parts[0]} alone has nothing to be fused with; name two features or more")
    single = list(dict.fromkeys([*by, *parts])) if mix else by
    fusions = {fused_name(name, fusion): fusion for fusion in FUSIONS}
    return RankerSet.of(generation, single, dict.fromkeys(fusions, weights), fusions)


def _compare(rankers: RankerSet, measured: Sequence[QueryMeasures], mix: Mix | None) -> FusionScores:
    values = {of.by: of.measures[MEASURE] for of in measured}
    best = max((name for name in values if name not in rankers.mixes), key=lambda name: float(values[name].mean()))
    return FusionScores(
        tuple(of.mean() for of in measured),
        mix[0] if mix else MIX,
        next(iter(rankers.mixes.values())),
        best,
        {rankers.fusions[name]: measures.estimate(values[name] - values[best]) for name in rankers.mixes},
    )


def fused_name(mix: str, fusion: str) -> str:
    """Return the name of a mix with a fusion."""
    return f"{mix} by {fusion}"
