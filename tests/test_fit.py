"""What is learnt from many images: sums that merge, axes that are the right ones, and fits that hold or do not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from imrec_core import FEATURES, catalog
from imrec_core.errors import DeclarationError, LakeError, MissingTable
from imrec_core.fit import Moments, fit, fit_pca, holds, is_projected, project_shard
from imrec_core.tables import to_matrix
from tests import toy

# The same declarations in small: eigenvectors of 1280 × 1280 would take most of the time here.
BASE = replace(FEATURES["efficientnet_lite0"], dims=96)
DERIVED = replace(FEATURES["efficientnet_lite0_pca"], dims=16)
BOTH = (BASE.name, DERIVED.name)


@pytest.fixture(autouse=True)
def small_features(monkeypatch):
    monkeypatch.setitem(FEATURES, BASE.name, BASE)
    monkeypatch.setitem(FEATURES, DERIVED.name, DERIVED)


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around a few centres, wide in some directions and narrow in others."""
    rng = np.random.default_rng(seed)
    widths = 1 / np.arange(1, BASE.dims + 1)
    vectors = rng.normal(size=(count, BASE.dims)) * widths + rng.normal(size=(5, BASE.dims))[np.arange(count) % 5] / 50
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


# -- moments ------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 60), max_size=5), shift=st.floats(-5, 5))
def test_moments_merged_over_any_split_are_those_of_the_whole(seed, cuts, shift):
    rows = np.random.default_rng(seed).normal(size=(60, 7)).astype(np.float32) + np.float32(shift)
    edges = [0, *sorted(cuts), 60]
    merged = Moments(0, np.zeros(7), np.zeros((7, 7)))
    for first, last in itertools.pairwise(edges):
        merged = merged.merged(Moments.of(rows[first:last]))
    assert merged.count == 60
    np.testing.assert_allclose(merged.mean, rows.astype(np.float64).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(merged.scatter / 59, np.cov(rows.astype(np.float64).T), atol=1e-4)


def test_merging_changes_neither_part():
    one, other = (Moments.of(np.random.default_rng(seed).normal(size=(9, 3))) for seed in (1, 2))
    kept = one.scatter.copy(), other.scatter.copy()
    one.merged(other)
    np.testing.assert_array_equal(kept, (one.scatter, other.scatter))


# -- principal components -----------------------------------------------------------------------------------


def test_axes_span_the_subspace_that_sklearn_finds():
    vectors = embeddings(600)
    small = replace(DERIVED, dims=16)
    arrays, facts = fit_pca(small, [lambda i=i: vectors[i : i + 100] for i in range(0, 600, 100)])
    plain = PCA(16, svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(arrays["axes"] @ arrays["axes"].T, np.eye(16), atol=1e-4)
    np.testing.assert_allclose(np.linalg.svd(arrays["axes"] @ plain.components_.T)[1], 1, atol=1e-3)
    np.testing.assert_allclose(arrays["mean"], plain.mean_, atol=1e-5)
    assert facts["variance_kept"] == pytest.approx(plain.explained_variance_ratio_.sum(), abs=1e-3)
    np.testing.assert_allclose(facts["spectrum"], plain.explained_variance_ratio_, atol=1e-3)
    assert facts["rows"] == 600


def test_every_axis_points_the_way_of_its_largest_entry():
    vectors = embeddings(300)
    arrays, _ = fit_pca(replace(DERIVED, dims=8), [lambda: vectors])
    axes = arrays["axes"]
    assert (axes[np.arange(8), np.abs(axes).argmax(axis=1)] > 0).all()


def test_fewer_images_than_axes_is_fine_and_one_is_not():
    vectors = embeddings(5)
    arrays, facts = fit_pca(DERIVED, [lambda: vectors])
    assert arrays["axes"].shape == (DERIVED.dims, BASE.dims) and np.isfinite(arrays["axes"]).all()
    assert facts["variance_kept"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(LakeError, match="needs at least 2 images, there are 1"):
        fit_pca(DERIVED, [lambda: vectors[:1]])


# -- a fit in a lake ----------------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path):
    return toy.vector_lake(tmp_path / "lake", {BASE.name: embeddings(60)}, shard_size=25)


def test_fit_notes_what_it_was_made_with(lake):
    version = lake.fitted_version(DERIVED.name)
    facts = lake.fitted_facts(DERIVED.name, version)
    assert facts["rows"] == 60 and facts["base"] == BASE.name and facts["base_version"] == BASE.version
    assert facts["base_weights"] == BASE.model.sha256


def test_second_fit_keeps_the_first(lake):
    version = lake.fitted_version(DERIVED.name)
    report = fit(lake, DERIVED)
    assert (report.version, report.fitted) == (version, False)
    assert report.facts["rows"] == 60


def test_stored_vectors_are_the_projected_ones(lake):
    fitted = lake.load_fitted(DERIVED.name, lake.fitted_version(DERIVED.name))
    for shard in lake.shards():
        base = lake.read_table(lake.feature_path(BASE.name, shard))
        derived = lake.read_table(lake.feature_path(DERIVED.name, shard))
        assert derived["image_id"].equals(base["image_id"])
        plain = (to_matrix(base["vector"]).astype(np.float64) - fitted["mean"]) @ fitted["axes"].T.astype(np.float64)
        np.testing.assert_allclose(to_matrix(derived["vector"]), plain, atol=1e-5)


@pytest.mark.parametrize(("count", "still"), [(60, True), (119, True), (120, False)])
def test_fit_holds_until_there_are_twice_the_rows(lake, count, still):
    version = lake.fitted_version(DERIVED.name)
    grown = toy.vector_lake(lake.root, {BASE.name: embeddings(count)}, shard_size=25)
    assert (grown.fitted_version(DERIVED.name) == version) is still


def test_few_more_rows_leave_old_projections_alone(lake):
    before = toy.times(lake, "features")
    toy.vector_lake(lake.root, {BASE.name: embeddings(70)}, shard_size=25)
    touched = {path for path in toy.rewritten(before, toy.times(lake, "features")) if DERIVED.name in path}
    assert touched == {f"features/{DERIVED.name}/photos-0002.parquet"}  # the shard that was not full


def test_new_fit_makes_every_projection_stale(lake, monkeypatch):
    monkeypatch.setitem(FEATURES, DERIVED.name, replace(DERIVED, version=2))
    declared = FEATURES[DERIVED.name]
    assert not holds(lake, declared, lake.fitted_version(DERIVED.name))
    old = lake.fitted_version(DERIVED.name)
    assert fit(lake, declared).fitted and lake.fitted_version(DERIVED.name) != old
    assert not any(is_projected(lake, shard, declared) for shard in lake.shards())
    assert all(project_shard(lake, shard, declared).computed for shard in lake.shards())
    assert all(is_projected(lake, shard, declared) for shard in lake.shards())


def test_other_base_version_means_another_fit(lake, monkeypatch):
    monkeypatch.setitem(FEATURES, BASE.name, replace(BASE, version=2))
    assert not holds(lake, DERIVED, lake.fitted_version(DERIVED.name))
    with pytest.raises(MissingTable, match="efficientnet_lite0 is not up to date for shard 'photos-0000'"):
        fit(lake, DERIVED)


def test_projection_follows_the_vectors_of_its_base(lake):
    path = lake.feature_path(BASE.name, "photos-0000")
    lake.write_table(path, lake.read_table(path), lake.made_from(path) | {"precision": "bf16"})
    assert not is_projected(lake, "photos-0000", DERIVED) and is_projected(lake, "photos-0001", DERIVED)
    assert project_shard(lake, "photos-0000", DERIVED).computed
    assert not project_shard(lake, "photos-0000", DERIVED).computed


def test_lost_fit_is_made_again_with_the_same_numbers(lake):
    version = lake.fitted_version(DERIVED.name)
    before = lake.load_fitted(DERIVED.name, version)
    lake.fitted_path(DERIVED.name, version).unlink()
    report = fit(lake, DERIVED)
    assert report.fitted and report.version == version
    np.testing.assert_array_equal(lake.load_fitted(DERIVED.name, version)["axes"], before["axes"])


def test_projecting_before_fitting_is_an_error(new_lake):
    lake = new_lake(3, BOTH, built=False)
    catalog.update(lake)
    with pytest.raises(MissingTable, match="not fitted yet"):
        project_shard(lake, "photos-0000", DERIVED)


def test_fitting_before_extracting_is_an_error(new_lake):
    lake = new_lake(3, BOTH, built=False)
    catalog.update(lake)
    with pytest.raises(MissingTable, match="efficientnet_lite0 is not up to date"):
        fit(lake, DERIVED)


def test_fitting_what_needs_none_is_an_error(lake):
    with pytest.raises(DeclarationError, match="phash is not computed from another feature"):
        fit(lake, FEATURES["phash"])
