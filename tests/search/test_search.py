"""Searches: types of queries, options, hits, and invalid requests."""

from __future__ import annotations

import json
import math
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, ImageOps

from imrec_core import FEATURES, ImageBatch, ImageId, Recommender, Text
from imrec_core.catalog.ids import image_id
from imrec_core.errors import (
    BadFilter,
    BadWeights,
    DeclarationError,
    EmptyQuery,
    ImageTooLarge,
    QueryError,
    TruncatedImage,
    UnknownName,
    UnreadableImage,
)
from imrec_core.images.decode import decode
from imrec_core.images.hashing import content_hash
from imrec_core.index.build import build_generation
from imrec_core.models import text_encoder
from imrec_core.search import query_images
from imrec_core.search.query import UploadedImage
from tests.support import toy
from tests.support.pictures import BROKEN, PICTURES, noise, stripes
from tests.support.toy import ids

SEVERAL = ["efficientnet_lite0", "rgb_histogram", "phash"]


def upright_rgba(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image).convert("RGBA")


def identity(name: str) -> ImageId:
    return ImageId(image_id("photos", name))


# -- kinds of queries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photo_007.jpg", "drawn/stripes.png", "drawn/exif_6.jpg", "drawn/alpha.png"])
def test_all_forms_of_an_image_give_the_same_hits(recommender, photos, name):
    path = photos / name
    with Image.open(path) as image:
        queries = {
            "path": path,
            "string": str(path),
            "bytes": path.read_bytes(),
            "pillow": image,
            "array": decode(path.read_bytes()).pixels[..., :3],
            "rgba array": np.asarray(upright_rgba(image)),
            "file in memory": BytesIO(path.read_bytes()),
            "bytearray": bytearray(path.read_bytes()),
            "memoryview": memoryview(path.read_bytes()),
            "tensor": torch.from_numpy(decode(path.read_bytes()).pixels[..., :3].copy()),
            "tensor, channels first": torch.from_numpy(decode(path.read_bytes()).pixels[..., :3].copy()).movedim(2, 0),
        }
        answers = {kind: recommender.search(query, k=6, by=SEVERAL, with_self=True) for kind, query in queries.items()}
    for kind, hits in answers.items():
        assert hits[0].image_id == identity(name).value and hits[0].rank == 1, kind
        assert hits[0].score == pytest.approx(1, abs=0.02), kind
        assert ids(hits)[:3] == ids(answers["path"])[:3], kind
    for kind in ("string", "bytes"):
        assert answers[kind].hits == answers["path"].hits
    found = recommender.search(identity(name), k=5, by=SEVERAL)
    assert ids(found) == ids(answers["path"])[1:]


def test_vector_finds_what_its_image_finds(recommender, photos):
    path = photos / "photo_010.jpg"
    batch = ImageBatch([decode(path.read_bytes()).pixels])
    for name in SEVERAL:
        vector = recommender.vector(path, name) if name == "efficientnet_lite0" else FEATURES[name](batch)[0]
        assert ids(recommender.search(vector, by=name)) == ids(recommender.search(path, by=name, with_self=True))
    stored = np.array(recommender.generation.matrix("efficientnet_lite0")[3])
    assert recommender.search(stored, by="efficientnet_lite0")[0].parts["efficientnet_lite0"].distance == 0


def test_image_of_the_lake_is_not_its_own_hit_but_its_copy_is(new_lake):
    lake = new_lake(4, ("phash",), built=False)
    folder = lake.root.parent / "photos"
    (folder / "copy.jpg").write_bytes((folder / "photo_001.jpg").read_bytes())
    toy.build(lake)
    hits = Recommender.open(lake).search(identity("photo_001.jpg"), k=10)
    assert len(hits) == 4 and identity("photo_001.jpg").value not in ids(hits)
    assert hits[0].image_id == identity("copy.jpg").value and hits[0].score == 1


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> tuple[Recommender, Path]:
    """A lake in which `copy.jpg` has the bytes of `photo_001.jpg`, and its folder."""
    root = tmp_path_factory.mktemp("copied")
    toy.write_photos(root / "photos", range(4))
    (root / "photos" / "copy.jpg").write_bytes((root / "photos" / "photo_001.jpg").read_bytes())
    lake = toy.new_lake(root / "lake", ("phash",))
    toy.build(lake)
    return Recommender.open(lake), root / "photos"


def upload_of(data: bytes) -> UploadedImage:
    return UploadedImage(data, max_pixels=10**6)


@pytest.mark.parametrize("kind", [Path, str, ImageId])
def test_file_in_a_source_is_not_its_own_hit_but_its_copy_is(copied, kind):
    recommender, photos = copied
    query = identity("photo_001.jpg") if kind is ImageId else kind(photos / "photo_001.jpg")
    names = [Path(hit.path).name for hit in recommender.search(query, k=9)]
    assert names[0] == "copy.jpg" and len(names) == 4 and "photo_001.jpg" not in names
    kept = recommender.search(query, k=9, with_self=True)
    assert len(kept) == 5 and {Path(hit.path).name for hit in kept[:2]} == {"copy.jpg", "photo_001.jpg"}


@pytest.mark.parametrize("kind", ["bytes", "upload", "file elsewhere", "link to the file"])
def test_image_with_the_bytes_of_the_query_is_no_hit(copied, kind, tmp_path):
    recommender, photos = copied
    data = (photos / "photo_001.jpg").read_bytes()
    (tmp_path / "mine.jpg").write_bytes(data)
    (tmp_path / "link.jpg").symlink_to(photos / "photo_001.jpg")
    queries = {"bytes": data, "upload": upload_of(data), "file elsewhere": tmp_path / "mine.jpg"}
    query = queries.get(kind, tmp_path / "link.jpg")
    for exact in (False, True):
        (each,) = recommender.search_each([query], k=9, exact=exact)
        for hits in (recommender.search(query, k=9, exact=exact), each):
            assert {Path(hit.path).name for hit in hits} == {f"photo_00{i}.jpg" for i in (0, 2, 3)}
        (each,) = recommender.search_each([query], k=9, exact=exact, with_self=True)
        assert len(each) == len(recommender.search(query, k=9, exact=exact, with_self=True)) == 5


def test_unlike_with_the_bytes_of_an_image_is_no_hit(copied):
    recommender, photos = copied
    data = (photos / "photo_001.jpg").read_bytes()
    hits = recommender.search(photos / "photo_000.jpg", unlike=data, k=9)
    assert {Path(hit.path).name for hit in hits} == {"photo_002.jpg", "photo_003.jpg"}


def test_changed_file_of_a_source_is_still_no_hit_of_itself(new_lake):
    lake = new_lake(4, ("phash",))
    file = lake.root.parent / "photos" / "photo_001.jpg"
    file.write_bytes(PICTURES["stripes.png"]())
    assert {Path(hit.path).name for hit in Recommender.open(lake).search(file, k=9)} == {
        f"photo_00{i}.jpg" for i in (0, 2, 3)
    }


def test_removed_image_with_the_bytes_of_the_query_does_not_matter(new_lake):
    lake = new_lake(20, ("phash",))
    file = lake.root.parent / "photos" / "photo_001.jpg"
    data = file.read_bytes()
    file.unlink()
    toy.build(lake)
    recommender = Recommender.open(lake)
    assert query_images.rows_of_content(recommender.generation, content_hash(data)).tolist() == []
    assert len(recommender.search(data, k=99)) == 19


def test_metric_that_is_newer_than_the_generation_is_calibrated(new_lake):
    lake = new_lake(12, ("rgb_histogram",))

    def without(facts):
        calibrations = {name: dict(metrics) for name, metrics in facts["calibration"].items()}
        del calibrations["rgb_histogram"]["chi_square"]
        return {**facts, "calibration": calibrations}

    query = identity("photo_001.jpg")
    before = Recommender.open(lake).search(query, by="rgb_histogram:chi_square").hits
    toy.edit_manifest(lake, "000001", without)
    assert Recommender.open(lake).search(query, by="rgb_histogram:chi2")[0].score == before[0].score
    assert Recommender.open(lake).search(query, by="rgb_histogram:chi_square").hits == before


def test_image_id_needs_neither_file_nor_model(recommender, monkeypatch):
    monkeypatch.setattr("imrec_core.images.decode.decode", lambda *a, **k: pytest.fail("decoded"))
    monkeypatch.setattr("imrec_core.models.encoders.encoder_of", lambda *a, **k: pytest.fail("loaded a network"))
    assert len(recommender.search(identity("photo_001.jpg"), by=SEVERAL)) == 5


def test_like_equals_query(recommender, photos):
    path = photos / "photo_002.jpg"
    assert recommender.search(like=path).hits == recommender.search(path).hits


def test_rotated_photo_finds_itself(recommender, photos):
    with Image.open(photos / "drawn" / "exif_6.jpg") as image:
        assert image.getexif()[0x0112] == 6
        assert recommender.search(image, k=1)[0].path == str(photos / "drawn" / "exif_6.jpg")


def test_smaller_copy_in_another_format_finds_the_original(recommender, photos):
    with Image.open(photos / "photo_012.jpg") as image:
        smaller = image.resize((120, 90))
    file = BytesIO()
    smaller.save(file, "WEBP", quality=80)
    assert recommender.search(file.getvalue(), k=1, by=SEVERAL)[0].path == str(photos / "photo_012.jpg")


def test_text_finds_the_nearest_images_also_in_a_projection(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(40, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lake = toy.vector_lake(tmp_path / "lake", {"clip_vit_b32": vectors, "phash": np.zeros((40, 1), np.uint64)})
    toy.set_to(
        lake, projections={name: {"base": base, "dims": 9} for name, base in (("a", "clip_vit_b32"), ("b", "a"))}
    )
    toy.derive(lake)
    build_generation(lake)
    asked = []
    monkeypatch.setattr(
        text_encoder, "encode_text", lambda model, texts: asked.append((model.name, texts)) or vectors[17:18]
    )
    recommender = Recommender.open(lake)
    for by in (None, "clip_vit_b32", "a", "b", ["a", "clip_vit_b32"]):
        assert recommender.search(Text("a red car"), by=by)[0].image_id == identity("000017.jpg").value
        assert asked[-1] == ("clip_vit_b32", ["a red car"])
    with pytest.raises(QueryError, match="phash does not support text"):
        recommender.search(Text("a red car"), by=["a", "phash"])


# -- how many, and in which order ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 56, 57, 10_000])
def test_there_are_k_hits_or_all_images(recommender, photos, k):
    hits = recommender.search(photos / "photo_000.jpg", k=k, by=SEVERAL, with_self=True)
    assert len(hits) == min(k, len(recommender))
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(set(ids(hits))) == len(hits)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3"])
def test_invalid_k_is_refused(recommender, photos, k):
    with pytest.raises(QueryError, match=r"k is .*; it must be a whole number of 1 or more"):
        recommender.search(photos / "photo_000.jpg", k=k)


SEARCHED = [name for name in toy.AT_HAND if not name.endswith("_content")]


@pytest.mark.parametrize("by", [f"{name}:{metric.name}" for name in SEARCHED for metric in FEATURES[name].metrics])
def test_every_feature_and_metric_ranks_by_its_exact_distance(recommender, by):
    name, _, metric = by.partition(":")
    generation = recommender.generation
    row = 20
    hits = recommender.search(ImageId(generation.rows["image_id"][row].as_py()), k=60, by=by)
    matrix = np.asarray(generation.matrix(name))
    feature = FEATURES[name]
    exact = feature.find_metric(metric)
    distances = exact(feature.as_query(matrix[row], exact), matrix)
    found = [generation.row_of(image_id) for image_id in ids(hits)]
    assert sorted([row, *found]) == list(range(len(matrix)))
    shown = np.array([hit.parts[by].distance for hit in hits if not hit.parts[by].note])
    np.testing.assert_allclose(shown, distances[found[: len(shown)]], rtol=1e-5, atol=1e-5)
    assert (np.diff(shown) >= 0).all()
    blank = feature.blank.find(matrix) if feature.blank else np.zeros(len(matrix), np.bool_)
    assert blank[row] or blank[found].tolist() == [i >= len(shown) for i in range(len(found))]
    assert len(shown) == (0 if blank[row] else len(matrix) - 1 - blank.sum())
    scores = np.array([hit.score for hit in hits])
    assert scores.min() >= 0 and scores.max() <= 1 and (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(scores, [hit.parts[by].score for hit in hits])


def test_equal_hits_come_in_the_order_of_the_rows(new_lake):
    lake = new_lake(0, ("phash",), built=False)
    for name in "cabd":
        (lake.root.parent / "photos" / f"{name}.jpg").write_bytes(PICTURES["noise.jpg"]())
    toy.build(lake)
    hits = Recommender.open(lake).search(PICTURES["noise.jpg"](), with_self=True)
    assert [Path(hit.path).stem for hit in hits] == list("abcd")


def test_fused_score_is_the_weighted_mean_of_the_parts(recommender, photos):
    by = {"efficientnet_lite0": 3, "rgb_histogram:manhattan": 1, "phash": 0.5}
    hits = recommender.search(photos / "photo_005.jpg", k=20, by=by)
    for hit in hits:
        assert list(hit.parts) == list(by)
        mean = sum(w * hit.parts[name].score for name, w in by.items()) / 4.5
        assert hit.score == pytest.approx(mean)
    assert (np.diff([hit.score for hit in hits]) <= 0).all()


def test_scale_of_the_weights_does_not_matter(recommender, photos):
    asked = [{"rgb_histogram": 1 * s, "phash": 0.25 * s} for s in (1, 4, 1024)]
    answers = [recommender.search(photos / "photo_006.jpg", k=30, by=by) for by in asked]
    assert answers[0].hits == answers[1].hits == answers[2].hits


def test_one_feature_is_the_same_as_a_string_a_list_and_a_mapping(recommender, photos):
    path = photos / "photo_006.jpg"
    answers = [recommender.search(path, k=30, by=by).hits for by in ("phash", ["phash"], ("phash",), {"phash": 7})]
    assert all(answer == answers[0] for answer in answers)
    assert recommender.search(path).hits == recommender.search(path, by="efficientnet_lite0").hits


def test_feature_of_weight_0_is_returned_but_not_fused(recommender, photos):
    path = photos / "photo_006.jpg"
    shown = recommender.search(path, k=10, by={"rgb_histogram": 1, "hsv_histogram": 0})
    assert ids(shown) == ids(recommender.search(path, k=10, by="rgb_histogram"))
    assert "hsv_histogram" in shown[0].parts


# -- where --------------------------------------------------------------------------------------------------


def test_condition_that_is_always_true_does_not_matter(recommender, photos):
    path = photos / "photo_008.jpg"
    assert recommender.search(path, k=20, where="true").hits == recommender.search(path, k=20).hits


def test_condition_selects_hits_in_the_same_order(recommender, photos):
    path = photos / "photo_008.jpg"
    every = recommender.search(path, k=100)
    some = recommender.search(path, k=100, where="path LIKE 'drawn/%'")
    assert ids(some) == [hit.image_id for hit in every if "/drawn/" in hit.path]
    assert "exact scan of 16 rows" in some.plan


def test_condition_without_matches_gives_no_hits(recommender, photos):
    hits = recommender.search(photos / "photo_008.jpg", where="width > 100000", by=SEVERAL)
    assert len(hits) == 0 and list(hits) == [] and hits.to_dicts() == []
    assert hits.to_polars().columns[:5] == ["rank", "image_id", "source", "path", "score"]


def test_invalid_condition_is_refused_with_the_columns(recommender, photos):
    with pytest.raises(BadFilter, match=r"columns: row, image_id, source, path, .*width"):
        recommender.search(photos / "photo_008.jpg", where="widht > 3")


def test_condition_that_only_the_query_meets_gives_no_hits(recommender):
    query = identity("photo_001.jpg")
    assert len(recommender.search(query, where=f"image_id = '{query.value}'")) == 0


# -- graphs -------------------------------------------------------------------------------------------------


def gallery_query(large: Recommender, row: int) -> ImageId:
    return ImageId(large.generation.rows["image_id"][row].as_py())


@pytest.mark.usefixtures("graphs_asked")
def test_graph_finds_what_the_exact_scan_finds(large):
    shared = 0
    for row in range(0, 700, 25):
        query = gallery_query(large, row)
        by_graph, exact = large.search(query, k=10), large.search(query, k=10, exact=True)
        assert "candidates from the graph of rgb_histogram:hellinger" in by_graph.plan
        assert exact.plan == "exact scan of 700 rows"
        shared += len(set(ids(by_graph)) & set(ids(exact)))
    assert shared >= 0.97 * 280


@pytest.mark.usefixtures("graphs_asked")
def test_several_features_pool_their_candidates(large):
    query = gallery_query(large, 77)
    hits = large.search(query, k=10, by=["rgb_histogram", "phash"])
    assert "the graph of rgb_histogram:hellinger, a scan of 700 rows by phash, ranked exactly" in hits.plan
    for name in ("rgb_histogram", "phash"):
        nearest = large.search(query, k=1, by=name, exact=True)[0]
        pooled = large.search(query, k=700, by=["rgb_histogram", "phash"])
        assert nearest.image_id in ids(pooled)


@pytest.mark.usefixtures("graphs_asked")
def test_image_of_the_lake_gets_k_hits_from_a_graph(large):
    hits = large.search(gallery_query(large, 30), k=150)
    assert "candidates from the graph" in hits.plan and len(hits) == 150


@pytest.mark.usefixtures("graphs_asked")
def test_condition_over_a_graph_gives_the_hits_of_an_exact_search(large):
    shared = 0
    for row in range(0, 700, 25):
        asked = {"k": 5, "where": "row % 10 <> 3", "by": "rgb_histogram"}
        hits = large.search(gallery_query(large, row), **asked)
        assert "candidates from the graph" in hits.plan
        assert all(large.generation.row_of(image_id) % 10 != 3 for image_id in ids(hits))
        shared += len(set(ids(hits)) & set(ids(large.search(gallery_query(large, row), exact=True, **asked))))
    assert shared >= 0.97 * 140


@pytest.mark.usefixtures("graphs_asked")
def test_selective_condition_uses_an_exact_search(large):
    query = gallery_query(large, 4)
    far = ids(large.search(query, k=700, exact=True, by="rgb_histogram"))[-300:]
    hits = large.search(query, k=3, where=f"image_id IN ({', '.join(map(repr, far))})", by="rgb_histogram")
    assert hits.plan == "100 candidates from a scan of 300 rows by rgb_histogram, ranked exactly"
    assert ids(hits) == far[:3]


def test_few_matching_rows_are_all_ranked_exactly(large):
    farthest = ids(large.search(gallery_query(large, 4), k=700, exact=True))[-1]
    hits = large.search(gallery_query(large, 4), k=3, where=f"image_id = '{farthest}'")
    assert ids(hits) == [farthest] and hits.plan == "exact scan of 1 rows"


def test_projection_is_searched_exactly_if_its_graph_is_slower(large):
    hits = large.search(gallery_query(large, 4), k=3, by="rgb_histogram:manhattan")
    assert hits.plan == "100 candidates from a scan of 700 rows by rgb_histogram:manhattan, ranked exactly"
    exactly = large.search(gallery_query(large, 4), k=3, by="rgb_histogram:manhattan", exact=True)
    assert hits.hits[0] == exactly.hits[0]


def test_large_k_uses_an_exact_search(large):
    hits = large.search(gallery_query(large, 4), k=600)
    assert len(hits) == 600 and hits.plan == "exact scan of 700 rows"


@pytest.mark.usefixtures("graphs_asked")
def test_other_metric_ranks_the_candidates_of_the_graph_exactly(large):
    query = gallery_query(large, 9)
    hits = large.search(query, k=5, by="rgb_histogram:manhattan")
    assert "the graph of rgb_histogram:hellinger, ranked exactly" in hits.plan
    matrix = large.generation.matrix("rgb_histogram")
    for hit in hits:
        plain = np.abs(matrix[9] - matrix[large.generation.row_of(hit.image_id)]).sum()
        assert hit.score >= 0 and hit.parts["rgb_histogram:manhattan"].distance == pytest.approx(plain, rel=1e-5)


# -- what is refused ----------------------------------------------------------------------------------------


def test_no_query_and_query_with_like_are_refused(recommender, photos):
    with pytest.raises(EmptyQuery, match="give an image"):
        recommender.search()
    with pytest.raises(QueryError, match="not as both"):
        recommender.search(photos / "photo_001.jpg", like=photos / "photo_002.jpg")


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("rgb_histogramm", "no feature named 'rgb_histogramm'; did you mean 'rgb_histogram'"),
        ("phash:haming", "no metric of phash named 'haming'; did you mean 'hamming'"),
        ("phash:cosine", "no metric of phash named 'cosine'; known: hamming"),
        (["phash", "nonsense!"], "no feature named 'nonsense!'"),
        ("", "no feature named ''"),
    ],
)
def test_unknown_names_suggest_the_nearest(recommender, photos, by, message):
    with pytest.raises(UnknownName) as caught:
        recommender.search(photos / "photo_001.jpg", by=by)
    assert message in str(caught.value) and caught.value.known


@pytest.mark.parametrize("by", [[], {}, ()])
def test_empty_choice_of_features_is_refused(recommender, photos, by):
    with pytest.raises(EmptyQuery, match="name at least one feature"):
        recommender.search(photos / "photo_001.jpg", by=by)


@pytest.mark.parametrize(
    "weights",
    [(math.nan, 1), (-1, 1), (0, 0), (math.inf, 1), ("much", 1), (None, 1), (10**400, 1), (1e308, 1e308), ("1e999", 1)],
)
def test_bad_weights_are_refused(recommender, photos, weights):
    with pytest.raises(BadWeights):
        recommender.search(photos / "photo_001.jpg", by=dict(zip(("phash", "ahash"), weights, strict=True)))


@pytest.mark.parametrize(
    ("name", "error"),
    [("text.jpg", UnreadableImage), ("empty.jpg", UnreadableImage), ("truncated.jpg", TruncatedImage),
     ("huge_header.png", ImageTooLarge)],
)  # fmt: skip
def test_unreadable_query_is_named_with_the_reason(recommender, photos, name, error):
    with pytest.raises(error, match=name):
        recommender.search(photos / "drawn" / name)
    with pytest.raises(error):
        recommender.search(BROKEN[name]())


@pytest.mark.parametrize("query", ["gone.jpg", ".", "", "a\0b.jpg"])
def test_query_file_that_cannot_be_read_is_an_image_error(recommender, photos, query):
    with pytest.raises(UnreadableImage):
        recommender.search(photos / query if query else query)


@pytest.mark.parametrize("query", [3.5, ["a.jpg"], object(), {"a": 1}])
def test_query_of_another_type_is_refused(recommender, query):
    with pytest.raises(QueryError, match=f"unsupported query type {type(query).__name__}; expected a path"):
        recommender.search(query)


@pytest.mark.parametrize(
    "array", [np.zeros((5, 5)), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 2), np.uint8)]
)
def test_array_that_is_not_an_rgb_image_is_refused(recommender, array):
    with pytest.raises(DeclarationError, match=r"expected uint8 \(height, width, 3\)"):
        recommender.search(array)


@pytest.mark.parametrize(
    ("vector", "by"),
    [
        (np.zeros(3), "rgb_histogram"),
        (np.zeros(512), ["rgb_histogram", "hsv_histogram"]),
        (np.full(512, np.nan), "rgb_histogram"),
        (np.full(512, -1.0), "rgb_histogram"),
        (np.array(["a"] * 512), "rgb_histogram"),
        (np.zeros(0), "rgb_histogram"),
        (np.array([0.5]), "phash"),
        (np.array([-1]), "phash"),
    ],
)
def test_invalid_vector_is_refused(recommender, vector, by):
    with pytest.raises(QueryError):
        recommender.search(vector, by=by)


@pytest.mark.parametrize("value", ["0" * 16, "nonsense"])
def test_unknown_image_id_is_refused(recommender, value):
    with pytest.raises(QueryError, match=value):
        recommender.search(ImageId(value))


# -- generations --------------------------------------------------------------------------------------------


def test_new_generation_is_opened_between_searches(new_lake):
    lake = new_lake(4, ("phash",))
    recommender = Recommender.open(lake)
    first = recommender.search(PICTURES["stripes.png"](), k=9, with_self=True)
    (lake.root.parent / "photos" / "new.png").write_bytes(PICTURES["stripes.png"]())
    toy.build(lake)
    second = recommender.search(PICTURES["stripes.png"](), k=9, with_self=True)
    assert (first.generation, len(first)) == ("000001", 4)
    assert (second.generation, len(second)) == ("000002", 5)
    assert second[0].path.endswith("new.png") and len(recommender) == 5


def test_open_generation_can_be_searched_after_newer_ones_replace_it(new_lake):
    from imrec_core.index.build import IndexParams

    lake = new_lake(5, ("rgb_histogram",))
    recommender = Recommender.open(lake)
    before = recommender.search(PICTURES["noise.jpg"]())
    held = recommender.generation
    for m in (5, 6, 7):
        build_generation(lake, IndexParams(m=m))
    assert lake.generations() == ["000001", "000003", "000004"]
    assert held.matrix("rgb_histogram").shape == (5, 512)
    after = recommender.search(PICTURES["noise.jpg"]())
    assert (after.generation, ids(after)) == ("000004", ids(before))


def test_threads_get_the_hits_of_a_single_thread(recommender, photos, large):
    names = [f"photo_{i:03d}.jpg" for i in range(12)]
    alone = {name: recommender.search(photos / name, by=SEVERAL, where="row >= 0") for name in names}
    graphs = {row: large.search(gallery_query(large, row)) for row in range(12)}
    fresh = Recommender.open(recommender.lake)
    found, errors = {}, []

    def work(start: int) -> None:
        try:
            for i in range(12):
                name = names[(start + i) % 12]
                found[start, name] = fresh.search(photos / name, by=SEVERAL, where="row >= 0")
                assert large.search(gallery_query(large, i)).hits == graphs[i].hits
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(found) == 48
    for (_, name), hits in found.items():
        assert ids(hits) == ids(alone[name])


# -- what comes back ----------------------------------------------------------------------------------------


def test_hit_has_the_path_of_its_file(recommender, photos):
    for hit in recommender.search(photos / "photo_003.jpg", k=56):
        assert Path(hit.path).is_file() and hit.source == "photos"
        assert hit.image_id == image_id("photos", Path(hit.path).relative_to(photos).as_posix())


def test_tables_have_a_row_per_hit_and_columns_per_feature(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg", k=7, by=["phash", "rgb_histogram:manhattan"])
    parts = [f"{by}_{fact}" for by in ("phash", "rgb_histogram:manhattan")
             for fact in ("distance", "score", "false_match_rate", "rank", "unlike", "note")]  # fmt: skip
    names = ["rank", "image_id", "source", "path", "score", "likeness", *parts]
    table, frame = hits.to_arrow(), hits.to_polars()
    assert table.column_names == frame.columns == names and len(table) == len(frame) == 7
    assert frame["rank"].dtype == pl.Int64 and frame["score"].dtype == pl.Float64
    assert frame["image_id"].to_list() == ids(hits)
    assert frame["phash_distance"].to_list() == [hit.parts["phash"].distance for hit in hits]


def test_hits_are_a_sequence(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg")
    assert len(hits) == 5 and hits[0] is hits.hits[0] and hits[-1].rank == 5
    assert [hit.rank for hit in hits[1:3]] == [2, 3] and hits[0] in hits


def test_json_holds_the_hits_and_how_they_were_found(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg", by=SEVERAL, with_self=True)
    document = json.loads(hits.to_json())
    assert document["generation"] == hits.generation and document["plan"] == hits.plan
    assert document["hits"] == hits.to_dicts()
    assert document["cut"] == 0
    best = {"distance": 0.0, "score": 1.0, "false_match_rate": 0.0, "rank": 1, "unlike": 0.0, "note": ""}
    assert document["hits"][0]["parts"]["phash"] == best


def test_false_match_rate_of_a_hit_is_that_of_its_distance(recommender, photos):
    generation = recommender.generation
    for by in ("phash", "hsv_histogram:manhattan"):
        name, _, metric = by.partition(":")
        calibration = generation.calibration(name, metric or generation.feature(name).metric.name)
        parts = [hit.parts[by] for hit in recommender.search(photos / "photo_003.jpg", by=by, k=30)]
        expected = calibration.false_match_rate(np.array([part.distance for part in parts], np.float32))
        np.testing.assert_allclose([part.false_match_rate for part in parts], expected, atol=1e-9)
        assert [part.score for part in parts] == pytest.approx([1 - part.false_match_rate**0.2 for part in parts])


def test_contact_sheet_shows_every_type_of_query(recommender, photos, tmp_path):
    path = photos / "photo_003.jpg"
    assert recommender.search(path).query == path
    assert recommender.search(identity("photo_003.jpg")).query == path
    assert recommender.search(path.read_bytes()).query.size == (160, 120)
    assert recommender.search(stripes(40, 30)).query.size == (40, 30)
    assert recommender.search(np.array(recommender.generation.matrix("phash")[0]), by="phash").query is None


def test_search_does_not_change_the_query(recommender):
    array = noise(90, 60, seed=2)
    image = Image.fromarray(array)
    before = array.copy()
    recommender.search(array, by=SEVERAL)
    recommender.search(image, by=SEVERAL)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(np.asarray(image), before)


def test_k_may_be_a_numpy_integer(recommender):
    query = identity("photo_007.jpg")
    assert ids(recommender.search(query, k=np.int64(3))) == ids(recommender.search(query, k=3))


@pytest.mark.parametrize(
    "query",
    [object(), 5, {"a": 1}, torch.zeros(4, 4, 3, dtype=torch.bfloat16)],
    ids=["object", "number", "dict", "bfloat16"],
)
def test_other_types_are_refused_with_those_that_are_taken(recommender, query):
    with pytest.raises(QueryError, match=r"expected .*(path.*bytes.*BytesIO.*Pillow.*array.*ImageId|uint8 pixels)"):
        recommender.search(query)
