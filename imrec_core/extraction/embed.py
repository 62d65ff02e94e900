"""Encoding of decoded images as vectors, as extraction encoded the images of a lake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.features.feature import Arrays
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.images.batch import ImageBatch
from imrec_core.lake.lake import Lake
from imrec_core.runtime.timing import timed

Vectors = dict[str, NDArray[Any]]
"""Vectors by feature; hashes of all eight orientations by `orientations_key`."""


@dataclass(frozen=True)
class EncodedQuery:
    """One query, encoded.

    Attributes:
        weight: Above 0, relative to the heaviest of the likes.
        vectors: Vectors of every chosen feature, and of the features whose graphs find candidates for them.
        own_rows: Rows of a generation that are the query itself.
    """

    weight: float
    vectors: Vectors
    own_rows: tuple[int, ...] = ()

    def for_metric(self, pair: FeatureMetric) -> NDArray[Any]:
        """Return the vector of a feature as a metric takes a query."""
        return query_vector(self.vectors, pair)


class ImageEncoder:
    """Encodes images as the images of one lake were encoded.

    Keeps the fits that it loads. Make a new one when the settings of the lake have changed.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.settings = lake.settings()
        self._fits: dict[tuple[str, str], Arrays] = {}

    def encode(
        self,
        images: Sequence[NDArray[np.uint8]],
        features: Iterable[Feature],
        fit_versions: Mapping[str, str],
        *,
        oriented: Iterable[Feature] = (),
    ) -> list[Vectors]:
        """Encode images, all in one batch.

        Args:
            images: Decoded, each `(height, width, 3)`.
            fit_versions: Which fit to use, by feature.
            oriented: Hashes to compute in all eight orientations; see `oriented_features`.

        Returns:
            The vectors of each image, including those of base features.
        """
        if not images:
            return []
        with timed("encode"):
            batch = ImageBatch(list(images))
            vectors: Vectors = {}
            for feature in features:
                self._add(vectors, feature, fit_versions, batch)
            for feature in oriented:
                if feature.orientations:
                    vectors[orientations_key(feature)] = feature.orientations(batch)
        return [{name: matrix[i] for name, matrix in vectors.items()} for i in range(len(images))]

    def project(self, given: Vectors, features: Iterable[Feature], fit_versions: Mapping[str, str]) -> Vectors:
        """Add the features that are projections of the given vectors of one query; leave out other features."""
        vectors = {name: vector[None] for name, vector in given.items()}
        for feature in features:
            self._add(vectors, feature, fit_versions, None)
        return {name: vector[0] for name, vector in vectors.items()}

    def _add(
        self, vectors: Vectors, feature: Feature, fit_versions: Mapping[str, str], batch: ImageBatch | None
    ) -> None:
        """Add the vectors `(n, width)` of a feature and of its bases, unless they exist."""
        if feature.name in vectors:
            return
        for base in feature.bases:
            self._add(vectors, base, fit_versions, batch)
        fitted = self._fit(feature.stored_as, fit_versions[feature.name]) if feature.is_fitted else None
        if feature.projection:
            bases = [vectors[base.name] for base in feature.bases]
            vectors[feature.name] = feature.checked(feature.projection.project(bases, fitted or {}), len(bases[0]))
        elif batch is not None:
            vectors[feature.name] = self._from_pixels(feature, batch, fitted)

    def _fit(self, feature: str, version: str) -> Arrays:
        if (feature, version) not in self._fits:
            self._fits[feature, version] = self._lake.load_fitted(feature, version)
        return self._fits[feature, version]

    def _from_pixels(self, feature: Feature, batch: ImageBatch, fitted: Arrays | None) -> NDArray[Any]:
        if feature.model is None:
            return feature(batch, fitted)
        from imrec_core.models.encoders import encoder_of

        encoder = encoder_of(feature.model, self.settings)
        return feature.checked(encoder(batch.prepared(feature.model.preprocess)), len(batch))


def query_vector(vectors: Vectors, pair: FeatureMetric) -> NDArray[Any]:
    """Return the vector of a feature as a metric takes a query.

    A metric that compares orientations takes those of the image, or else those derived from its hash.
    """
    feature = pair.feature
    oriented = vectors.get(orientations_key(feature)) if pair.metric.takes_several else None
    return feature.as_query(vectors[feature.name], pair.metric) if oriented is None else oriented


def oriented_features(pairs: Iterable[FeatureMetric]) -> list[Feature]:
    """Select the features that are compared in all eight orientations of the query."""
    return [pair.feature for pair in pairs if pair.feature.orientations and pair.metric.takes_several]


def orientations_key(feature: Feature) -> str:
    """Return the key in `Vectors` of the hashes of all eight orientations."""
    return f"{feature.name}:orientations"
