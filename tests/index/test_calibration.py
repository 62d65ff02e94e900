"""Calibration: scores are in [0, 1], fall with the distance, and are comparable between features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imrec_core.index.calibration import Calibration, rate_of

random_pairs = arrays.arrays(
    np.float32, st.integers(1, 300), elements=st.floats(0, 100, width=32) | st.sampled_from([0, 1, 7])
)


@settings(max_examples=200, deadline=None)
@given(pairs=random_pairs, asked=arrays.arrays(np.float32, 20, elements=st.floats(0, 200, width=32)))
def test_scores_are_between_0_and_1_and_fall_with_the_distance(pairs, asked):
    calibration = Calibration.of(pairs)
    assert list(calibration.distances) == sorted(set(calibration.distances))
    assert list(calibration.rates) == sorted(calibration.rates) and calibration.rates[-1] == 1
    scores = calibration.score(np.sort(asked))
    assert scores.min() >= 0 and scores.max() <= 1
    assert (np.diff(scores) <= 1e-12).all()
    assert calibration.score(np.zeros(1, np.float32)) == [1]


@settings(max_examples=100, deadline=None)
@given(pairs=random_pairs)
def test_distance_beyond_all_random_pairs_scores_0(pairs):
    beyond = np.array([pairs.max() + 1], np.float32)
    assert Calibration.of(pairs).score(beyond) == [0]


@settings(max_examples=50, deadline=None)
@given(pairs=random_pairs, seed=st.integers(0, 1000))
def test_order_of_the_pairs_does_not_matter(pairs, seed):
    assert Calibration.of(np.random.default_rng(seed).permutation(pairs)) == Calibration.of(pairs)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("draw", ["normal", "whole numbers"])
def test_false_match_rate_is_the_share_of_random_pairs_that_are_as_close(share, draw):
    rng = np.random.default_rng(3)
    pairs = rng.normal(50, 8, 100_000) if draw == "normal" else rng.binomial(64, 0.5, 100_000)
    pairs = pairs.astype(np.float32)
    distance = np.quantile(pairs, share, method="lower")
    expected = (pairs <= distance).mean()
    assert Calibration.of(pairs).false_match_rate(np.array([distance])) == pytest.approx(expected, rel=0.15)


def test_score_is_one_minus_the_fifth_root_of_the_false_match_rate():
    pairs = np.random.default_rng(5).random(1_000_000).astype(np.float32)
    asked = np.array([1e-4, 1e-3, 1e-2, 0.5, 1], np.float32)
    scores = Calibration.of(pairs).score(asked)
    np.testing.assert_allclose(scores, [0.8415, 0.749, 0.602, 0.129, 0], atol=0.01)
    np.testing.assert_allclose(rate_of(scores), asked, rtol=0.1, atol=1e-12)
    assert rate_of(np.array([0.0, 0.6, 0.75, 0.9, 1.0])) == pytest.approx([1, 0.01, 0.001, 0.00001, 0], rel=0.03)


def test_score_does_not_depend_on_the_scale_of_distances():
    pairs = np.random.default_rng(4).gamma(3, 1, 50_000).astype(np.float32)
    asked = np.quantile(pairs, [0.001, 0.02, 0.4]).astype(np.float32)
    one, other = Calibration.of(pairs), Calibration.of(pairs * 1000)
    np.testing.assert_allclose(one.score(asked), other.score(asked * 1000), atol=1e-5)


def test_gallery_of_copies_scores_other_images_0():
    calibration = Calibration.of(np.zeros(500, np.float32))
    assert calibration.score(np.array([0, 1, 30], np.float32)).tolist() == [1, 0, 0]
