"""Images with nothing to compare: black, plain, one pixel, gradients, noise in the dark."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imrec_core import FEATURES, ImageId, Recommender
from imrec_core.features import Feature
from imrec_core.index.build import IndexParams, build_generation
from tests.support import toy
from tests.support.toy import ids

BLANKS = {
    "black.png": np.zeros((120, 160, 3), np.uint8),
    "dark_noise.png": np.random.default_rng(0).integers(0, 4, (120, 160, 3), dtype=np.uint8),
    "gradient.png": np.broadcast_to(np.linspace(0, 255, 160).astype(np.uint8)[:, None], (120, 160, 3)),
    "one_pixel.png": np.full((1, 1, 3), 9, np.uint8),
    "plain.png": np.full((120, 160, 3), (90, 120, 40), np.uint8),
}
PLAIN = {"black.png", "one_pixel.png", "plain.png"}
FEATURES_WITH_BLANKS = [name for name, feature in FEATURES.items() if feature.blank]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Recommender:
    folder = tmp_path_factory.mktemp("blank")
    toy.write_photos(folder / "photos", range(40), specks=20)
    for name, pixels in BLANKS.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "photos" / name)
    lake = toy.new_lake(folder / "lake", ("hsv_histogram", *FEATURES_WITH_BLANKS))
    toy.build(lake)
    return Recommender.open(lake)


def file(lake: Recommender, name: str) -> Path:
    return lake.lake.root.parent / "photos" / name


def scores(hits, part: str = "") -> dict[str, float]:
    return {Path(hit.path).name: hit.parts[part].score if part else hit.score for hit in hits}


def blank_names(lake: Recommender, feature: Feature) -> set[str]:
    assert feature.blank is not None
    blank = feature.blank.find(np.asarray(lake.generation.matrix(feature.name)))
    return {path for path, is_blank in zip(lake.generation.rows["path"].to_pylist(), blank, strict=True) if is_blank}


# -- vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES_WITH_BLANKS)
def test_plain_images_are_blank_and_photos_are_not(lake, name):
    assert blank_names(lake, FEATURES[name]) >= PLAIN
    assert blank_names(lake, FEATURES[name]) <= BLANKS.keys()


# -- one feature --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES_WITH_BLANKS)
@pytest.mark.parametrize("query", sorted(PLAIN))
def test_blank_query_claims_nothing_and_says_so(lake, name, query):
    hits = lake.search(file(lake, query), by=name, k=45, with_self=True)
    lacks = FEATURES[name].blank.lacks
    assert hits.notes == (f"{name}: the query has no {lacks}",)
    assert {(hit.score, hit.parts[name].score, hit.parts[name].note) for hit in hits} == {
        (0, 0, f"the query has no {lacks}")
    }
    assert len(hits) == 45 and not lake.search(file(lake, query), by=name, max_false_match_rate=0.5)


@pytest.mark.parametrize("name", FEATURES_WITH_BLANKS)
def test_blank_images_come_last(lake, name):
    hits = lake.search(file(lake, "photo_003.jpg"), by=name, k=45, with_self=True)
    blank = blank_names(lake, FEATURES[name])
    assert not hits.notes and hits[0].score == 1
    assert {Path(hit.path).name for hit in hits[-len(blank) :]} == blank
    assert {hit.score for hit in hits[-len(blank) :]} == {0}
    notes = {hit.parts[name].note for hit in hits[-len(blank) :]}
    assert notes == {f"the image has no {FEATURES[name].blank.lacks}"}
    assert not any(hit.parts[name].note for hit in hits[: -len(blank)])


def test_sift_finds_no_keypoints_in_gradients_and_dark_noise(lake):
    assert blank_names(lake, FEATURES["sift_vlad"]) == BLANKS.keys()
    hits = lake.search(file(lake, "dark_noise.png"), by="sift_vlad", k=45)
    assert hits.notes == ("sift_vlad: the query has no keypoints",) and {hit.score for hit in hits} == {0}


def test_blank_image_of_the_lake_or_in_memory_says_the_same(lake):
    name = "sift_vlad"
    of_lake = lake.search(ImageId(ids(lake.search(file(lake, "black.png"), by="hsv_histogram"))[0]), by=name)
    held = io.BytesIO()
    Image.fromarray(BLANKS["black.png"]).save(held, "PNG")
    assert of_lake.notes == lake.search(held, by=name).notes == (f"{name}: the query has no keypoints",)
    (each,) = lake.search_each([held], by=name, exact=True)
    assert each.notes == of_lake.notes and {hit.score for hit in each} == {0}


# -- several queries and features ---------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "best", "all"])
@pytest.mark.parametrize("name", FEATURES_WITH_BLANKS)
def test_blank_like_leaves_the_others_alone(lake, name, pool):
    photo = file(lake, "photo_003.jpg")
    alone, both = (
        lake.search(like=likes, by=name, pool=pool, k=45, with_self=True)
        for likes in ([photo], [photo, file(lake, "black.png")])
    )
    assert scores(both) == scores(alone) and not both.notes


def test_blank_unlike_takes_nothing(lake):
    photo = file(lake, "photo_003.jpg")
    alone = lake.search(photo, by="sift_vlad", k=45, with_self=True)
    without = lake.search(like=photo, unlike=file(lake, "black.png"), by="sift_vlad", k=45, with_self=True)
    assert scores(without) == scores(alone)


def test_other_features_decide_alone_for_a_blank_query(lake):
    query = file(lake, "plain.png")
    by = {"sift_vlad": 0.7, "hsv_histogram": 0.3}
    alone, mixed = (lake.search(query, by=some, k=45) for some in ("hsv_histogram", by))
    assert scores(mixed) == scores(alone) and mixed.notes == ("sift_vlad: the query has no keypoints",)
    assert ids(mixed) == ids(alone)
    assert scores(mixed, "sift_vlad") == dict.fromkeys(scores(alone), 0)
    near = lake.search(query, by=by, max_false_match_rate=0.02, k=45)
    assert ids(near) == ids(lake.search(query, by="hsv_histogram", max_false_match_rate=0.02, k=45))


@pytest.mark.parametrize("fuse", ["score", "rrf", "dbsf"])
def test_blank_image_gains_nothing_from_the_feature_that_cannot_compare_it(lake, fuse):
    hits = lake.search(
        file(lake, "photo_003.jpg"), by={"sift_vlad": 0.5, "hsv_histogram": 0.5}, fuse=fuse, k=45, with_self=True
    )
    assert 0.9 < hits[0].score <= 1 and (np.diff([hit.score for hit in hits]) <= 0).all()
    for hit in hits:
        if Path(hit.path).name in BLANKS:
            assert hit.parts["sift_vlad"].note == "the image has no keypoints"
            assert hit.score < {"score": 0.1, "rrf": 0.8, "dbsf": 0.5}[fuse]


# -- output -------------------------------------------------------------------------------------------------


def test_json_and_tables_hold_plain_numbers_and_notes(lake):
    hits = lake.search(file(lake, "black.png"), by=["sift_vlad", "hsv_histogram"])
    document = json.loads(hits.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert document["notes"] == ["sift_vlad: the query has no keypoints"]
    assert document["hits"][0]["parts"]["sift_vlad"]["note"] == "the query has no keypoints"
    assert document["hits"][0]["parts"]["hsv_histogram"]["note"] == ""
    table = hits.to_arrow()
    assert table["sift_vlad_note"].to_pylist() == ["the query has no keypoints"] * 5
    assert np.isfinite(table["sift_vlad_distance"]).all()


def test_command_says_so(lake, imrec):
    shown = imrec("search", file(lake, "black.png"), "--by", "sift_vlad", "--lake", lake.lake.root)
    assert shown.err.splitlines()[-1] == "sift_vlad: the query has no keypoints"
    assert "query has no keypoints" in shown.out and "0.000" in shown.out


# -- many rows ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half_blank(tmp_path_factory) -> Recommender:
    """3,000 vectors of `hog`: every second one blank, a tenth farther from all others than the blank ones."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(3000, 324))
    vectors[:, 0] = 8
    vectors[::10, 0] = -8
    vectors[1::2] = 0
    lake = toy.vector_lake(tmp_path_factory.mktemp("half") / "lake", {"hog": vectors})
    build_generation(lake, IndexParams())
    return Recommender.open(lake)


@pytest.mark.parametrize("row", [0, 2, 4, 1])
def test_graph_and_exact_search_agree(half_blank, row):
    query = ImageId(half_blank.generation.rows["image_id"][row].as_py())
    exact, graph = (half_blank.search(query, k=200, exact=is_exact) for is_exact in (True, False))
    assert len(set(ids(exact)) & set(ids(graph))) >= 190
    assert [hit.parts["hog"].note for hit in graph] == [hit.parts["hog"].note for hit in exact]
    assert all(bool(hit.parts["hog"].note) == (row == 1) for hit in graph)
    assert graph.plan != exact.plan and graph.notes == exact.notes


def test_blank_images_do_not_lower_the_scores_of_others(half_blank):
    """Equal vectors of blank images were a quarter of the random pairs, so that no near copy scored above 0.3."""
    calibration = half_blank.generation.calibration("hog", "euclidean")
    assert calibration.score(np.array([0.01], np.float32))[0] > 0.8
