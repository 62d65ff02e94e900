"""Fusing is a weighted mean: one feature stays itself, the scale of the weights is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imrec_core.errors import BadWeights
from imrec_core.fusion import fuse

weights_and_scores = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.001, 1000), min_size=n, max_size=n),
        st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4).map(np.array), min_size=n, max_size=n),
    )
)


@given(scores=st.lists(st.floats(0, 1), max_size=10).map(np.array), weight=st.floats(0.001, 1000))
def test_one_feature_fused_is_itself(scores, weight):
    np.testing.assert_array_equal(fuse([scores], [weight]), scores)


@given(weights_and_scores, st.floats(0.01, 100))
def test_scaling_all_weights_changes_nothing(asked, scale):
    weights, scores = asked
    np.testing.assert_allclose(fuse(scores, [w * scale for w in weights]), fuse(scores, weights), atol=1e-12)


@given(weights_and_scores)
def test_fused_scores_are_a_weighted_mean(asked):
    weights, scores = asked
    fused = fuse(scores, weights)
    np.testing.assert_allclose(fused, np.average(scores, axis=0, weights=weights), atol=1e-12)
    assert fused.min() >= 0 and fused.max() <= 1 + 1e-12


@given(weights_and_scores)
def test_feature_of_weight_0_does_not_count(asked):
    weights, scores = asked
    noise = np.array([1.0, 0.0, 0.5, 0.2])
    np.testing.assert_array_equal(fuse([noise, *scores], [0, *weights]), fuse(scores, weights))


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [-0.1], [math.nan], [1, math.nan], [math.inf, 1]])
def test_weights_that_cannot_be_averaged_with_are_refused(weights):
    with pytest.raises(BadWeights, match="0 or more, finite, and not all 0"):
        fuse([np.ones(3)] * len(weights), weights)
