"""Generations: immutable snapshots of rows, vectors and HNSW graphs. Builds, validates, opens and searches them."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_core.index.build import build_generation as build_generation

__getattr__ = lazy_names(
    __name__,
    {"GenerationReport": "build", "build_generation": "build", "is_up_to_date": "plan", "plan_generation": "plan"},
)
