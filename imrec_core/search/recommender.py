"""Recommender: searches over the generation in use of a lake.

The HNSW graph of each feature proposes candidates. Their union is ranked by exact distances in every feature, and the
calibrated scores are fused.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import ImageError, QueryError
from imrec_core.features.crop_resistant import unpad
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.features.image_hash import unpack_image_hash
from imrec_core.features.spaces import space_of
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import place
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_core.runtime.timing import record_timings
from imrec_core.search.batches import batches, search_batch
from imrec_core.search.context import SearchContext
from imrec_core.search.crop import Box
from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.hits import Hits
from imrec_core.search.query import By, Crop, Queries, Query, plain_query, weighted_queries
from imrec_core.search.request import SearchOptions, build_request, filter_rows
from imrec_core.search.result import find_hits
from imrec_core.search.search_log import SearchLog
from imrec_core.sql.policy import SqlPolicy

if TYPE_CHECKING:
    from imagehash import ImageHash, ImageMultiHash

    from imrec_core.duplicates import Duplicates

_SHOWN = 6  # images in a notebook


class Recommender:
    """Search engine over the generation in use of a lake.

    A new generation is opened between searches. Methods can be called from several threads.

    Example:
        >>> recommender = Recommender.open("data_lake")
        >>> recommender.search("query.jpg", k=10).to_polars()

    Args:
        lake: The lake to search.
        sql_policy: What `where` and `order_by` may contain. `SqlPolicy.TRUSTED` allows every condition; a server that
            accepts conditions from its clients passes a stricter policy.
        log_as: Name of its searches in the run log, of which `search_log` in `lake.toml` is the share; None for no log.

    Raises:
        MissingTable: The lake was never built.
        StaleIndex: No generation can be read.
    """

    def __init__(self, lake: Lake, *, sql_policy: SqlPolicy = SqlPolicy.TRUSTED, log_as: str | None = "python") -> None:
        self.lake, self.sql_policy = lake, sql_policy
        self.search_log = SearchLog(lake, log_as)
        self._context = SearchContext.open(lake)
        self._reopening = threading.Lock()

    @classmethod
    @translate_os_errors()
    def open(cls, lake: str | os.PathLike[str] | Lake = "data_lake", *, log_as: str | None = "python") -> Recommender:
        """Open a lake for searching.

        Args:
            lake: The folder or URL of a lake, or the lake itself.
            log_as: Name of its searches in the run log.

        Raises:
            MissingTable: The lake was never built.
            StaleIndex: No generation can be read.
        """
        return cls(lake if isinstance(lake, Lake) else Lake(lake), log_as=log_as)

    @property
    def generation(self) -> Generation:
        """The generation in use; reopened if a newer one was published."""
        return self._current_context().generation

    @property
    def generation_in_use(self) -> Generation:
        """The generation that was last opened, without looking for a newer one in the lake."""
        return self._context.generation

    def _current_context(self) -> SearchContext:
        published = self.lake.current_generation()
        if self._must_reopen(published):
            with self._reopening:
                if self._must_reopen(published):
                    self._context = SearchContext.open(self.lake)
        return self._context

    def _must_reopen(self, published: str | None) -> bool:
        return published != self._context.published or self._context.generation.is_damaged()

    def __len__(self) -> int:
        """Return the number of images that can be found."""
        return len(self.generation.live)

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the number of images, the features, and some of the images."""
        from imrec_core.plots.html_grid import grid
        from imrec_core.plots.sheet_layout import Cell

        context = self._current_context()
        generation = context.generation
        some = generation.live[np.linspace(0, len(generation.live) - 1, min(_SHOWN, len(generation.live))).astype(int)]
        files = generation.columns("source", "path").take(some).to_pylist()
        path_of = context.encoder.images.path
        cells = [Cell(place(path_of(f["source"], f["path"])), (f["path"].rpartition("/")[2],)) for f in files]
        headings = (
            f"{len(generation.live):,} images of {self.lake.root.name}, generation {generation.id}",
            f"search by {', '.join(generation.features)}",
        )
        return grid(headings, cells)

    @translate_os_errors()
    def duplicates(
        self, *, tier: str = "near", keep: str | None = None, between: tuple[str, str] | None = None
    ) -> Duplicates:
        """Find groups of duplicate images; see `imrec_core.duplicates.find_duplicates`."""
        from imrec_core.duplicates import find_duplicates

        return find_duplicates(self.lake, tier=tier, keep=keep, between=between)

    @translate_os_errors()
    def vector(self, query: Query, feature: str | None = None, *, to: str | None = None) -> NDArray[Any]:
        """Return the vector of an image or text, as the lake stores those of its images.

        Use it to query an exported index.

        Args:
            query: As for `search`.
            feature: `"feature"`, or `"feature:metric"` if it was exported with a metric. Default: the first feature of
                the lake; for `Text` the first that supports text.
            to: Target of `imrec export` whose form the vector gets; None for the stored form.

        Returns:
            `(width,)`, in the stored dtype unless the target has another. A binary hash is packed into uint64 words;
            `crop_resistant_hash` has a word for each segment.

        Raises:
            QueryError: The query is invalid, or `feature` is a mix of several features.
            ImageError: The image cannot be decoded.
            UnknownName: There is no such feature, metric or image.
        """
        chosen, vector = self._vector(query, feature)
        metric = chosen.metric if ":" in chosen.name else None
        convert = space_of(to, chosen.feature, metric).map if to else np.asarray
        converted = np.asarray(convert(vector[None])[0])
        return unpad(converted) if chosen.feature.is_variable else converted

    @translate_os_errors()
    def image_hash(self, query: Query, feature: str) -> ImageHash | ImageMultiHash:
        """Return the hash of an image as imagehash computes it from the same pixels; raises as `vector`.

        Args:
            query: As for `search`; `ImageId(hit.image_id)` for a hit.
            feature: `ahash`, `dhash`, `phash`, `whash`, `colorhash`, or `crop_resistant_hash`, an `ImageMultiHash`.
        """
        chosen, vector = self._vector(query, feature)
        return unpack_image_hash(unpad(vector) if chosen.feature.is_variable else vector, chosen.feature)

    def _vector(self, query: Query, by: str | None) -> tuple[WeightedFeature, NDArray[Any]]:
        """Return the only feature that `by` names, and the vector of a query in its stored dtype."""
        context, query = self._current_context(), plain_query(query)
        generation, encoder = context.generation, context.encoder
        features = resolve_features(generation, encoder.settings, by, [query])
        if len(features) > 1:
            raise QueryError(f"{by} names several features; expected one")
        likes, _ = encoder.encode_all(generation, [(query, 1.0)], [], features)
        feature = features[0].feature
        return features[0], likes[0].vectors[feature.name].astype(feature.dtype, copy=False)

    @translate_os_errors()
    def search(
        self,
        query: Query | None = None,
        *,
        like: Queries | None = None,
        unlike: Queries | None = None,
        k: int | None = None,
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
        with_self: bool = False,
        max_distance: float | None = None,
        crop: Box | None = None,
        expand: int = 0,
    ) -> Hits:
        """Find the images most similar to one or several queries.

        Args:
            query: Path, URL, bytes, Pillow image, RGB array `(h, w, 3)` of uint8, `ImageId`, `Crop`, `Text`, or the
                vector `(width,)` or `ImageHash` of the only feature in `by`.
            like: One or several queries instead of `query`, each alone or as `(query, weight)`; the order is ignored.
            unlike: Negative examples, given like `like`. An image that is closer to one of them than to the likes loses
                the difference of the scores, times the weight of the unlike relative to the heaviest like.
            k: Maximum number of hits, at least 1. Default: 5; with `max_distance` all within it, up to 10,000.
            by: `"feature"`, `"feature:metric"` or `"mix:NAME"`, a sequence of them, or a mapping of them to weights.
                Default: the first feature of the lake; for `Text` the first that supports text.
            pool: Distance to several likes: to their weighted `mean` vector (binary hashes: mean distance), to the
                `best`, the nearest like, or to `all`, the farthest.
            fuse: Fusion of several features: weighted mean of calibrated scores (`score`), reciprocal rank fusion
                (`rrf`) or distribution-based score fusion (`dbsf`); the last two depend on the candidates.
            max_false_match_rate: Match threshold above 0, at most 1: share of random pairs that may be as near as a
                hit. It is divided among several likes unless `pool` is `all`. Fewer than k hits may remain.
            where: SQL condition, for example `width >= 800 AND source = 'holiday'`.
            order_by: SQL order of the hits, for example `taken DESC, width`; ties by rank.
            distinct: `content` returns the best of images with identical bytes.
            diversify: Diversity by the first feature, from 0 (off) to 1; selects from the best 5k.
            exact: Exhaustive search instead of the HNSW graphs.
            among: `image_id`s of the allowed hits, or the integers that they spell; unknown ones are ignored.
            with_self: Whether a query may be a hit. By default an `ImageId` and a file in a source are not hits of
                themselves. Bytes, uploads and other files exclude all images with the same bytes.
            max_distance: Radius: only hits within this distance of the likes, in the unit of the metric of the only
                feature in `by`. Every image is compared.
            crop: Part of `query` to search for: `(x, y, width, height)` in pixels of the upright image as integers, or
                in fractions of its size as floats; see `Crop`.
            expand: Maximum number of surely related images with which a like is averaged before the search, 0 for none:
                finds more of the same kind, and is worse for copies. For the embeddings of networks.

        Returns:
            Best first, ties by row.

        Raises:
            QueryError: The request is invalid.
            ImageError: A query image cannot be decoded.
            UnknownName: There is no such feature, metric, mix, pool or fusion.
        """
        if crop is not None:
            if query is None:
                raise QueryError("crop is for `query`; in `like` and `unlike` give Crop(image, box)")
            query = Crop(query, crop)
        options = SearchOptions(
            k, by, pool, fuse, max_false_match_rate, distinct, diversify, exact, expand, with_self, max_distance
        )
        return self._search(query, like, unlike, options, where, order_by, among)

    def _search(
        self,
        query: Query | None,
        like: Queries | None,
        unlike: Queries | None,
        options: SearchOptions,
        where: str | None,
        order_by: str | None,
        among: Sequence[str] | NDArray[np.uint64] | None,
    ) -> Hits:
        if query is not None and like is not None:
            raise QueryError("give the image as `query` or as `like`, not as both")
        options.check()
        likes = weighted_queries(like) if query is None else [(plain_query(query), 1.0)]
        unlikes = weighted_queries(unlike)
        options.check_queries(q for q, _ in likes)
        context, policy = self._current_context(), self.sql_policy
        started = time.perf_counter()
        with record_timings() as stages:
            request = build_request(context, options, likes, unlikes, where=where, among=among, policy=policy)
            images, unlike_images = (
                [context.encoder.images.display_image(context.generation, q) for q, _ in some]
                for some in (likes, unlikes)
            )
            hits = find_hits(context, request, images, unlike_images, order_by, policy)
        self.search_log.offer(context, request, hits, time.perf_counter() - started, stages)
        return hits

    def search_each(
        self,
        queries: Iterable[Query],
        *,
        k: int | None = None,
        by: By | None = None,
        fuse: str = "score",
        max_false_match_rate: float | None = None,
        where: str | None = None,
        order_by: str | None = None,
        distinct: str | None = None,
        diversify: float = 0.0,
        exact: bool = False,
        with_self: bool = False,
        max_distance: float | None = None,
        expand: int = 0,
    ) -> Iterator[Hits | ImageError]:
        """Search for each query by itself, in batches.

        The result for each query is that of `search`, sooner: the images of a batch are encoded together, and with
        `exact` they share one pass over the vectors. All searches use the same generation.

        Args:
            queries: Iterable of queries as for `search`, read as needed. The other arguments are those of `search`.

        Yields:
            For each query in order its hits, or the error if its image cannot be decoded.

        Raises:
            QueryError: The request is invalid.
            UnknownName: There is no such feature, metric, mix or fusion.
        """
        if isinstance(queries, str | bytes) or not isinstance(queries, Iterable):
            raise QueryError("give `search_each` several queries, such as a list of paths")
        options = SearchOptions(
            k, by, "mean", fuse, max_false_match_rate, distinct, diversify, exact, expand, with_self, max_distance
        )
        options.check()
        with translate_os_errors():
            context = self._current_context()
            rows = filter_rows(context.generation, where, None, self.sql_policy)
            for features, batch in batches(context.generation, context.encoder.settings, by, queries):
                batch = [plain_query(query) for query in batch]
                options.check_queries(batch)
                yield from search_batch(
                    context, options, features, batch, rows, order_by, policy=self.sql_policy, log=self.search_log
                )
