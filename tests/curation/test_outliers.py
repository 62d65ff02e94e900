"""Outliers and nearest neighbours, compared with plain NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from imrec_core import find_issues
from imrec_core.curation import neighbours
from imrec_core.curation.neighbours import iterate_neighbours, open_embedding
from imrec_core.curation.outliers import find_outliers
from imrec_core.errors import QueryError
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from tests.support import toy

FAR = (17, 203)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """Histograms in three clusters, and two that are in none."""
    rng = np.random.default_rng(3)
    centres = rng.dirichlet(np.ones(512) * 0.2, 3)
    histograms = np.abs(centres[rng.integers(0, 3, 400)] + 0.0005 * rng.standard_normal((400, 512)))
    histograms[list(FAR)] = rng.dirichlet(np.ones(512) * 0.2, 2)
    histograms /= histograms.sum(axis=1, keepdims=True)
    lake = toy.vector_lake(
        tmp_path_factory.mktemp("clustered") / "lake", {"rgb_histogram": histograms.astype(np.float32)}
    )
    build_generation(lake)
    return lake


def all_neighbours(embedding, count):
    return map(np.concatenate, zip(*iterate_neighbours(embedding, count), strict=True))


def test_neighbours_are_those_of_plain_numpy(clustered):
    embedding = open_embedding(open_generation(clustered))
    rows, near, distances = all_neighbours(embedding, 5)
    points = embedding.points(rows)
    expected = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :5], atol=1e-5)
    assert not (near == rows[:, None]).any()


def test_graph_finds_the_neighbours_of_the_exact_search(clustered, monkeypatch):
    embedding = open_embedding(open_generation(clustered))
    _, exact, _ = all_neighbours(embedding, 10)
    monkeypatch.setattr(neighbours, "_EXACT_PRODUCTS", 0)
    _, found, _ = all_neighbours(embedding, 10)
    assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.98


def test_outliers_are_the_images_in_no_cluster_and_issues_in_this_lake(clustered, imrec):
    found = find_outliers(clustered, 3)
    assert {int(one.path[-10:-4]) for one in found[:2]} == set(FAR)
    assert found[0].ratio >= found[1].ratio > 2 > found[2].ratio
    assert {int(f.path[-10:-4]) for f in find_issues(clustered).findings("outlier")} == set(FAR)
    listed = json.loads(imrec("outliers", "2", "--json", "--lake", str(clustered.root)).out)
    assert [one["image_id"] for one in listed] == [one.image_id for one in found[:2]]
    assert imrec("outliers", "2", "--lake", str(clustered.root)).out.count(".jpg") == 2


def test_condition_chooses_images_but_not_their_neighbours(clustered):
    whole = {one.path: one.distance for one in find_outliers(clustered, 400)}
    some = find_outliers(clustered, 400, where="row % 2 = 0")
    assert len(some) == 200
    assert all(whole[one.path] == one.distance for one in some)


def test_lake_of_one_image_has_no_outliers_and_says_why(tmp_path):
    lake = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": np.full((1, 512), 1 / 512, np.float32)})
    build_generation(lake)
    with pytest.raises(QueryError, match="1 images can be compared; outliers need two"):
        find_outliers(lake)
    assert find_issues(lake).counts["outlier"] == 0


def test_copies_alone_are_no_outliers(tmp_path):
    lake = toy.vector_lake(tmp_path / "lake", {"rgb_histogram": np.full((30, 512), 1 / 512, np.float32)})
    build_generation(lake)
    assert find_issues(lake).counts["outlier"] == 0
    assert {one.ratio for one in find_outliers(lake)} == {1.0}
