"""Ways to reduce vectors: sums that merge, axes that are those of sklearn, settings and limits that are checked."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA

from imrec_core.errors import DeclarationError, LakeError, UnknownName
from imrec_core.features.reduction import METHODS, find_method, kernel_pca, pca
from imrec_core.features.reduction.method import iterate_rows, sample_rows
from imrec_core.features.reduction.neighbours import nearest, share_kept
from imrec_core.features.reduction.pca import Moments, moments_of

WIDTH = 48
LINEAR = ("pca", "whitened_pca")


def embeddings(count: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    """Unit vectors around a few centres, wide in some directions and narrow in others, as they are stored."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, width)) / np.arange(1, width + 1)
    vectors += rng.normal(size=(5, width))[np.arange(count) % 5] / 20
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def in_blocks(vectors: np.ndarray, size: int) -> list:
    return [lambda i=i: vectors[i : i + size] for i in range(0, len(vectors), size)]


def fitted(method: str, vectors: np.ndarray, dims: int, folder: Path = Path("nowhere"), **params):
    return METHODS[method].fit(in_blocks(vectors, 100), dims=dims, folder=folder, **params)


# -- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100])
def test_small_blocks_are_joined_without_loss(size):
    vectors = embeddings(90)
    blocks = [*in_blocks(vectors, size), lambda: vectors[:0]]
    parts = list(iterate_rows(blocks, rows=20))
    np.testing.assert_array_equal(np.concatenate(parts), vectors)
    assert all(len(part) >= 20 for part in parts[:-1])


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), count=st.integers(1, 250), seed=st.integers(0, 99))
def test_sample_is_the_same_however_rows_are_cut(cuts, count, seed):
    vectors = np.arange(400, dtype=np.float32).reshape(200, 2)
    edges = [0, *sorted(cuts), 200]
    blocks = [lambda a=a, b=b: vectors[a:b] for a, b in itertools.pairwise(edges)]
    sample, rows = sample_rows(blocks, count, seed)
    assert rows == 200 and len(sample) == min(count, 200)
    assert len(np.unique(sample[:, 0])) == len(sample)
    np.testing.assert_array_equal(sample, sample_rows([lambda: vectors], count, seed)[0])


def test_every_row_is_as_likely_to_be_sampled():
    vectors = np.arange(8, dtype=np.float32)[:, None]
    drawn = np.concatenate([sample_rows(in_blocks(vectors, 5), 3, seed)[0][:, 0] for seed in range(2000)])
    times = np.bincount(drawn.astype(int), minlength=8)
    assert abs(times - 750).max() < 5 * np.sqrt(750 * 5 / 8)


def test_nearest_rows_are_those_of_a_plain_scan():
    vectors = embeddings(300).astype(np.float32)
    asked = np.arange(0, 300, 2)
    found = nearest(vectors[asked], vectors, 10, own=asked)
    for row, near in zip(asked, found):
        distances = np.linalg.norm(vectors.astype(float) - vectors[row], axis=1)
        distances[row] = np.inf
        np.testing.assert_allclose(np.sort(distances[near]), np.sort(distances)[:10], atol=1e-5)
    assert share_kept(found, found) == 1
    assert share_kept(np.array([[1, 2], [3, 4]]), np.array([[2, 9, 8], [7, 6, 5]])) == 0.25


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


def test_sums_stay_exact_far_from_zero():
    rows = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32) + np.float32(1000)
    found = moments_of([lambda i=i: rows[i : i + 50] for i in range(0, 2000, 50)])
    np.testing.assert_allclose(found.scatter / 1999, np.cov(rows.astype(np.float64).T), atol=1e-3)


def test_moments_of_many_rows_are_those_of_a_sample(monkeypatch):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(20_000, 6)) @ rng.normal(size=(6, 6)) + 3).astype(np.float32)
    blocks = [lambda i=i: rows[i : i + 500] for i in range(0, len(rows), 500)]
    whole = moments_of(blocks)
    monkeypatch.setattr(pca, "_ALL_ROWS", 4096)
    used = []
    monkeypatch.setattr(
        pca.Moments, "of", classmethod(lambda cls, rows, of=Moments.of: used.append(len(rows)) or of(rows))
    )
    sampled = moments_of(blocks)
    assert sampled.count == whole.count == len(rows) and sum(used) < 0.6 * len(rows) and used[0] >= 4096
    np.testing.assert_allclose(sampled.mean, whole.mean, atol=0.15)
    np.testing.assert_allclose(sampled.scatter / whole.count, whole.scatter / whole.count, atol=0.4)


# -- principal components -----------------------------------------------------------------------------------


def test_axes_span_the_subspace_that_sklearn_finds():
    vectors = embeddings(600)
    arrays, facts = fitted("pca", vectors, 16)
    plain = PCA(16, svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(arrays["axes"] @ arrays["axes"].T, np.eye(16), atol=1e-5)
    np.testing.assert_allclose(np.abs(arrays["axes"] @ plain.components_.T), np.eye(16), atol=2e-3)
    np.testing.assert_allclose(arrays["mean"], plain.mean_, atol=1e-5)
    assert facts["variance_kept"] == pytest.approx(plain.explained_variance_ratio_.sum(), abs=1e-4)
    np.testing.assert_allclose(facts["spectrum"], plain.explained_variance_ratio_, atol=1e-5)
    assert (facts["rows"], facts["dims"], facts["axes_with_variance"]) == (600, 16, 16)


def test_axes_agree_with_incremental_pca():
    vectors = embeddings(600).astype(np.float64)
    vectors[:, :4] *= 5  # a subspace that stands out: incremental PCA is inexact where axes are nearly as wide
    axes = fitted("pca", vectors, 4)[0]["axes"]
    incremental = IncrementalPCA(4, batch_size=100).fit(vectors)
    np.testing.assert_allclose(np.linalg.svd(axes @ incremental.components_.T)[1], 1, atol=1e-3)


def test_every_axis_points_the_way_of_its_largest_entry():
    axes = fitted("pca", embeddings(300), 8)[0]["axes"]
    assert (axes[np.arange(8), np.abs(axes).argmax(axis=1)] > 0).all()


def test_whitened_rows_have_unit_covariance():
    vectors = embeddings(700)
    arrays, _ = fitted("whitened_pca", vectors, 12)
    projected = METHODS["whitened_pca"].project(vectors, arrays)
    np.testing.assert_allclose(np.cov(projected.T, bias=True), np.eye(12), atol=2e-3)
    plain = PCA(12, whiten=True, svd_solver="full").fit_transform(vectors.astype(np.float64))
    same = np.abs(np.corrcoef(projected.T, plain.T)[:12, 12:])
    np.testing.assert_allclose(same.diagonal(), 1, atol=1e-3)


@pytest.mark.parametrize("method", LINEAR)
def test_directions_without_variance_stay_small(method):
    vectors = embeddings(500).astype(np.float32)
    vectors[:, 6:40] = vectors[:, :6] @ np.random.default_rng(1).normal(size=(6, 34))  # six directions are left
    vectors[:, 40:] = 0.125
    arrays, facts = fitted(method, vectors, 16)
    projected = METHODS[method].project(vectors, arrays)
    assert facts["axes_with_variance"] == 6
    assert np.abs(projected[:, 6:]).max() < 1e-5
    assert np.abs(projected[:, :6]).min(axis=0).max() < np.abs(projected[:, :6]).max()


@pytest.mark.parametrize("method", [*LINEAR, "kernel_pca"])
def test_fewer_rows_than_axes_is_fine(method):
    vectors = embeddings(5)
    arrays, facts = fitted(method, vectors, 16)
    projected = METHODS[method].project(vectors, arrays)
    assert projected.shape == (5, 16) and np.isfinite(projected).all()
    assert facts["axes_with_variance"] == 4
    assert facts["variance_kept"] == pytest.approx(1, abs=1e-3)
    assert np.abs(projected[:, 4:]).max() < 1e-4
    assert np.abs(projected).max() < 5


@pytest.mark.parametrize("method", [*LINEAR, "kernel_pca"])
def test_equal_rows_project_to_zero(method):
    vectors = np.repeat(embeddings(1), 30, axis=0)
    arrays, facts = fitted(method, vectors, 4)
    assert np.abs(METHODS[method].project(vectors, arrays)).max() < 1e-4
    assert (facts["axes_with_variance"], facts["variance_kept"]) == (0, 0)


# -- kernel PCA ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.3, 4.0])
def test_landmarks_project_as_sklearn_says(gamma):
    vectors = embeddings(220).astype(np.float32)
    arrays, facts = fitted("kernel_pca", vectors, 10, gamma=gamma)
    assert facts["landmarks"] == 220 and (not gamma or facts["gamma"] == pytest.approx(gamma))
    oracle = KernelPCA(10, kernel="rbf", gamma=facts["gamma"], eigen_solver="dense").fit(vectors)
    unseen = embeddings(50, seed=9).astype(np.float32)
    for rows in (vectors, unseen):
        ours, theirs = kernel_pca.project(rows, arrays), oracle.transform(rows)
        signs = np.sign((ours * theirs).sum(axis=0))
        np.testing.assert_allclose(ours, theirs * signs, atol=5e-4)


@pytest.mark.parametrize("dims", [6, 200])
def test_many_landmarks_give_the_axes_of_few(dims, monkeypatch):
    vectors = embeddings(700, width=240)
    many, facts = fitted("kernel_pca", vectors, dims)
    monkeypatch.setattr(kernel_pca, "_FEW", 10_000)
    few, _ = fitted("kernel_pca", vectors, dims)
    for name in many:
        np.testing.assert_allclose(many[name], few[name], atol=1e-5 * max(1, np.abs(few[name]).max()))
    assert facts["axes_with_variance"] == dims


def test_many_equal_landmarks_have_no_axes():
    vectors = np.repeat(embeddings(1), 600, axis=0)
    arrays, facts = fitted("kernel_pca", vectors, 4)
    assert facts["axes_with_variance"] == 0 and not kernel_pca.project(vectors, arrays).any()


def test_gamma_is_one_over_the_median_of_the_squared_distances():
    vectors = embeddings(150).astype(np.float64)
    squares = ((vectors[:, None] - vectors) ** 2).sum(axis=2)[np.triu_indices(150, k=1)]
    assert fitted("kernel_pca", vectors, 4)[1]["gamma"] == pytest.approx(1 / np.median(squares), rel=1e-4)


def test_landmarks_are_a_seeded_sample():
    vectors = embeddings(400)
    one, same, other = (fitted("kernel_pca", vectors, 4, landmarks=50, seed=seed)[0] for seed in (1, 1, 2))
    assert one["landmarks"].shape == (50, WIDTH)
    np.testing.assert_array_equal(one["coefficients"], same["coefficients"])
    assert not np.array_equal(one["landmarks"], other["landmarks"])


def test_vectors_far_from_zero_lose_nothing():
    vectors = embeddings(200).astype(np.float32)
    near, far = fitted("kernel_pca", vectors, 6), fitted("kernel_pca", vectors + 30, 6)
    ours = [np.abs(kernel_pca.project(v, a)) for v, (a, _) in ((vectors, near), (vectors + 30, far))]
    np.testing.assert_allclose(*ours, atol=2e-3)


def test_share_of_the_kernel_is_that_of_all_its_axes():
    vectors = embeddings(60)
    facts = fitted("kernel_pca", vectors, WIDTH)[1]
    curve = facts["curves"]["spectrum of the kernel"]
    plain = KernelPCA(None, kernel="rbf", gamma=facts["gamma"], eigen_solver="dense").fit(vectors.astype(float))
    shares = np.cumsum(plain.eigenvalues_) / plain.eigenvalues_.sum()
    np.testing.assert_allclose(curve["y"], shares[:WIDTH], atol=1e-4)


# -- every method -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_method_keeps_its_promises(name, tmp_path):
    quick = {"trials": 0, "epochs": 1} if name == "autoencoder" else {}
    vectors = embeddings(150)
    method = METHODS[name]
    assert method.name == name and method.summary.endswith(".") and method.source
    arrays, facts = fitted(name, vectors, 8, tmp_path, **method.settings(quick))
    projected = method.project(vectors, arrays)
    assert projected.shape == (150, 8) and projected.dtype == np.float32
    one = np.concatenate([method.project(vectors[i : i + 1], arrays) for i in range(10)])
    np.testing.assert_allclose(one, projected[:10], atol=1e-4)
    assert method.project(vectors[:0], arrays).shape == (0, 8)
    assert (facts["rows"], facts["dims"]) == (150, 8)
    assert facts["curves"]
    for curve in facts["curves"].values():
        assert len(curve["x"]) == len(curve["y"]) > 0 and curve["x_label"] and curve["y_label"]


@pytest.mark.parametrize("name", METHODS)
def test_too_few_rows_are_reported(name, tmp_path):
    least = {"autoencoder": 20, "content_pca": 1}.get(name, 2)
    vectors = embeddings(least)
    with pytest.raises(LakeError, match=f"^{name} needs at least {least} rows; found {least - 1}$"):
        fitted(name, vectors[:-1], 1, tmp_path)
    with pytest.raises(LakeError, match="found 0"):
        METHODS[name].fit([], dims=1, folder=tmp_path)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dims", [0, WIDTH + 1])
def test_more_dims_than_there_are_is_an_error(name, dims, tmp_path):
    with pytest.raises(DeclarationError, match=f"{name} cannot reduce vectors of {WIDTH} dims to {dims}"):
        fitted(name, embeddings(60), dims, tmp_path)


def test_more_axes_than_landmarks_is_an_error():
    with pytest.raises(DeclarationError, match="landmarks is 8; expected more than dims, which is 8"):
        fitted("kernel_pca", embeddings(60), 8, landmarks=8)


def test_unknown_method_and_setting_are_reported():
    with pytest.raises(UnknownName, match="did you mean 'kernel_pca'"):
        find_method("kernel-pca")
    with pytest.raises(UnknownName, match="setting of kernel_pca named 'landmark'; did you mean 'landmarks'"):
        METHODS["kernel_pca"].settings({"landmark": 5})
    assert find_method("pca") is METHODS["pca"]


@pytest.mark.parametrize("value", ["5", True, 2.5, -1])
def test_setting_of_another_type_is_an_error(value):
    with pytest.raises(DeclarationError, match=r"kernel_pca: landmarks is .*; expected a whole number, 0 or more"):
        METHODS["kernel_pca"].settings({"landmarks": value})


def test_settings_are_filled_up_with_defaults():
    found = METHODS["kernel_pca"].settings({"gamma": 2})
    assert found == {"landmarks": 2000, "gamma": 2.0, "seed": 0} and isinstance(found["gamma"], float)
    with pytest.raises(DeclarationError, match="gamma is nan"):
        METHODS["kernel_pca"].settings({"gamma": float("nan")})


def test_importing_and_projecting_stay_light():
    code = (
        "import sys, numpy as np\n"
        "from imrec_core.features.reduction import METHODS, pca\n"
        "a = {'mean': np.zeros(3, 'f4'), 'axes': np.eye(3, dtype='f4')}\n"
        "pca.project(np.ones((2, 3)), a)\n"
        "l = {'linear': a['axes'], 'weight_0': a['axes'], 'bias_0': a['mean'], 'mean': a['mean'], 'scale': 1}\n"
        "assert METHODS['autoencoder'].project(np.ones((2, 3)), l).tolist() == [[2, 2, 2]] * 2\n"
        "print(*sys.modules)"
    )
    root = Path(pca.__file__).parents[2]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert {"torch", "sklearn", "optuna", "scipy.linalg"} & set(loaded.stdout.split()) == set()


# -- content PCA --------------------------------------------------------------------------------------------


def content(vectors: np.ndarray, dims: int, fitted_to: np.ndarray | None = None) -> np.ndarray:
    arrays, _ = fitted("content_pca", vectors if fitted_to is None else fitted_to, dims)
    return METHODS["content_pca"].project(vectors, arrays)


@pytest.mark.parametrize("count", [1, 2, 5, 60, 700])
def test_content_vectors_have_length_1_in_lakes_of_any_size(count):
    projected = content(embeddings(count), 16)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("count", [2, 30, 3000])
def test_equal_images_have_equal_content_vectors(count):
    projected = content(np.repeat(embeddings(1), count, axis=0), 16)
    np.testing.assert_allclose(projected @ projected[0], 1, atol=1e-5)


def test_few_images_keep_the_order_of_their_centred_embeddings():
    vectors = embeddings(40)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64) * 40 / 43
    true = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    projected = content(vectors, WIDTH)
    assert np.corrcoef((projected @ projected.T).ravel(), (true @ true.T).ravel())[0, 1] > 0.97


def test_leading_components_count_more_than_trailing_ones_and_less_the_wider_they_are():
    arrays, facts = fitted("content_pca", embeddings(4000), 32)
    scales = np.linalg.norm(arrays["axes"], axis=1)
    variances = np.array(facts["spectrum"])
    np.testing.assert_allclose(scales, (variances / variances[0]) ** -facts["power"], rtol=0.01)
    assert facts["power"] == pytest.approx(1 / 16)  # half of 1/8 at 4,000 images
    small, facts = fitted("content_pca", embeddings(100), 32)
    scales = np.linalg.norm(small["axes"], axis=1) * np.array(facts["spectrum"]) ** facts["power"]
    np.testing.assert_allclose(scales / scales[0], [1.0] * 15 + [0.7] * 17, rtol=0.01)  # 1.5 √100 lead
