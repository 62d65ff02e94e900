"""Recommender: encodes a query, collects candidates, ranks them by exact distance and returns Hits."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_core.search.recommender import Recommender as Recommender

__getattr__ = lazy_names(__name__, {"Recommender": "recommender"})
