"""Features that reduce the vectors of another feature by a method of `reduction.METHODS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imrec_core.features.feature import FEATURES, Arrays, Blocks, Feature, Matrix, Projection, register
from imrec_core.features.metrics import cosine, dot, euclidean, manhattan
from imrec_core.features.reduction import METHODS
from imrec_core.models.registry import MODELS


def projection(
    name: str, base: Feature, dims: int, *, method: str = "pca", least_rows: int = 2, **params: Any
) -> Feature:
    """Make a feature that reduces the vectors of `base` to `dims` numbers.

    Args:
        name: Name of the feature.
        base: Feature whose vectors are reduced.
        dims: Dimensions after the reduction.
        method: Name in `reduction.METHODS`.
        least_rows: Minimum number of images for a fit.
        params: Settings of the method; see `Method.params`.
    """
    chosen = METHODS[method]

    def fit(blocks: Sequence[Blocks], folder: Path) -> tuple[Arrays, dict[str, Any]]:
        return chosen.fit([_single_base(block) for block in blocks], dims=dims, folder=folder, **params)

    return Feature(
        name=name,
        summary=f"{base.name}, reduced to {dims} dims: {chosen.summary}",
        group="projections",
        dims=dims,
        dtype="float32",
        metrics=(euclidean, cosine, manhattan),
        source=chosen.source,
        min_side=base.min_side,
        projection=Projection(
            (base,), fit, lambda vectors, fitted: chosen.project(vectors[0], fitted), least_rows=least_rows
        ),
        params={"base": base.name, "method": method, "dims": dims, **params},
    )


def _single_base(block: Blocks) -> Callable[[], Matrix]:
    return lambda: block()[0]


def content_table(network: Feature) -> Feature:
    """Make the projection of an embedding by which searches rank, as the tables of a lake hold it."""
    assert network.content is not None and network.model is not None
    made = projection(network.content, network, network.model.pca_dims, method="content_pca", least_rows=1)
    return replace(made, dtype="float16", metrics=(cosine, euclidean, manhattan, dot), unit_norm=True)


for _model in MODELS.values():
    if FEATURES[_model.name].content:
        register(content_table(FEATURES[_model.name]))
