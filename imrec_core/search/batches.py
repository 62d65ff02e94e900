"""Batches of queries that are encoded together and share an exact search."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.index.generation import Generation
from imrec_core.lake.settings import Settings
from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.query import By, Query, Text

_BATCH = 64  # queries
_BATCH_BYTES = 48_000_000  # of the distances


def batches(
    generation: Generation, settings: Settings, by: By | None, queries: Iterable[Query]
) -> Iterator[tuple[list[WeightedFeature], list[Query]]]:
    """Split queries into batches, so that the distances of a batch to all rows by each feature fit into memory."""
    for _, group in itertools.groupby(queries, lambda query: isinstance(query, Text)):  # texts have another default
        for first in group:
            features = resolve_features(generation, settings, by, [first])
            size = max(1, min(_BATCH, _BATCH_BYTES // (4 * len(features) * len(generation))))
            yield features, [first, *itertools.islice(group, size - 1)]  # noqa: B031  # the loop continues after them
