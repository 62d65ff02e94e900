"""Features that are learnt from the vectors of another feature, by a method of `reduction.METHODS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imrec_core.features.declare import FEATURES, Arrays, Blocks, Feature, Matrix, Projection, register
from imrec_core.metrics import cosine, euclidean, manhattan
from imrec_core.models import MODELS
from imrec_core.reduction import METHODS


def projection(
    name: str, base: Feature, dims: int, *, method: str = "pca", least_rows: int = 2, **params: Any
) -> Feature:
    """A feature of `dims` numbers that the method learns from the vectors of `base`.

    Args:
        name: Of the feature.
        base: Whose vectors are reduced.
        dims: How many numbers are left.
        method: Of `reduction.METHODS`.
        least_rows: Images without which it is refused.
        params: What the method takes; see its `params`.
    """
    chosen = METHODS[method]

    def fit(blocks: Sequence[Blocks], folder: Path) -> tuple[Arrays, dict[str, Any]]:
        return chosen.fit([_only(block) for block in blocks], dims=dims, folder=folder, **params)

    return Feature(
        name=name,
        summary=f"{base.name}, reduced to {dims} numbers: {chosen.summary}",
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


def _only(block: Blocks) -> Callable[[], Matrix]:
    return lambda: block()[0]


def stand_in(network: Feature) -> Feature:
    """The projection of a network's embedding on which its graph is built."""
    assert network.model is not None
    return projection(f"{network.name}_pca", network, network.model.pca_dims)


for _model in MODELS.values():
    if FEATURES[_model.name].candidates:
        register(stand_in(FEATURES[_model.name]))
