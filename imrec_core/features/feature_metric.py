"""A feature together with the metric that compares its vectors, and its text form `FEATURE[:METRIC]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imrec_core.features.declare import Feature
from imrec_core.metrics import Metric


@dataclass(frozen=True)
class FeatureMetric:
    """A feature compared by one of its metrics."""

    feature: Feature
    metric: Metric

    @staticmethod
    def of(feature: Feature, metric_name: str = "") -> FeatureMetric:
        """Pair a feature with the metric of that name, with its default metric where the name is empty.

        Raises:
            UnknownName: The feature does not declare that metric.
        """
        return FeatureMetric(feature, feature.find_metric(metric_name) if metric_name else feature.metric)

    @staticmethod
    def parse(text: str, find_feature: Callable[[str], Feature]) -> FeatureMetric:
        """Parse `FEATURE[:METRIC]`.

        Args:
            text: As a user writes it.
            find_feature: Returns the feature of a name, or raises what suits the caller.

        Raises:
            UnknownName: The feature does not declare that metric.
        """
        feature_name, metric_name = split_name(text)
        return FeatureMetric.of(find_feature(feature_name), metric_name)

    def weighted(self, name: str, weight: float) -> WeightedFeature:
        """Return the pair with the name and the weight that it has in a search."""
        return WeightedFeature(self.feature, self.metric, name, weight)

    def __str__(self) -> str:
        return graph_name(self.feature, self.metric)


@dataclass(frozen=True)
class WeightedFeature(FeatureMetric):
    """A feature and metric with their weight in a search.

    Attributes:
        name: The text that it was parsed from; hits name their parts by it.
        weight: 0 or more, relative to the others of the search.
    """

    name: str
    weight: float


def split_name(text: str) -> tuple[str, str]:
    """Split `FEATURE[:METRIC]` into the two names, without looking them up; the second is empty for the default."""
    feature_name, _, metric_name = text.partition(":")
    return feature_name, metric_name


def graph_name(feature: Feature, metric: Metric) -> str:
    """Return `feature:metric`, the name of the HNSW graph of a feature in a metric."""
    return f"{feature.name}:{metric.name}"
