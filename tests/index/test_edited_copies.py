"""Distances of edited copies to their originals: measured in a build, stored as quantiles, and shown."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from imrec_core import FEATURES, Lake
from imrec_core.catalog import manifests
from imrec_core.evaluation.rankers import resolve_rankers
from imrec_core.extraction.embed import ImageEncoder, oriented_features, query_vector
from imrec_core.features.searched import searched
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.images.edits import COPY_PROTOCOL, EDITS
from imrec_core.index import build as index_module
from imrec_core.index import calibration_pairs
from imrec_core.index.build import GenerationReport, build_generation
from imrec_core.index.calibration import SHOWN_RATES, Calibration, PositivePairs
from imrec_core.index.edited_copies import distances_to_original, make_copies
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.settings import MAX_CALIBRATION_COPIES, Settings
from imrec_core.search.query_encoder import QueryEncoder
from imrec_dagster import metadata
from tests.support import toy
from tests.support.toy import set_to, times

TWO = ("rgb_histogram", "phash")
KEPT = "copies kept at"

distances = arrays.arrays(
    np.float32, st.integers(1, 400), elements=st.floats(0, 100, width=32) | st.sampled_from([0, 1, 7])
)


def true_pairs(lake: Lake) -> dict[str, dict]:
    """What is noted of them, by `feature:metric`; nothing of those that have none."""
    noted = open_generation(lake).facts["calibration"]
    return {f"{f}:{m}": of["true_pairs"] for f in noted for m, of in noted[f].items() if "true_pairs" in of}


def shown_copies(lake: Lake, report: GenerationReport) -> dict[str, object]:
    """What Dagster shows of the share of copies kept."""
    return {key: value for key, value in metadata.of_generation(lake, report).items() if key.startswith(KEPT)}


# -- quantiles ----------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(pairs=distances, seed=st.integers(0, 100))
def test_quantiles_are_those_of_the_sorted_distances(pairs, seed):
    made = PositivePairs.of(np.random.default_rng(seed).permutation(pairs))
    ordered = np.sort(pairs)
    assert made.count == len(pairs)
    for percent in range(101):
        expected = ordered[max(0, math.ceil(len(pairs) * percent / 100) - 1)]
        assert made.distances[np.searchsorted(made.shares, percent / 100)] == expected
    assert list(made.distances) == sorted(set(made.distances)) and len(made.distances) <= 101
    assert list(made.shares) == pytest.approx([(pairs <= d).mean() for d in made.distances])


@settings(max_examples=200, deadline=None)
@given(random=distances, pairs=distances, rate=st.sampled_from([*SHOWN_RATES, 0.5, 1.0]) | st.floats(0, 1))
def test_true_match_rate_is_the_share_of_pairs_within_the_threshold(random, pairs, rate):
    calibration = Calibration.of(random)
    assert calibration.true_match_rate(rate) is None
    calibration = Calibration(calibration.distances, calibration.rates, PositivePairs.of(pairs))
    exact = (calibration.false_match_rate(pairs) <= rate).mean()
    assert exact - 0.01 - 1e-9 <= calibration.true_match_rate(rate) <= exact + 1e-9


def test_threshold_that_accepts_all_or_none_has_rate_1_or_0():
    random = Calibration.of(np.linspace(0.5, 1, 10_000, dtype=np.float32))
    near, far = PositivePairs.of(np.full(50, 0.01, np.float32)), PositivePairs.of(np.full(50, 0.9, np.float32))
    assert Calibration(random.distances, random.rates, near).true_match_rate(0.01) == 1
    assert Calibration(random.distances, random.rates, far).true_match_rate(0.01) == 0


# -- measuring ----------------------------------------------------------------------------------------------


def plain_distances(lake: Lake, name: str, metric_name: str) -> np.ndarray:
    """Distances of every image's copies to it, computed without any file of the lake."""
    feature = FEATURES[name]
    metric = feature.find_metric(metric_name)
    found = []
    for path in sorted((lake.root.parent / "photos").iterdir()):
        picture = decode(path.read_bytes()).pixels[..., :3]
        dtype = searched(feature).dtype
        (original,) = feature(ImageBatch([picture])).astype(dtype)
        for edit in COPY_PROTOCOL.values():
            batch = ImageBatch([decode(edit(Image.fromarray(np.ascontiguousarray(picture)))).pixels])
            (query,) = feature.orientations(batch) if metric.takes_several else feature(batch)
            found.append(metric(query.astype(dtype), original[None])[0])
    return np.array(found, np.float32)


def test_every_feature_in_every_metric_is_measured_on_copies_and_their_originals(new_lake):
    lake = new_lake(4, TWO, calibration_copies=100)  # more than there are
    noted = true_pairs(lake)
    assert set(noted) == {f"{name}:{metric.name}" for name in TWO for metric in FEATURES[name].metrics}
    for by, found in noted.items():
        expected = asdict(PositivePairs.of(plain_distances(lake, *by.split(":"))))
        assert found["count"] == expected["count"] == 4 * len(COPY_PROTOCOL)
        # The root of a small difference: Hellinger distances of .007 from products and from scans differ by 1e-5.
        np.testing.assert_allclose(found["distances"], expected["distances"], rtol=1e-5, atol=2e-5, err_msg=by)
        np.testing.assert_allclose(found["shares"], expected["shares"], err_msg=by)
    assert noted["phash:hamming_dihedral"]["distances"] != noted["phash:hamming"]["distances"]
    opened = open_generation(lake).calibration("phash", "hamming").positive_pairs
    assert asdict(opened) == {
        name: tuple(v) if isinstance(v, list) else v for name, v in noted["phash:hamming"].items()
    }


def test_sample_has_the_configured_size_and_is_repeatable(new_lake, monkeypatch):
    asked = []

    def spy(lake, generation, ways, rows, **options):
        asked.append(rows.tolist())
        return make_copies(lake, generation, ways, rows, **options)

    monkeypatch.setattr(calibration_pairs, "make_copies", spy)
    lake = new_lake(12, TWO, calibration_copies=3)
    first = true_pairs(lake)
    assert {of["count"] for of in first.values()} == {3 * len(COPY_PROTOCOL)}
    build_generation(lake, index_module.IndexParams(m=9))
    assert true_pairs(lake) == first
    assert asked[0] == asked[1] == sorted(set(asked[0])) and asked[0] != [0, 1, 2]


def test_copies_are_encoded_by_networks_projections_and_codebooks(toy_lake):
    generation = open_generation(toy_lake)
    ways = resolve_rankers(generation, ["efficientnet_lite0", "sift_vlad", "phash"])
    rows = np.flatnonzero([path.startswith("photo_") for path in generation.rows["path"].to_pylist()])[:2]
    edits = {"png": EDITS["png"], "mirrored": EDITS["mirrored"]}
    for copies in make_copies(toy_lake, generation, ways, rows, edits=edits):
        for name, (unchanged, mirrored) in distances_to_original(generation, ways, copies).items():
            assert unchanged < 0.01 and mirrored > unchanged, name


def test_copies_are_encoded_like_query_images(new_lake):
    lake = new_lake(5, TWO)
    generation = open_generation(lake)
    files = sorted((lake.root.parent / "photos").iterdir())
    ways = resolve_rankers(generation, ["phash:hamming_dihedral", *TWO])
    features = {way.feature.name: way.feature for way in ways.values()}
    made = ImageEncoder(lake).encode(
        [decode(file.read_bytes()).pixels for file in files],
        features.values(),
        generation.fit_versions,
        oriented=oriented_features(ways.values()),
    )
    chosen = [way.weighted(name, 1.0) for name, way in ways.items()]
    for one, other in zip(made, QueryEncoder(lake).encode_each(generation, files, chosen), strict=True):
        for way in ways.values():
            np.testing.assert_array_equal(query_vector(one, way), other.for_metric(way))


# -- what cannot be measured --------------------------------------------------------------------------------


def extracted(new_lake, photos: int, **options) -> Lake:
    """A lake that has everything but a generation."""
    lake = new_lake(photos, TWO, built=False, **options)
    manifests.update(lake)
    toy.extract(lake)
    return lake


def test_missing_image_is_skipped_with_a_warning(new_lake, caplog):
    lake = extracted(new_lake, 4, calibration_copies=10)
    (lake.root.parent / "photos/photo_002.jpg").unlink()
    assert build_generation(lake).rows == 4
    assert {of["count"] for of in true_pairs(lake).values()} == {3 * len(COPY_PROTOCOL)}
    assert caplog.messages == ["image skipped: photos/photo_002.jpg: cannot read the file: No such file or directory"]


def test_image_too_large_for_jpeg_is_skipped_with_a_warning(new_lake, caplog):
    lake = new_lake(2, TWO, built=False, calibration_copies=10)
    Image.new("L", (66_000, 2)).save(lake.root.parent / "photos/long.png")
    manifests.update(lake)
    toy.extract(lake)
    assert build_generation(lake).rows == 3
    assert {of["count"] for of in true_pairs(lake).values()} == {2 * len(COPY_PROTOCOL)}
    assert [line.rpartition(":")[0] for line in caplog.messages] == [
        "image skipped: photos/long.png: the copy cannot be written"
    ]


def test_generation_without_readable_images_is_built_without_pairs(new_lake, caplog):
    lake = extracted(new_lake, 3, calibration_copies=10)
    (lake.root.parent / "photos").rename(lake.root.parent / "away")
    report = build_generation(lake)
    assert report.built and report.rows == 3 and report.copies_kept == {}
    assert true_pairs(lake) == {} and not shown_copies(lake, report)
    assert caplog.messages[-1].startswith("no edited copies for the calibration: none of 3 images can be read")
    assert open_generation(lake).calibration("phash", "hamming").true_match_rate(0.1) is None


def test_lake_of_one_image_has_pairs(new_lake):
    lake = new_lake(1, TWO, calibration_copies=5)
    assert {of["count"] for of in true_pairs(lake).values()} == {len(COPY_PROTOCOL)}
    shares = build_generation(lake).copies_kept
    assert set(shares) == set(TWO) and all(0 <= share <= 1 for of in shares.values() for share in of)


# -- when it is measured ------------------------------------------------------------------------------------


def test_no_copies_are_made_by_default(new_lake, monkeypatch):
    def fail(*args, **options):
        raise AssertionError

    monkeypatch.setattr(calibration_pairs, "make_copies", fail)
    lake = new_lake(3, TWO)
    noted = open_generation(lake).facts["calibration"]
    assert {frozenset(of) for metrics in noted.values() for of in metrics.values()} == {
        frozenset({"distances", "rates"})  # as in generations of before
    }
    assert open_generation(lake).calibration("phash", "hamming").positive_pairs is None
    assert build_generation(lake).copies_kept == {} and not shown_copies(lake, build_generation(lake))


def test_changed_setting_makes_another_generation_and_computes_no_feature(new_lake):
    lake = new_lake(3, TWO)
    before, of_features = plan_generation(lake).fingerprint, times(lake, "features", "images", "catalog")
    set_to(lake, calibration_copies=2)
    assert not is_up_to_date(lake, plan_generation(lake))
    assert build_generation(lake).built and {of["count"] for of in true_pairs(lake).values()} == {
        2 * len(COPY_PROTOCOL)
    }
    assert not build_generation(lake).built
    set_to(lake, calibration_copies=3)
    assert toy.build(lake).built and {of["count"] for of in true_pairs(lake).values()} == {3 * len(COPY_PROTOCOL)}
    set_to(lake, calibration_copies=0)
    assert plan_generation(lake).fingerprint == before
    assert toy.build(lake).built and true_pairs(lake) == {}
    assert times(lake, "features", "images", "catalog") == of_features


def test_new_image_causes_a_new_measurement(new_lake):
    lake = new_lake(3, TWO, calibration_copies=10)
    toy.write_photos(lake.root.parent / "photos", [77])
    toy.build(lake)
    assert {of["count"] for of in true_pairs(lake).values()} == {4 * len(COPY_PROTOCOL)}


def test_nothing_is_published_when_measuring_is_interrupted(new_lake, monkeypatch):
    lake = new_lake(3, TWO)
    set_to(lake, calibration_copies=2)

    def fail(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration_pairs, "make_copies", fail)
    with pytest.raises(KeyboardInterrupt):
        build_generation(lake)
    assert lake.current_generation() == "000001" and not list(lake.root.rglob(".writing-*"))


# -- showing ------------------------------------------------------------------------------------------------


def test_dagster_shows_the_share_of_copies_kept_by_default_metrics(new_lake, caplog):
    caplog.set_level(logging.INFO)
    lake = new_lake(6, TWO, calibration_copies=4)
    report: GenerationReport = build_generation(lake)
    generation: Generation = open_generation(lake)
    assert not report.built and list(report.copies_kept) == list(TWO)  # shown of one that was up to date, too
    shown = shown_copies(lake, report)
    for name in TWO:
        calibration = generation.calibration(name, FEATURES[name].metric.name)
        for rate in (0.1, 0.01, 0.001):
            assert shown[f"{KEPT} {rate:g}: {name}"] == calibration.true_match_rate(rate)
    assert len(shown) == 6
    assert max(report.copies_kept["phash"]) > 0.5 and min(report.copies_kept["rgb_histogram"]) < 1
    assert f"0 of 4 images edited in {len(COPY_PROTOCOL)} ways" in caplog.text


def test_dagster_shows_the_recall_of_each_feature_as_a_number(large_lake):
    report = build_generation(large_lake)
    shown = metadata.of_generation(large_lake, report)
    assert shown["recall@10: rgb_histogram"] == report.recall["rgb_histogram"] > 0.9
    assert [key for key in shown if key.startswith("recall@10")] == ["recall@10: rgb_histogram"]


def test_setting_accepts_its_documented_range():
    assert (
        Settings().calibration_copies == 0
        and Settings(calibration_copies=MAX_CALIBRATION_COPIES).calibration_copies == 10_000
    )
