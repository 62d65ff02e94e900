"""Feature-metric pairs and their text form `FEATURE[:METRIC]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature import Feature
from imrec_core.features.metrics import Matrix, Metric, Vector


@dataclass(frozen=True)
class FeatureMetric:
    """A feature and one of its metrics."""

    feature: Feature
    metric: Metric

    @staticmethod
    def of(feature: Feature, metric_name: str = "") -> FeatureMetric:
        """Pair a feature with the metric of that name, or its default if empty.

        Raises:
            UnknownName: The feature does not declare that metric.
        """
        return FeatureMetric(feature, feature.find_metric(metric_name) if metric_name else feature.metric)

    @staticmethod
    def parse(text: str, find_feature: Callable[[str], Feature]) -> FeatureMetric:
        """Parse `FEATURE[:METRIC]`.

        Args:
            text: Text of a user.
            find_feature: Returns the feature of a name, or raises an error.

        Raises:
            UnknownName: The feature does not declare that metric.
        """
        feature_name, metric_name = split_name(text)
        return FeatureMetric.of(find_feature(feature_name), metric_name)

    def __call__(self, query: Vector, gallery: Matrix) -> NDArray[np.float32]:
        """Compute the distances `(n,)` of vectors to a query; infinite if one of the two has nothing to compare."""
        return np.asarray(self.of_many([query], gallery)[0])

    def of_many(self, queries: Sequence[Vector] | Matrix, gallery: Matrix) -> NDArray[np.float32]:
        """Compute the distances `(queries, n)` of many queries, as a call does for one."""
        distances = self.metric.of_many(queries, gallery)
        if self.feature.blank is not None:
            distances[:, self.feature.blank.find(gallery)] = np.inf
            distances[[self.is_blank(query) for query in queries]] = np.inf
        return distances

    def is_blank(self, query: Vector) -> bool:
        """Return whether a query, as the metric takes it, has nothing to compare."""
        blank, upright = self.feature.blank, query[None, : self.feature.width]
        return blank is not None and bool(blank.find(upright)[0])

    def weighted(self, name: str, weight: float) -> WeightedFeature:
        """Return the pair with its name and weight in a search."""
        return WeightedFeature(self.feature, self.metric, name, weight)

    def __str__(self) -> str:
        return graph_name(self.feature, self.metric)


@dataclass(frozen=True)
class WeightedFeature(FeatureMetric):
    """A feature and metric with their weight in a search.

    Attributes:
        name: Parsed text, which names the part in hits.
        weight: 0 or more, relative to the other weights of the search.
    """

    name: str
    weight: float


def split_name(text: str) -> tuple[str, str]:
    """Split `FEATURE[:METRIC]` into two names, without a lookup.

    The second name is empty for the default metric. `NAME:full` is the feature with the full vectors of a network.
    """
    feature_name, _, metric_name = text.partition(":")
    if metric_name.partition(":")[0] == "full":
        return full_name(feature_name), metric_name.partition(":")[2]
    return feature_name, metric_name


def full_name(network: str) -> str:
    """Return the name that the embedding of a network has in a generation, beside the content vector."""
    return f"{network}_full"


def graph_name(feature: Feature, metric: Metric) -> str:
    """Return `feature:metric`, the name of the HNSW graph of a feature in a metric."""
    return f"{feature.name}:{metric.name}"
