"""From ranked rows to hits with ids, paths, scores and parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imrec_core.index.calibration import rate_of
from imrec_core.index.generation import Generation, Rows, open_generation
from imrec_core.lake.lake import Lake
from imrec_core.runtime.timing import timed
from imrec_core.search import ranking
from imrec_core.search.hits import Hit, Hits, Part, Shown
from imrec_core.search.match_threshold import JointCalibrations
from imrec_core.search.query_encoder import QueryEncoder
from imrec_core.search.ranking import RankedRows
from imrec_core.search.request import SearchRequest
from imrec_core.sql.policy import SqlPolicy


@dataclass(frozen=True)
class _Opened:
    """A generation, and what is kept as long as it is in use.

    Attributes:
        published: The generation that was to be opened; it may be damaged, and an older one open instead.
    """

    published: str | None
    generation: Generation
    encoder: QueryEncoder
    joint: JointCalibrations

    @classmethod
    def of(cls, lake: Lake) -> _Opened:
        """Open the generation in use.

        Raises:
            MissingTable, StaleIndex: As `open_generation`.
        """
        published = lake.current_generation()
        generation = open_generation(lake)
        return cls(published, generation, QueryEncoder(lake), JointCalibrations(generation))


def _answer(
    opened: _Opened,
    asked: SearchRequest,
    shown: Sequence[Sequence[Shown | None]],
    order_by: str | None,
    policy: SqlPolicy,
) -> Hits:
    generation = opened.generation
    ranked = ranking.rank(generation, asked, opened.joint)
    with timed("fetch"):
        hits = _hits(generation, opened.encoder, asked, ranked)
    if order_by is not None:
        places = generation.filter.ranks(ranked.rows, order_by, policy)
        hits = [hits[i] for i in np.argsort(places, kind="stable")]
    likes, unlikes = (tuple(s for s in some if s is not None) for some in shown)
    names = tuple(c.name for c in asked.chosen)
    return Hits(tuple(hits), ranked.plan, generation.id, ranked.cut, likes, unlikes, names, ranked.more)


def _hits(generation: Generation, encoder: QueryEncoder, asked: SearchRequest, ranked: RankedRows) -> list[Hit]:
    found = generation.columns("image_id", "source", "path").take(_places(ranked.rows)).to_pydict()
    names = [c.name for c in asked.chosen]
    # Plain numbers at once: taken one by one out of arrays they cost more than the ranking.
    of_parts = (ranked.distances, ranked.parts, rate_of(ranked.parts), ranked.places, ranked.unlike)
    of_features = [
        [Part(*of_hit) for of_hit in zip(*(part[f].tolist() for part in of_parts))] for f in range(len(names))
    ]
    return [
        Hit(
            i + 1,
            image_id,
            source,
            encoder.path(source, path),
            score,
            {name: of_feature[i] for name, of_feature in zip(names, of_features, strict=True)},
        )
        for i, (image_id, source, path, score) in enumerate(zip(*found.values(), ranked.scores.tolist(), strict=True))
    ]


def _places(rows: Rows) -> pa.Array:
    """Rows as Arrow's own: given those of numpy it imports pandas, if there is one, in 0.2 s (pyarrow 26)."""
    return pa.Int64Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))])
