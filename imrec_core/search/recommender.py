"""Answer: which images are most like these?

Candidates come from the graph of each chosen feature; their union is re-ranked by the exact distance in every
chosen feature, and the calibrated scores are fused.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.errors import ImageError, QueryError
from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.features.spaces import space_of
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import place
from imrec_core.plots.contact_sheet import Cell
from imrec_core.plots.html_grid import grid
from imrec_core.search import ranking, request
from imrec_core.search.answer import _answer, _Opened
from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.hits import Hits
from imrec_core.search.query import By, Queries, Query, Text, own_rows, weighted
from imrec_core.search.request import SearchRequest, kept_rows
from imrec_core.sql.policy import SqlPolicy

_SHOWN = 6  # pictures in a notebook
_BATCH = 64  # queries of `search_each` that are handled together
_BATCH_BYTES = 48_000_000  # of their distances


class Recommender:
    """Search over the generation in use; a newer one is picked up between searches.

    Safe to use from several threads.

    Args:
        sql_policy: What `where` and `order_by` may hold; a server that hands on those of its clients trusts none.
    """

    def __init__(self, lake: Lake, *, sql_policy: SqlPolicy = SqlPolicy.TRUSTED) -> None:
        self.lake, self.sql_policy = lake, sql_policy
        self._opened = _Opened.of(lake)
        self._reopening = threading.Lock()

    @classmethod
    def open(cls, lake: str | os.PathLike[str] | Lake = "data_lake") -> Recommender:
        """Open a lake for searching.

        Raises:
            MissingTable: It was never built.
            StaleIndex: No generation can be read.
        """
        return cls(lake if isinstance(lake, Lake) else Lake(lake))

    @property
    def generation(self) -> Generation:
        """The generation in use, opened anew where another was published."""
        return self._newest().generation

    def _newest(self) -> _Opened:
        published = self.lake.current_generation()
        if published != self._opened.published:
            with self._reopening:
                if published != self._opened.published:
                    self._opened = _Opened.of(self.lake)
        return self._opened

    def __len__(self) -> int:
        """Images that can be found."""
        return len(self.generation.live)

    def _repr_html_(self) -> str:
        """How a notebook shows it: how many images, by what they can be searched, and some of them."""
        opened = self._newest()
        generation, encoder = opened.generation, opened.encoder
        some = generation.live[np.linspace(0, len(generation.live) - 1, min(_SHOWN, len(generation.live))).astype(int)]
        places = generation.columns("source", "path").take(some).to_pylist()
        cells = [Cell(place(encoder.path(p["source"], p["path"])), (p["path"].rpartition("/")[2],)) for p in places]
        headings = (
            f"{len(generation.live):,} images of {self.lake.root.name}, generation {generation.id}",
            f"search by {', '.join(generation.features)}",
        )
        return grid(headings, cells)

    def duplicates(
        self, *, tier: str = "near", keep: str | None = None, between: tuple[str, str] | None = None
    ) -> Duplicates:
        """Groups of images that are copies of each other; see `duplicates.find_duplicates`."""
        return find_duplicates(self.lake, tier=tier, keep=keep, between=between)

    def vector(self, query: Query, feature: str | None = None, *, to: str | None = None) -> NDArray[Any]:
        """The vector of an image, or of words, as the lake stores those of its own: to search elsewhere by it.

        Args:
            query: As for `search`.
            feature: `feature`, or `feature:metric` where it was exported so. Default: the first of the lake, for
                `Text` the first that understands it.
            to: As this target of `export` holds it; None as stored.

        Returns:
            `(width,)`, in the stored dtype unless a target has another; a hash is packed, 64 bits in a number.

        Raises:
            QueryError, ImageError, UnknownName: As `search`.
        """
        opened = self._newest()
        generation, encoder = opened.generation, opened.encoder
        chosen = resolve_features(generation, encoder.settings, feature, [query])
        if len(chosen) > 1:
            raise QueryError(f"{feature} is several features; ask for the vector of one")
        wanted = chosen[0].feature
        metric = chosen[0].metric if ":" in chosen[0].name else None
        held = space_of(to, wanted, metric).map if to else np.asarray
        liked, _ = encoder.encode_all(generation, [(query, 1.0)], [], chosen)
        return np.asarray(held(liked[0].vectors[wanted.name][None].astype(wanted.dtype, copy=False))[0])

    def search(
        self,
        query: Query | None = None,
        *,
        like: Queries | None = None,
        unlike: Queries | None = None,
        k: int = 5,
        by: By | None = None,
        pool: str = "mean",
        fuse: str = "score",
        max_false_match_rate: float | None = None,
        where: str | None = None,
        order_by: str | None = None,
        distinct: str | None = None,
        diversify: float = 0.0,
        exact: bool = False,
        among: Sequence[str] | NDArray[np.uint64] | None = None,
    ) -> Hits:
        """The images most like one image, or several.

        Args:
            query: A path, bytes, Pillow image, RGB array `(h, w, 3)`, `ImageId` of the gallery, the vector of the one
                feature in `by`, or `Text` for features that understand it.
            like: The same by its other name, or a list of them; each alone or as a pair `(query, weight)`. Their
                order changes nothing.
            unlike: What hits are not to be like, given in the same way. Of the score is taken that of the nearest
                unlike times its weight, relative to the heaviest like: what is as near to an unlike as to the likes
                scores 0.
            k: Hits wanted; fewer come where the gallery has no more.
            by: `"feature"`, `"feature:metric"` or `"mix:NAME"` of `lake.toml`, several of them, or a mapping of them
                to weights. Default: the first feature of the lake, for `Text` the first that understands it.
            pool: What counts of several likes, by each feature: `mean`, the distance to the mean of their vectors
                (of hashes, the mean of the distances); `best`, the least distance to any; `all`, the largest.
            fuse: How several features become one score: `score`, the weighted mean of calibrated scores; `rrf`, of
                reciprocal ranks; `dbsf`, of distances relative to their mean and spread. The last two depend on
                which images were ranked; with one feature all are the same.
            max_false_match_rate: Only hits that are as near as this share of random pairs of the gallery at most.
                Fewer than k may come, or none. It is shared among several likes, unless `pool` is `all`.
            where: SQL condition over the rows, for example `width >= 800 AND source = 'holiday'`.
            order_by: SQL order of the hits, for example `taken DESC, width`; equal ones by rank.
            distinct: `content`: of images whose bytes are the same only the best is a hit.
            diversify: From 0, off, to 1: how much hits should differ from one another by the first feature. They are
                chosen from the best 5k.
            exact: Look at every row instead of asking the graphs.
            among: Only these images may be hits, by `image_id` or by the numbers that those spell, such as what lies in
                a part of a map. They hold for any generation; one that is gone is passed over.

        Returns:
            Best first; equal ones in the order of the rows. An `ImageId` is not a hit for itself.

        Raises:
            QueryError: The request cannot be answered; the subclass and the message say why.
            ImageError: A query image cannot be decoded.
            UnknownName: No such feature, metric, pool, fusion or image.
        """
        if query is not None and like is not None:
            raise QueryError("give the image as `query` or as `like`, not as both")
        request.check(k=k, pool=pool, fusion=fuse, rate=max_false_match_rate, distinct=distinct, diversity=diversify)
        likes = weighted(like) if query is None else [(query, 1.0)]
        unlikes = weighted(unlike)
        _refuse_words([q for q, _ in likes], max_false_match_rate)
        opened = self._newest()
        generation, encoder = opened.generation, opened.encoder
        queries = [q for q, _ in (*likes, *unlikes)]
        chosen = resolve_features(generation, encoder.settings, by, queries)
        liked, unliked = encoder.encode_all(generation, likes, unlikes, chosen)
        asked = SearchRequest(
            chosen,
            liked,
            unliked,
            own_rows(generation, queries),
            k,
            pool,
            fuse,
            max_false_match_rate,
            distinct,
            float(diversify),
            kept_rows(generation, where, among, self.sql_policy),
            exact,
        )
        shown = [[encoder.shown(generation, q) for q, _ in some] for some in (likes, unlikes)]
        return _answer(opened, asked, shown, order_by, self.sql_policy)

    def search_each(
        self,
        queries: Iterable[Query],
        *,
        k: int = 5,
        by: By | None = None,
        fuse: str = "score",
        max_false_match_rate: float | None = None,
        where: str | None = None,
        order_by: str | None = None,
        distinct: str | None = None,
        diversify: float = 0.0,
        exact: bool = False,
    ) -> Iterator[Hits | ImageError]:
        """What `search` gives for each query by itself, in their order; sooner, as they are handled in batches.

        Files of a batch are described together, and with `exact` they share one scan of the vectors. All are answered
        by one generation.

        Args:
            queries: Read as they are needed. The other arguments are those of `search`.

        Yields:
            Its hits, or why an image cannot be decoded; the others are answered all the same.

        Raises:
            QueryError, UnknownName: As `search`.
        """
        if isinstance(queries, str | bytes) or not isinstance(queries, Iterable):
            raise QueryError("give `search_each` several queries, such as a list of paths")
        request.check(k=k, pool="mean", fusion=fuse, rate=max_false_match_rate, distinct=distinct, diversity=diversify)
        opened = self._newest()
        generation, encoder = opened.generation, opened.encoder
        kept = generation.filter.rows(where, self.sql_policy) if where else None
        for chosen, batch in _batches(generation, encoder.settings, by, queries):
            _refuse_words(batch, max_false_match_rate)
            encoded = encoder.encode_each(generation, batch, chosen)
            asked = [
                SearchRequest(
                    chosen,
                    [found],
                    own=own_rows(generation, [query]),
                    k=k,
                    fusion=fuse,
                    rate=max_false_match_rate,
                    distinct=distinct,
                    diversity=float(diversify),
                    kept=kept,
                    exact=exact,
                )
                for query, found in zip(batch, encoded, strict=True)
                if isinstance(found, EncodedQuery)
            ]
            # Taken out one by one, so that their distances are gone before those of the next batch are computed.
            waiting = deque(ranking.with_shared_scan(generation, asked) if exact else asked)
            for query, found in zip(batch, encoded, strict=True):
                if isinstance(found, EncodedQuery):
                    shown = [[encoder.shown(generation, query)], []]
                    yield _answer(opened, waiting.popleft(), shown, order_by, self.sql_policy)
                else:
                    yield found


def _batches(
    generation: Generation, settings: Settings, by: By | None, queries: Iterable[Query]
) -> Iterator[tuple[list[WeightedFeature], list[Query]]]:
    """Queries that are handled together: as many as have room for their distances to all rows by each feature."""
    for _, alike in itertools.groupby(queries, lambda query: isinstance(query, Text)):  # words have another default
        for first in alike:
            chosen = resolve_features(generation, settings, by, [first])
            size = max(1, min(_BATCH, _BATCH_BYTES // (4 * len(chosen) * len(generation))))
            yield chosen, [first, *itertools.islice(alike, size - 1)]  # noqa: B031  # the loop goes on after them


def _refuse_words(queries: Iterable[Query], rate: float | None) -> None:
    if rate is not None and any(isinstance(query, Text) for query in queries):
        raise QueryError("max_false_match_rate is for images: how near words are to images by chance is not measured")
