"""`FEATURE[:METRIC]`: what it means, how it is written, and what is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from imrec_core import FEATURES
from imrec_core.errors import UnknownName
from imrec_core.features import find_feature
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature, graph_name, split_name

PHASH = FEATURES["phash"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("phash", ("phash", "")),
        ("phash:hamming", ("phash", "hamming")),
        ("phash:", ("phash", "")),
        ("", ("", "")),
        (":hamming", ("", "hamming")),
        ("a:b:c", ("a", "b:c")),
    ],
)
def test_names_are_split_at_the_first_colon_without_being_looked_up(text, names):
    assert split_name(text) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phash", "phash:hamming"),
        ("phash:", "phash:hamming"),
        ("phash:hamming_dihedral", "phash:hamming_dihedral"),
        ("rgb_histogram:euclidean", "rgb_histogram:euclidean"),
    ],
)
def test_parsed_text_is_the_feature_in_that_metric_or_in_its_default(text, expected):
    parsed = FeatureMetric.parse(text, find_feature)
    assert (str(parsed), parsed.feature) == (expected, FEATURES[split_name(text)[0]])
    assert str(FeatureMetric.parse(str(parsed), find_feature)) == expected


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_every_declared_pair_survives_being_written_and_parsed(feature):
    for metric in feature.metrics:
        pair = FeatureMetric.parse(graph_name(feature, metric), find_feature)
        assert pair.feature is feature and pair.metric is metric
        assert str(pair) == graph_name(feature, metric) == f"{feature.name}:{metric.name}"


def test_an_unknown_feature_raises_the_error_of_the_lookup():
    def refuse(name):
        raise LookupError(name)

    with pytest.raises(LookupError, match="phish"):
        FeatureMetric.parse("phish:hamming", refuse)
    with pytest.raises(UnknownName, match="no feature named 'phish'; did you mean 'phash'"):
        FeatureMetric.parse("phish:hamming", find_feature)


def test_a_metric_that_the_feature_does_not_declare_is_refused():
    with pytest.raises(UnknownName, match="no metric of phash named 'cosine'"):
        FeatureMetric.parse("phash:cosine", find_feature)
    with pytest.raises(UnknownName, match="no metric of phash named 'cosine'"):
        FeatureMetric.of(PHASH, "cosine")


def test_a_weighted_feature_keeps_the_name_that_was_given():
    by = FeatureMetric.of(PHASH).weighted("phash", 0.5)
    assert isinstance(by, WeightedFeature)
    assert (by.name, by.weight, by.feature, by.metric, str(by)) == ("phash", 0.5, PHASH, PHASH.metric, "phash:hamming")
    with pytest.raises(FrozenInstanceError):
        by.weight = 1.0
