"""Whether fusing features is better than the best of them alone, and by which fusion, on a lake's own images.

Fusion can lose. Each way to fuse is judged as a feature is, on the same queries, and compared with the best feature
query by query.
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
from imrec_core.evaluation.retrieval import QueryMeasures, RetrievalScores, judge_queries
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.search.fusion import FUSIONS

MEASURE = "mAP"

Mix = tuple[str, Mapping[str, float]]


@dataclass(frozen=True)
class FusionsJudged:
    """The fusions of a mix beside single features.

    Attributes:
        judged: Features, then the mix by each fusion, as `called` names it. Without labels there is no `precision`.
        mix, weights: What was fused.
        best: The best single feature by `MEASURE`. It is chosen on these queries, which is to its advantage.
        gains: By fusion: by how much its `MEASURE` is above that of `best`, query by query; an interval that holds 0
            says that it may be no better and no worse.
    """

    judged: tuple[RetrievalScores, ...]
    mix: str
    weights: Mapping[str, float]
    best: str
    gains: Mapping[str, Estimate]


def judge_fusions(
    generation: Generation,
    labels: Labels,
    *,
    by: Sequence[str] = (),
    mix: Mix | None = None,
    k: int = 5,
    queries: int = retrieval.MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> FusionsJudged:
    """Compare fusions by labels; measures as in `judging.judge`.

    A search fuses by `rrf` and `dbsf` among the candidates that it ranks. Here that is all labelled images, as in an
    exact search, so that graphs do not count.

    Args:
        by: `feature` or `feature:metric`; none given: those of the mix, or every feature in its default metric.
        mix: Name and weights of what is fused; None for all of `by` with the same weight.
        k: Of precision and recall.
        queries: Asked at most; of more a random sample, always the same.
        progress: Told how far it is.

    Raises:
        QueryError: There is one feature only.
        BadWeights, UnknownName: The mix or a feature will not do.
    """
    plan = _plan(generation, by, mix)
    return _compared(plan, judge_queries(generation, labels, plan, k=k, queries=queries, progress=progress), mix)


def judge_fusions_by_copies(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    mix: Mix | None = None,
    photos: int = copy_detection.MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> FusionsJudged:
    """Compare fusions by edited copies, over all edits together; as `judge_fusions` does by labels.

    Args:
        photos: Images that are edited, at most.

    Raises:
        QueryError: There is one feature only, or no image can be read.
        BadWeights, UnknownName: The mix or a feature will not do.
    """
    plan = _plan(generation, by, mix)
    found = measure_copies(lake, generation, plan, photos=photos, edits=edits, progress=progress)
    return _compared(plan, [_of_images(name, values.mean(axis=1)) for name, values in found.items()], mix)


def _of_images(name: str, values: NDArray[np.float64]) -> QueryMeasures:
    """From recall@1 and average precision `(images, 2)`: the copies of an image are alike, so images are counted."""
    return QueryMeasures(name, {"R@1": values[:, 0], MEASURE: values[:, 1]}, ())


def _plan(generation: Generation, by: Sequence[str], mix: Mix | None) -> RankerSet:
    """Every single feature, and one mix by every fusion."""
    name, weights = mix or (MIX, default_mix(resolve_rankers(generation, by)))
    parts = [part for part, weight in weights.items() if weight]
    if len(parts) == 1:
        raise QueryError(f"{parts[0]} alone has nothing to be fused with; name two features or more")
    alone = list(dict.fromkeys([*by, *parts])) if mix else by
    fusions = {called(name, fusion): fusion for fusion in FUSIONS}
    return RankerSet.of(generation, alone, dict.fromkeys(fusions, weights), fusions)


def _compared(plan: RankerSet, found: Sequence[QueryMeasures], mix: Mix | None) -> FusionsJudged:
    values = {of.by: of.measures[MEASURE] for of in found}
    best = max((name for name in values if name not in plan.mixes), key=lambda name: float(values[name].mean()))
    return FusionsJudged(
        tuple(of.summed_up() for of in found),
        mix[0] if mix else MIX,
        next(iter(plan.mixes.values())),
        best,
        {plan.fusions[name]: measures.estimate(values[name] - values[best]) for name in plan.mixes},
    )


def called(mix: str, fusion: str) -> str:
    """The name of a mix by a fusion."""
    return f"{mix} by {fusion}"
