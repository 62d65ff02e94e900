"""Random pairs of a calibration: copies and frames of one scene are no false matches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imrec_core import Recommender
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import l2_normalise
from imrec_core.index.build import build_generation
from imrec_core.index.calibration import Calibration
from imrec_core.index.calibration_pairs import RandomPairs
from imrec_core.index.scenes import Scenes
from imrec_core.search.match_threshold import joint_calibration
from tests.support.toy import vector_lake

NETWORK = "efficientnet_lite0"


def unrelated(count: int, seed: int) -> np.ndarray:
    """Embeddings of different images: positive, around a common mean, as those of a network."""
    rng = np.random.default_rng(seed)
    return l2_normalise(np.abs(rng.normal(size=(count, 1280))) * rng.gamma(2, size=(count, 1)) ** 0.1)


def scene(count: int, seed: int) -> np.ndarray:
    """Embeddings of the frames of a scene, over which a camera moves in two directions."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(2, 1280)) / 1280**0.5
    return l2_normalise(np.abs(unrelated(1, seed) + rng.uniform(-0.25, 0.25, (count, 2)) @ directions))


def opened(folder: Path, vectors: np.ndarray):
    lake = vector_lake(folder / "lake", {NETWORK: vectors})
    build_generation(lake)
    return Recommender.open(lake).generation


@pytest.mark.parametrize("count", [300, 900])
def test_cut_lets_its_rate_through_beside_frames_of_one_scene(tmp_path, count):
    """A tenth of the images are frames; the rate holds for images that the lake does not have."""
    frames = count // 10
    vectors = np.concatenate([unrelated(count - frames, 1), scene(frames, 2)])
    order = np.random.default_rng(0).permutation(count)
    generation = opened(tmp_path, vectors[order])
    calibration = generation.calibration(NETWORK, "cosine")
    matrix = np.asarray(generation.matrix(NETWORK), np.float32)
    different = matrix[order < count - frames]
    similarity = different @ different.T
    distances = 1 - similarity[np.triu_indices(len(different), 1)]
    for rate in (0.1, 0.01, 0.003):
        let_through = (calibration.false_match_rate(distances.astype(np.float32)) <= rate).mean()
        assert rate / 2 <= let_through <= 2 * rate, rate


def test_frames_of_a_scene_are_one_scene_and_others_are_not(tmp_path):
    vectors = np.concatenate([unrelated(80, 3), scene(20, 4)])
    generation = opened(tmp_path, vectors)
    rows = np.arange(100)
    scenes = Scenes.of(generation, rows)
    shared = scenes.are_shared(rows, rows)
    assert shared[80:, 80:].mean() > 0.95 and not shared[:80, 80:].any()
    assert shared[:80, :80].sum() == 80  # each with itself
    assert scenes.share_repeated == pytest.approx(0.2)


def test_lake_of_copies_only_is_calibrated_on_all_its_pairs(tmp_path):
    generation = opened(tmp_path, np.repeat(unrelated(1, 5), 30, axis=0))
    pairs = RandomPairs.of(generation)
    assert pairs.counts.sum() == 30 * 29 / 2
    assert not pairs.distances(generation, FeatureMetric.of(generation.feature(NETWORK))).max() > 1e-3


def test_copies_in_a_repetitive_lake_score_as_such(tmp_path):
    """Each image has three copies, of which one is too far to be linked."""
    rng = np.random.default_rng(6)
    originals = unrelated(40, 7)
    noise = [rng.normal(size=originals.shape) * spread / 1280**0.5 for spread in (0.05, 0.05, 0.45)]
    vectors = np.concatenate([originals, *(l2_normalise(np.abs(originals + some)) for some in noise)])
    generation = opened(tmp_path, vectors)
    assert RandomPairs.of(generation).least_rate == 0.1
    matrix = np.asarray(generation.matrix(NETWORK), np.float32)
    calibration = generation.calibration(NETWORK, "cosine")
    far_copies = 1 - (matrix[:40] * matrix[120:]).sum(axis=1)
    others = 1 - (matrix[:40] @ matrix[:40].T)[np.triu_indices(40, 1)]
    assert far_copies.max() < others.min()
    assert np.median(calibration.score(far_copies.astype(np.float32))) > 0.75
    assert np.median(calibration.score(others.astype(np.float32))) < 0.3


def test_joint_calibration_of_metrics_with_fewer_pairs(large):
    """A metric that is not the default of its feature is calibrated on fewer pairs, and mixed on all."""
    generation = large.generation
    names = ("rgb_histogram:manhattan", "phash:hamming_dihedral", "phash")
    mixed = [FeatureMetric.parse(name, generation.feature).weighted(name, 1.0) for name in names]
    pairs = RandomPairs.of(generation)
    assert len(pairs.enough_for(mixed[0]).queries) < len(pairs.queries) == len(pairs.enough_for(mixed[2]).queries)
    rates = joint_calibration(generation, mixed).false_match_rate(np.array([0.2, 0.9], np.float32))
    assert 0 <= rates[0] < rates[1] <= 1


def test_tail_of_means_of_scores_is_normal():
    distances = np.random.default_rng(9).normal(0.8, 0.05, 100_000).astype(np.float32)
    calibration = Calibration.of(distances, least_rate=0.1).with_normal_tail(distances, 0.1)
    asked = np.quantile(distances, [0.2, 0.1, 0.01, 0.001, 0.0001]).astype(np.float32)
    np.testing.assert_allclose(calibration.false_match_rate(asked), [0.2, 0.1, 0.01, 0.001, 0.0001], rtol=0.4)
    assert list(calibration.distances) == sorted(calibration.distances) and calibration.rates[0] == 0


def test_smaller_rates_than_were_measured_fall_with_the_distance():
    distances = np.sort(np.random.default_rng(8).uniform(0.4, 1, 1000)).astype(np.float32)
    calibration = Calibration.of(distances, least_rate=0.1)
    tenth = distances[99]
    rates = calibration.false_match_rate(np.array([tenth, tenth / 2, tenth / 4, 0], np.float32))
    np.testing.assert_allclose(rates, [0.1, 0.1 / 2**5, 0.1 / 4**5, 0], rtol=0.15)
