"""Searches for many queries, in batches that are encoded together and share an exact search."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from imrec_core.errors import ImageError
from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.settings import Settings
from imrec_core.runtime.timing import record_timings
from imrec_core.search import ranking
from imrec_core.search.context import SearchContext
from imrec_core.search.expansion import expand
from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.hits import Hits
from imrec_core.search.query import By, Query, Text
from imrec_core.search.request import SearchOptions, SearchRequest, excluded_rows, within_distance
from imrec_core.search.result import find_hits
from imrec_core.search.search_log import SearchLog
from imrec_core.sql.policy import SqlPolicy

_BATCH = 64  # queries
_BATCH_BYTES = 24_000_000  # of the distances


def batches(
    generation: Generation, settings: Settings, by: By | None, queries: Iterable[Query]
) -> Iterator[tuple[list[WeightedFeature], list[Query]]]:
    """Split queries into batches, so that the distances of a batch to all rows by each feature fit into memory."""
    for _, group in itertools.groupby(queries, lambda query: isinstance(query, Text)):  # texts have another default
        for first in group:
            features = resolve_features(generation, settings, by, [first])
            size = max(1, min(_BATCH, _BATCH_BYTES // (4 * len(features) * len(generation))))
            yield features, [first, *itertools.islice(group, size - 1)]  # noqa: B031  # the loop continues after them


def search_batch(
    context: SearchContext,
    options: SearchOptions,
    features: Sequence[WeightedFeature],
    batch: Sequence[Query],
    rows: Rows | None,
    order_by: str | None,
    *,
    policy: SqlPolicy,
    log: SearchLog,
) -> Iterator[Hits | ImageError]:
    """Yield the hits of each query of a batch, or the error if its image cannot be decoded.

    Args:
        features: Features of the search, as `resolve_features` returns them.
        rows: Rows that can be hits; None for all.
        order_by, policy: As for `find_hits`.
    """
    generation, encoder, started = context.generation, context.encoder, time.perf_counter()
    encoded = encoder.encode_each(generation, batch, features)
    requests = [
        SearchRequest(
            options,
            features,
            [expand(generation, features, one, options.expand)],
            own_rows=excluded_rows(options, [one]),
            allowed_rows=rows,
            has_text=isinstance(query, Text),
        )
        for query, one in zip(batch, encoded, strict=True)
        if isinstance(one, EncodedQuery)
    ]
    requests = [within_distance(generation, request) for request in requests]
    is_shared = options.exact and options.max_distance is None
    # Removed one by one, so that their distances are freed before those of the next batch are computed.
    waiting = deque(ranking.share_exact_search(generation, requests) if is_shared else requests)
    del requests
    share = (time.perf_counter() - started) / len(batch)
    for query, one in zip(batch, encoded, strict=True):
        if isinstance(one, ImageError):
            yield one
            continue
        began, request = time.perf_counter(), waiting.popleft()
        with record_timings() as stages:
            image = encoder.images.display_image(generation, query)
            hits = find_hits(context, request, [image], [], order_by, policy)
        log.offer(context, request, hits, share + time.perf_counter() - began, stages)
        del request
        yield hits
