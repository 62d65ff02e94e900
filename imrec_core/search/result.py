"""Hits of a search from its ranked rows: ids, paths and the scores by each feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index.calibration import rate_of
from imrec_core.index.generation import Generation
from imrec_core.runtime.timing import timed
from imrec_core.search import ranking
from imrec_core.search.context import SearchContext
from imrec_core.search.hits import DisplayImage, FeatureScore, Hit, Hits
from imrec_core.search.likeness import likeness
from imrec_core.search.match_threshold import JointCalibrations, false_match_rates
from imrec_core.search.query_encoder import QueryEncoder
from imrec_core.search.ranking import RankedRows
from imrec_core.search.request import SearchRequest
from imrec_core.sql.policy import SqlPolicy


def find_hits(
    context: SearchContext,
    request: SearchRequest,
    likes: Sequence[DisplayImage | None],
    unlikes: Sequence[DisplayImage | None],
    order_by: str | None,
    policy: SqlPolicy,
) -> Hits:
    """Rank the rows of a generation and return the hits.

    Args:
        likes, unlikes: The queries for display; None for those without an image.
        order_by: SQL order of the hits; None for the order by rank.
        policy: Limits on `order_by`.

    Raises:
        BadFilter: `order_by` is not a valid order.
    """
    generation = context.generation
    ranked = ranking.rank(generation, request, context.calibrations)
    with timed("fetch"):
        words = _likenesses(context.calibrations, request, ranked)
        hits = _build_hits(generation, context.encoder, request, ranked, words)
    if order_by is not None:
        places = generation.filter.ranks(ranked.rows, order_by, policy)
        hits = [hits[i] for i in np.argsort(places, kind="stable")]
    radius = request.options.max_distance
    within = "" if radius is None else f" within a distance of {radius:g} by {request.features[0].name}"
    return Hits(
        tuple(hits),
        ranked.plan + within,
        generation.id,
        ranked.excluded,
        tuple(image for image in likes if image is not None),
        tuple(image for image in unlikes if image is not None),
        tuple(feature.name for feature in request.features),
        ranked.has_more,
        tuple(f"{feature.name}: {note}" for feature in request.features if (note := _query_note(request, feature))),
        _total(generation, request),
    )


def _total(generation: Generation, request: SearchRequest) -> int | None:
    """Count the rows that can be hits; None where the match threshold or identical images leave out some of them."""
    if request.options.distinct is not None or request.options.max_false_match_rate is not None:
        return None
    allowed, own = request.allowed_rows, np.asarray(request.own_rows, np.int64)
    if allowed is None:
        return len(generation.live) - int(generation.is_live[own].sum())
    return len(allowed) - int(np.isin(own, allowed).sum())


def _likenesses(joint: JointCalibrations, request: SearchRequest, ranked: RankedRows) -> list[str]:
    """Return how close the rows are to the likes by all ranking features together, in words; empty for texts."""
    if request.has_text or not len(ranked.rows):
        return [""] * len(ranked.rows)
    positions = request.weighted_positions
    features, distances = [request.features[i] for i in positions], [ranked.distances[i] for i in positions]
    return [likeness(rate) for rate in false_match_rates(joint, features, distances).tolist()]


def _build_hits(
    generation: Generation, encoder: QueryEncoder, request: SearchRequest, ranked: RankedRows, words: Sequence[str]
) -> list[Hit]:
    columns = generation.row_table.values(ranked.rows, "image_id", "source", "path")
    # Converted to plain numbers as whole arrays: element by element costs more than the ranking.
    has_distance = np.isfinite(ranked.distances)
    farthest = [generation.calibration(f.feature.name, f.metric.name).farthest for f in request.features]
    arrays = (
        np.where(has_distance, ranked.distances, np.array(farthest, np.float32)[:, None]),
        ranked.feature_scores,
        rate_of(ranked.feature_scores),
        ranked.feature_ranks,
        ranked.unlike_scores,
    )
    notes = [np.where(has_distance[i], "", _note(request, feature)) for i, feature in enumerate(request.features)]
    scores = {
        feature.name: [
            FeatureScore(*values) for values in zip(*(array[i].tolist() for array in arrays), notes[i].tolist())
        ]
        for i, feature in enumerate(request.features)
    }
    return [
        Hit(
            i + 1,
            image_id,
            source,
            encoder.images.path(source, path),
            score,
            word,
            {name: of_feature[i] for name, of_feature in scores.items()},
        )
        for i, (image_id, source, path, score, word) in enumerate(
            zip(*columns.values(), ranked.scores.tolist(), words, strict=True)
        )
    ]


def _query_note(request: SearchRequest, feature: FeatureMetric) -> str:
    """Return why a feature has nothing to compare any image with; empty if it has."""
    blank = feature.feature.blank
    return "" if blank is None or request.can_compare(feature) else f"the query has no {blank.lacks}"


def _note(request: SearchRequest, feature: FeatureMetric) -> str:
    """Return why an image has no distance to the query by a feature."""
    blank = feature.feature.blank
    return _query_note(request, feature) or (f"the image has no {blank.lacks}" if blank else "")
