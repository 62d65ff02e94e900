"""Every measure is that of a named reference: scikit-learn, scipy, or a plain loop over its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, ndcg_score, precision_recall_curve

from imrec_core.evaluation import measures

RANKINGS = [np.random.default_rng(seed).random(seed + 2) < 0.3 for seed in range(40)]
RANKINGS = [ranking for ranking in RANKINGS if ranking.any()]


def scores(relevant):
    """Scores that fall from first to last, so that scikit-learn sees the same ranking."""
    return -np.arange(len(relevant), dtype=float)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_precision_and_recall_count_the_first_k(k):
    for relevant in RANKINGS:
        hits = sum(bool(found) for place, found in enumerate(relevant, start=1) if place <= k)
        assert measures.precision_at_k(relevant, k) == pytest.approx(hits / k)
        assert measures.recall_at_k(relevant, k) == pytest.approx(hits / relevant.sum())
        assert measures.recall_at_k(relevant, k, total=50) == pytest.approx(hits / 50)


def test_average_precision_is_that_of_scikit_learn():
    for relevant in RANKINGS:
        expected = average_precision_score(relevant, scores(relevant))
        assert measures.average_precision(relevant) == pytest.approx(expected)
        assert measures.average_precision(relevant, total=2 * relevant.sum()) == pytest.approx(expected / 2)


def test_average_precision_is_that_of_a_plain_loop():
    relevant = np.array([True, False, True, False, False, True])
    assert measures.average_precision(relevant) == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)


def test_tied_average_precision_is_that_of_scikit_learn_in_any_order():
    rng = np.random.default_rng(0)
    for _ in range(40):
        distances, relevant = rng.integers(0, 6, 30), rng.random(30) < 0.2
        relevant[3] = True
        expected = average_precision_score(relevant, -distances)
        assert measures.tied_average_precision(distances, np.flatnonzero(relevant)) == pytest.approx(expected)


def test_tied_recall_is_the_mean_over_orders_of_ties():
    rng = np.random.default_rng(1)
    distances, relevant = np.array([2, 1, 1, 5, 1, 1]), np.array([1, 3])
    first = [np.lexsort((rng.random(6), distances))[0] for _ in range(4000)]
    assert measures.tied_recall_at_1(distances, relevant) == 0.25
    assert np.isin(first, relevant).mean() == pytest.approx(0.25, abs=0.03)
    assert measures.tied_recall_at_1(distances, np.array([0])) == 0


@pytest.mark.parametrize("k", [None, 1, 5])
def test_ndcg_is_that_of_scikit_learn(k):
    for relevant in RANKINGS:
        expected = ndcg_score([relevant.astype(float)], [scores(relevant)], k=k)
        assert measures.ndcg(relevant, k=k) == pytest.approx(expected)


def test_ndcg_is_that_of_a_plain_loop():
    relevant = np.array([False, True, True, False])
    gained = 1 / math.log2(3) + 1 / math.log2(4)
    assert measures.ndcg(relevant) == pytest.approx(gained / (1 / math.log2(2) + 1 / math.log2(3)))


def test_ns_score_is_at_most_four():
    assert measures.ns_score(np.array([True, True, False, True, True])) == 3
    assert measures.ns_score(np.array([True, True, True, True, False])) == 4


def test_curve_is_the_best_precision_of_scikit_learns_curve_from_each_recall_on():
    for relevant in RANKINGS:
        precision, recall, _ = precision_recall_curve(relevant, scores(relevant))
        precision, recall = precision[:-1], recall[:-1]  # scikit-learn adds a point that no ranking has
        expected = [precision[recall >= level - 1e-9].max() for level in measures.RECALL_LEVELS]
        assert measures.interpolated_precision(relevant) == pytest.approx(expected)


def test_measures_without_relevant_rows_are_0():
    nothing = np.zeros(5, bool)
    assert measures.average_precision(nothing) == measures.ndcg(nothing) == measures.recall_at_k(nothing, 3) == 0
    assert not measures.interpolated_precision(nothing).any()


def test_interval_is_that_of_a_plain_bootstrap():
    values = np.random.default_rng(3).random(60) ** 2
    rng = np.random.default_rng(7)
    means = sorted(np.mean([values[i] for i in rng.integers(60, size=60)]) for _ in range(999))
    found = measures.estimate(values, level=0.9, resamples=999, seed=7)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 60)
    # 999 means: their 5 % quantile lies between the 50th and the 51st
    assert means[49] <= found.low <= means[50] and means[948] <= found.high <= means[949]


def test_interval_is_near_scipys_and_always_the_same():
    values = np.random.default_rng(4).random(200)
    expected = bootstrap((values,), np.mean, method="percentile", random_state=0).confidence_interval
    found = measures.estimate(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    assert measures.estimate(values) == found
    assert measures.estimate([1.0, 1.0]) == measures.Estimate(1, 1, 1, 2)
