"""Score fusion: weighted means, rank and distribution fusion, and diversification."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imrec_core.errors import BadWeights
from imrec_core.search.fusion import FUSIONS, fuse, maximal_marginal_relevance

weights_and_scores = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.001, 1000), min_size=n, max_size=n),
        st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4).map(np.array), min_size=n, max_size=n),
    )
)


@given(scores=st.lists(st.floats(0, 1), max_size=10).map(np.array), weight=st.floats(0.001, 1000))
def test_fusion_of_one_feature_returns_its_scores(scores, weight):
    np.testing.assert_array_equal(fuse([scores], [weight]), scores)


@given(weights_and_scores, st.floats(0.01, 100))
def test_scale_of_weights_does_not_matter(asked, scale):
    weights, scores = asked
    np.testing.assert_allclose(fuse(scores, [w * scale for w in weights]), fuse(scores, weights), atol=1e-12)


@given(weights_and_scores)
def test_fused_scores_are_a_weighted_mean(asked):
    weights, scores = asked
    fused = fuse(scores, weights)
    np.testing.assert_allclose(fused, np.average(scores, axis=0, weights=weights), atol=1e-12)
    assert fused.min() >= 0 and fused.max() <= 1 + 1e-12


@given(weights_and_scores)
def test_feature_of_weight_0_is_ignored(asked):
    weights, scores = asked
    noise = np.array([1.0, 0.0, 0.5, 0.2])
    np.testing.assert_array_equal(fuse([noise, *scores], [0, *weights]), fuse(scores, weights))


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [-0.1], [math.nan], [1, math.nan], [math.inf, 1]])
def test_invalid_weights_are_refused(weights):
    with pytest.raises(BadWeights, match="0 or more, finite, and not all 0"):
        fuse([np.ones(3)] * len(weights), weights)


# -- every way to fuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUSIONS)
@given(asked=weights_and_scores, scale=st.floats(0.01, 100))
def test_no_fusion_depends_on_scale_of_weights_or_order_of_features(name, asked, scale):
    weights, scores = asked
    fused = FUSIONS[name](scores, weights)
    np.testing.assert_allclose(FUSIONS[name](scores, [w * scale for w in weights]), fused, atol=1e-9)
    np.testing.assert_allclose(FUSIONS[name](scores[::-1], weights[::-1]), fused, atol=1e-9)


@pytest.mark.parametrize("name", FUSIONS)
@given(asked=weights_and_scores)
def test_every_fusion_is_monotonic(name, asked):
    weights, scores = asked
    fused, each = FUSIONS[name](scores, weights), np.stack(scores)
    no_worse = (each[:, :, None] >= each[:, None, :]).all(axis=0)
    assert (fused[:, None] >= fused[None, :] - 1e-9)[no_worse].all()


def test_tied_reciprocal_ranks_are_the_better_rank():
    fused = FUSIONS["rrf"]([np.array([0.5, 0.9, 0.5, 0.1])], [2])
    np.testing.assert_allclose(fused, [61 / 62, 61 / 61, 61 / 62, 61 / 64])


def test_distribution_based_scores_of_equal_rows_are_one_half():
    assert FUSIONS["dbsf"]([np.full(5, 0.3)], [1]).tolist() == [0.5] * 5
    assert FUSIONS["dbsf"]([np.empty(0)], [1]).tolist() == []
    scores = np.random.default_rng(0).normal(3, 0.2, 1000)
    expected = (scores - (scores.mean() - 3 * scores.std())) / (6 * scores.std())
    np.testing.assert_allclose(FUSIONS["dbsf"]([scores], [1]), expected)


@given(st.integers(1, 30), st.floats(0, 1))
def test_diverse_rows_are_distinct_and_start_with_the_best(count, diversity):
    rng = np.random.default_rng(count)
    scores = np.sort(rng.random(20))[::-1]
    alike = rng.random((20, 20))
    taken = maximal_marginal_relevance(scores, lambda i: alike[i], count, diversity)
    assert len(set(taken.tolist())) == len(taken) == min(count, 20) and (taken[0] == 0 or diversity == 1)
    assert maximal_marginal_relevance(scores, lambda i: alike[i], 20, 0).tolist() == list(range(20))
