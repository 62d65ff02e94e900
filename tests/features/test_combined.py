"""Several features as one: the distance is the weighted sum that was declared, and one graph finds it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from imrec_core import FEATURES, ImageId, Lake, Recommender
from imrec_core.errors import BadSettings, LakeError
from imrec_core.features import Feature
from imrec_core.features.combined import combination
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.recall import RECALL_WANTED
from tests.support import toy

# How the squared Euclidean distance that a graph sees follows from the metric.
SQUARED = {
    "hellinger": lambda d: 2 * d**2,
    "cosine": lambda d: 2 * d,
    "correlation": lambda d: 2 * d,
    "hamming": lambda d: d,
    "euclidean": lambda d: d**2,
}
PARTS = (
    "rgb_histogram:hellinger",
    "efficientnet_lite0:cosine",
    "phash:hamming",
    "lbp:euclidean",
    "hsv_histogram:correlation",
)


def vectors_of(name: str, count: int, seed: int = 0) -> np.ndarray:
    """Random vectors as a feature has them."""
    feature = FEATURES[name]
    rng = np.random.default_rng(seed)
    if feature.dtype == "uint64":
        return rng.integers(0, 2**64, (count, feature.width), dtype=np.uint64)
    if feature.unit_norm:
        vectors = rng.normal(size=(count, feature.dims)) + rng.normal(size=feature.dims)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(feature.dtype)
    return rng.dirichlet(np.full(feature.dims, 0.1), size=count).astype(feature.dtype)


def split(by: str) -> tuple[Feature, str]:
    name, _, metric = by.partition(":")
    return FEATURES[name], metric or FEATURES[name].metric.name


def plain_squares(by: str, vectors: np.ndarray) -> np.ndarray:
    """Of every pair of rows, `(n, n)`, from the metric's distances."""
    feature, name = split(by)
    distances = np.stack([feature.find_metric(name)(vector, vectors) for vector in vectors]).astype(np.float64)
    return SQUARED[name](distances)


def combined(weights: Mapping[str, float], matrices: list[np.ndarray], blocks: int = 1) -> tuple[Feature, np.ndarray]:
    """The combination fitted to these rows, cut into blocks, and its vectors as stored."""
    feature = combination("mix", weights, FEATURES)
    count = len(matrices[0])
    edges = np.linspace(0, count, blocks + 1).astype(int)
    read = [lambda a=a, b=b: [m[a:b] for m in matrices] for a, b in itertools.pairwise(edges)]
    fitted, _ = feature.projection.fit(read, None)
    return feature, feature.checked(feature.projection.project(matrices, fitted), count)


def squares(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return ((vectors[:, None] - vectors[None]) ** 2).sum(axis=-1)


# -- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    "weights",
    [
        {"rgb_histogram:hellinger": 1, "phash:hamming": 1},
        {"efficientnet_lite0:cosine": 3, "hsv_histogram:correlation": 0.5},
        {"lbp:euclidean": 1e-3, "rgb_histogram:euclidean": 2e-3},
        {by: i + 1 for i, by in enumerate(PARTS)},
        {"efficientnet_lite0": 2, "rgb_histogram": 1},
    ],
    ids=lambda weights: "+".join(weights),
)
def test_squared_distance_is_the_weighted_sum_of_what_the_metrics_say(weights, blocks):
    matrices = [vectors_of(split(by)[0].name, 40) for by in weights]
    feature, vectors = combined(weights, matrices, blocks)
    assert vectors.dtype == np.float16 and vectors.shape == (40, feature.dims)
    total = np.zeros((40, 40))
    for by, matrix in zip(weights, matrices, strict=True):
        plain = plain_squares(by, matrix)
        total += weights[by] / sum(weights.values()) * plain / plain.mean()
    np.testing.assert_allclose(squares(vectors), total, rtol=0.01, atol=2e-3)
    euclidean = np.stack([feature.metric(vector, vectors) for vector in vectors])
    np.testing.assert_allclose(euclidean**2, squares(vectors), atol=1e-4)


def test_weight_is_the_share_of_the_mean_squared_distance_of_random_images():
    weights = {by: weight for by, weight in zip(PARTS, (5, 1, 2, 0.5, 1.5), strict=True)}
    feature, vectors = combined(weights, [vectors_of(split(by)[0].name, 60) for by in weights])
    first, shares = 0, {}
    for by in weights:
        width = split(by)[0].dims
        shares[by] = squares(vectors[:, first : first + width]).mean()
        first += width
    assert first == feature.dims
    assert shares == pytest.approx({by: weight / 10 for by, weight in weights.items()}, rel=0.01)


def test_scale_of_the_weights_changes_nothing():
    matrices = [vectors_of("rgb_histogram", 20), vectors_of("phash", 20)]
    one, other = (combined({"rgb_histogram": w, "phash": 3 * w}, matrices)[1] for w in (1, 250))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_row_depends_on_its_image_alone():
    weights = {"rgb_histogram": 1, "efficientnet_lite0": 1, "phash": 1}
    matrices = [vectors_of(name, 20) for name in weights]
    feature = combination("mix", weights, FEATURES)
    fitted, facts = feature.projection.fit([lambda: matrices], None)
    together = feature.projection.project(matrices, fitted)
    for row in (0, 7, 19):
        alone = feature.projection.project([m[row : row + 1] for m in matrices], fitted)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)
    assert facts["rows"] == 20
    assert facts["random distance"]["phash:hamming"] == pytest.approx(
        np.sqrt(plain_squares("phash", matrices[2]).mean())
    )


def test_same_feature_counts_by_two_of_its_metrics():
    weights = {"rgb_histogram:hellinger": 1, "rgb_histogram:correlation": 1}
    matrix = vectors_of("rgb_histogram", 30)
    feature, vectors = combined(weights, [matrix, matrix])
    assert feature.dims == 1024
    parts = [plain_squares(by, matrix) for by in weights]
    np.testing.assert_allclose(squares(vectors), sum(p / p.mean() / 2 for p in parts), rtol=0.01, atol=2e-3)


@pytest.mark.parametrize("constant", ["rgb_histogram", "efficientnet_lite0", "phash"])
def test_part_that_is_the_same_in_all_images_has_no_say(constant):
    other = "lbp"
    matrices = [np.repeat(vectors_of(constant, 1), 30, axis=0), vectors_of(other, 30)]
    feature, vectors = combined({constant: 9, other: 1}, matrices)
    plain = plain_squares(f"{other}:{FEATURES[other].metric.name}", matrices[1])
    np.testing.assert_allclose(squares(vectors), plain / plain.mean() / 10, rtol=0.01, atol=1e-3)
    assert np.isfinite(vectors).all()
    moved = [vectors_of(constant, 30, seed=1), matrices[1]]  # pictures of another kind come later
    fitted, _ = feature.projection.fit([lambda: matrices], None)
    assert np.isfinite(feature.checked(feature.projection.project(moved, fitted), 30)).all()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_refused(count):
    feature = combination("mix", {"rgb_histogram": 1, "phash": 1}, FEATURES)
    with pytest.raises(LakeError, match=f"at least 2 readable images; found {count}"):
        feature.projection.fit([lambda: [vectors_of("rgb_histogram", count), vectors_of("phash", count)]], None)


def test_metric_that_needs_no_graph_by_itself_may_still_be_summed_and_others_may_not():
    able = {
        f"{feature.name}:{metric.name}"
        for feature in FEATURES.values()
        for metric in feature.metrics
        if metric.name in SQUARED
    }
    for feature in FEATURES.values():
        for metric in feature.metrics:
            by = f"{feature.name}:{metric.name}"
            other = "dhash" if feature.name != "dhash" else "phash"
            if by in able:
                assert combination("mix", {by: 1, other: 1}, FEATURES).projection.bases[0] is feature
            else:
                with pytest.raises(BadSettings, match="which cannot be combined; use "):
                    combination("mix", {by: 1, other: 1}, FEATURES)


# -- in a lake ----------------------------------------------------------------------------------------------

MIX = {"hog": 2.0, "rgb_histogram:correlation": 1.0, "phash": 1.0}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Thirty photos by three features and what is made of them. For reading only."""
    root = tmp_path_factory.mktemp("combined")
    toy.write_photos(root / "photos", range(30))
    less = {"base": "mix", "dims": 12}
    lake = toy.new_lake(root / "lake", ("rgb_histogram",), combined={"mix": MIX}, projections={"less": less})
    toy.build(lake)
    return lake


def test_combination_is_built_with_all_that_it_is_made_of(lake):
    generation = open_generation(lake)
    assert list(generation.features) == ["rgb_histogram", "mix", "less", "hog", "phash"]
    assert generation.matrix("mix").shape == (30, FEATURES["hog"].dims + 512 + 64)


@pytest.mark.parametrize("by", ["mix", "mix:cosine", "less", "less:manhattan", "mix+phash"])
def test_picture_finds_what_its_id_finds(lake, by):
    recommender = Recommender.open(lake)
    photos = lake.root.parent / "photos"
    for seed in (3, 8, 21):
        asked = by.split("+")
        by_file = recommender.search(photos / f"photo_{seed:03d}.jpg", k=6, by=asked, with_self=True)
        assert by_file[0].path.endswith(f"photo_{seed:03d}.jpg")
        assert by_file[0].parts[asked[0]].distance == pytest.approx(0, abs=0.02)
        by_id = recommender.search(ImageId(by_file[0].image_id), k=5, by=asked)
        assert [hit.image_id for hit in by_id] == [hit.image_id for hit in by_file[1:]]


def test_ranking_is_that_of_the_weighted_sum(lake):
    generation = open_generation(lake)
    total = np.zeros((30, 30))
    for by, weight in MIX.items():
        feature, metric = split(by)
        plain = plain_squares(f"{feature.name}:{metric}", np.asarray(generation.matrix(feature.name)))
        total += weight * plain / plain.mean()
    hits = Recommender.open(lake).search(ImageId(generation.rows["image_id"][4].as_py()), k=29, by="mix")
    found = [generation.row_of(hit.image_id) for hit in hits]
    np.testing.assert_allclose(total[4][found], np.sort(np.delete(total[4], 4)), rtol=0.02)
    np.testing.assert_allclose([hit.parts["mix"].distance ** 2 for hit in hits], total[4][found] / 4, rtol=0.02)


@pytest.mark.usefixtures("graphs_asked")
def test_graph_of_a_combination_finds_what_the_exact_scan_finds(tmp_path):
    matrices = {name: vectors_of(name, 700) for name in ("rgb_histogram", "phash")}
    lake = toy.vector_lake(tmp_path / "lake", matrices)
    toy.set_to(lake, combined={"mix": {"rgb_histogram": 3, "phash": 1}})
    toy.derive(lake)
    build_generation(lake)
    recommender = Recommender.open(lake)
    graph = recommender.generation.graphs["mix:euclidean"]
    assert graph.recall["mix"] >= RECALL_WANTED
    shared = 0
    for row in range(0, 700, 25):
        query = ImageId(recommender.generation.rows["image_id"][row].as_py())
        hits, exact = (recommender.search(query, k=10, by="mix", exact=exact) for exact in (False, True))
        assert "candidates from the graph of mix:euclidean" in hits.plan and "exact scan" in exact.plan
        shared += len({hit.image_id for hit in hits} & {hit.image_id for hit in exact})
    assert shared >= 0.97 * 280
