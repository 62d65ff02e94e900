"""Many searches at once: each gives what it gives alone, and they share what can be shared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imrec_core import Hits, ImageId, Recommender, Text
from imrec_core.errors import BadFilter, ImageError, QueryError, TruncatedImage, UnknownName, UnreadableImage
from imrec_core.extraction import embed
from imrec_core.images.decode import decode
from imrec_core.index import exact_search
from imrec_core.index.build import build_generation
from imrec_core.search import batches as search_module
from imrec_core.search import query_encoder, ranking
from tests.support import toy

MIX = {"efficientnet_lite0": 1, "hsv_histogram": 0.5, "phash:hamming_dihedral": 0.3}
OF_BATCHES = ("efficientnet_lite0", "sift_vlad")  # a batch is rounded otherwise than one


def at(recommender: Recommender, *rows: int) -> list[ImageId]:
    return [ImageId(recommender.generation.rows["image_id"][row].as_py()) for row in rows]


def of_all_kinds(recommender: Recommender, photos: Path) -> list[object]:
    names = [photos / f"photo_{i:03d}.jpg" for i in range(12)]
    return [
        *names[:4],
        str(names[4]),
        names[5].read_bytes(),
        Image.open(names[6]),
        decode(names[7].read_bytes()).pixels[..., :3],
        *at(recommender, 20, 21),
        photos / "drawn" / "exif_6.jpg",
        *names[8:],
    ]


def same(one: Hits, other: Hits, *, rounding: float = 1e-6) -> None:
    """The same hits, up to what a matrix product or a batch rounds otherwise."""
    assert (one.generation, one.features, one.cut, one.plan) == (
        other.generation, other.features, other.cut, other.plan)  # fmt: skip
    assert [type(shown) for shown in one.likes] == [type(shown) for shown in other.likes] and not one.unlikes
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.rank == b.rank and a.parts.keys() == b.parts.keys()
        assert a.score == pytest.approx(b.score, abs=max(2e-3, rounding))
        for name, part in a.parts.items():
            slack = 2e-3 if name in OF_BATCHES else 1e-3 if "histogram" in name else rounding
            assert part.distance == pytest.approx(b.parts[name].distance, rel=1e-3, abs=slack)
    alike = [a.image_id == b.image_id for a, b in zip(one, other, strict=True)]
    assert sum(alike) >= len(alike) - max(2, len(alike) // 10)  # those that are nearly equal may change places


# -- the same as alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"by": MIX},
        {"by": ["phash", "dhash"], "fuse": "rrf"},
        {"by": "phash:hamming_dihedral"},
        {"by": "sift_vlad"},
        {"by": "efficientnet_lite0"},
        {"by": "hsv_histogram:manhattan", "where": "width >= 160 AND row % 3 <> 1"},
        {"by": "phash", "order_by": "path DESC", "k": 20},
        {"by": "phash", "distinct": "content", "diversify": 0.5},
        {"by": "hsv_histogram", "max_false_match_rate": 0.05},
        {"by": ["hsv_histogram", "phash"], "max_false_match_rate": 0.05},
        {"by": "phash", "where": "false"},
    ],
    ids=str,
)
def test_each_query_gets_what_it_gets_alone(recommender, photos, how, exact):
    queries = of_all_kinds(recommender, photos)
    answers = list(recommender.search_each(queries, exact=exact, **how))
    assert len(answers) == len(queries) == 15
    for query, answer in zip(queries, answers, strict=True):
        same(answer, recommender.search(query, exact=exact, **how))


@pytest.mark.usefixtures("graphs_asked")
@pytest.mark.parametrize("how", [{}, {"by": ["rgb_histogram", "phash"]}, {"by": "rgb_histogram:manhattan"},
                                 {"where": "row % 3 <> 0"}, {"exact": True}])  # fmt: skip
def test_each_image_of_a_large_gallery_gets_what_it_gets_alone(large, how):
    queries = at(large, *range(100))
    for query, answer in zip(queries, large.search_each(queries, k=7, **how), strict=True):
        alone = large.search(query, k=7, **how)
        same(answer, alone)
        assert query.value not in toy.ids(answer)
        assert toy.ids(answer) == toy.ids(alone)


@pytest.mark.parametrize("exact", [True, False])
def test_each_shows_one_of_several_copies_when_asked_to(new_lake, exact):
    lake = new_lake(6, ("phash",), built=False)
    folder = lake.root.parent / "photos"
    (folder / "copy.jpg").write_bytes((folder / "photo_001.jpg").read_bytes())
    toy.build(lake)
    opened = Recommender.open(lake)
    path = folder / "photo_001.jpg"
    for distinct, count in ((None, 7), ("content", 6)):
        (answer,) = opened.search_each([path], k=9, distinct=distinct, exact=exact, with_self=True)
        assert len(answer) == count and answer == opened.search(
            path, k=9, distinct=distinct, exact=exact, with_self=True
        )


def test_vectors_are_queries_too(large):
    vectors = [np.array(large.generation.matrix("rgb_histogram")[row]) for row in range(20)]
    for exact in (True, False):
        for vector, answer in zip(vectors, large.search_each(vectors, by="rgb_histogram", exact=exact), strict=True):
            same(answer, large.search(vector, by="rgb_histogram", exact=exact))


def test_words_among_images_are_answered_by_the_feature_that_understands_them(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(40, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes = np.arange(40, dtype=np.uint64)[:, None]
    lake = toy.vector_lake(tmp_path / "lake", {"phash": hashes, "clip_vit_b32": vectors})
    build_generation(lake)
    monkeypatch.setattr("imrec_core.models.text_encoder.encode_text", lambda model, texts: vectors[17:18])
    recommender = Recommender.open(lake)
    queries = [*at(recommender, 3), Text("a red car"), *at(recommender, 4, 5), Text("a blue one"), Text("a third")]
    answers = list(recommender.search_each(queries))
    assert [answer.features for answer in answers] == [
        ("phash",), ("clip_vit_b32",), ("phash",), ("phash",), ("clip_vit_b32",), ("clip_vit_b32",)]  # fmt: skip
    assert answers == [recommender.search(query) for query in queries]
    with pytest.raises(QueryError, match="phash does not support text"):
        list(recommender.search_each(queries, by="phash"))
    with pytest.raises(QueryError, match="text queries have no calibrated false match rate"):
        list(recommender.search_each(queries, max_false_match_rate=0.1))


def test_picture_that_is_asked_for_twice_is_read_once_at_a_time(recommender, photos, tmp_path):
    Image.fromarray(toy.photo(3, 2000, 1500)).save(tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as image:  # Pillow has not read it yet
        first, *others = recommender.search_each([image] * 8, by="phash")
    assert all(other.hits == first.hits for other in others)


# -- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
def test_unreadable_query_gets_an_error_and_the_others_get_hits(recommender, photos, exact):
    good = photos / "photo_003.jpg"
    drawn = photos / "drawn"
    queries = [good, drawn / "truncated.jpg", *at(recommender, 5), "gone.jpg", b"no picture", good, "", good]
    answers = list(recommender.search_each(queries, by=MIX, exact=exact))
    expected = [Hits, TruncatedImage, Hits, UnreadableImage, UnreadableImage, Hits, UnreadableImage, Hits]
    assert [type(answer) for answer in answers] == expected
    assert "truncated.jpg" in str(answers[1]) and "gone.jpg" in str(answers[3])
    for query, answer in zip(queries, answers, strict=True):
        if isinstance(answer, Hits):
            same(answer, recommender.search(query, by=MIX, exact=exact))
    half = Image.open(BytesIO(good.read_bytes()[:1500]))  # opened, not read: Pillow finds out later
    (broken, whole) = recommender.search_each([half, good], by=MIX, exact=exact)
    assert isinstance(broken, UnreadableImage) and "truncated" in str(broken) and isinstance(whole, Hits)
    only = list(recommender.search_each(["gone.jpg"] * 3, exact=exact))
    assert [type(answer) for answer in only] == [UnreadableImage] * 3


@pytest.mark.parametrize(
    ("queries", "how", "error"),
    [
        ("photo.jpg", {}, QueryError),  # would be nine files of one letter
        (b"photo", {}, QueryError),
        (Path("photo.jpg"), {}, QueryError),
        (ImageId("0" * 16), {}, QueryError),
        ([ImageId("0" * 16)], {}, QueryError),
        ([3.5], {}, QueryError),
        ([("a.jpg", 0.5)], {}, QueryError),
        ([np.zeros(3)], {"by": "phash"}, QueryError),
        ([], {"k": 0}, QueryError),
        ([], {"where": "widht > 3"}, BadFilter),
        ([], {"fuse": "rff"}, UnknownName),
        (["gone.jpg"], {"by": "phahs"}, UnknownName),
        ([], {"distinct": "contents"}, UnknownName),
        ([], {"diversify": 2}, QueryError),
        ([], {"max_false_match_rate": 0}, QueryError),
    ],
)
def test_what_cannot_be_asked_is_refused(recommender, queries, how, error):
    with pytest.raises(error):
        list(recommender.search_each(queries, **how))


def test_of_nothing_there_are_no_answers(recommender):
    assert list(recommender.search_each([])) == []


# -- batches ------------------------------------------------------------------------------------------------


def test_answers_come_while_queries_are_still_to_come(large):
    read = []

    def queries() -> Iterator[ImageId]:
        for row in range(100):
            read.append(row)
            yield at(large, row)[0]
        raise RuntimeError("no more of them")

    answers = large.search_each(queries())
    assert not read
    first = next(answers)
    assert first == large.search(at(large, 0)[0]) and len(read) == search_module._BATCH
    answered = 1
    with pytest.raises(RuntimeError, match="no more of them"):
        for _ in answers:
            answered += 1
    assert answered == search_module._BATCH


@pytest.mark.parametrize("size", [1, 2, 7, 20, 50])
def test_size_of_the_batch_changes_nothing(large, monkeypatch, size):
    queries = at(large, *range(20))
    how = {"by": ["rgb_histogram", "phash"], "exact": True}
    before = list(large.search_each(queries, **how))
    monkeypatch.setattr(search_module, "_BATCH", size)
    for one, other in zip(before, large.search_each(iter(queries), **how), strict=True):
        same(one, other)


@pytest.mark.parametrize("of", ["queries", "bytes"])
def test_vectors_are_read_once_for_each_batch(large, monkeypatch, of):
    if of == "queries":
        monkeypatch.setattr(search_module, "_BATCH", 10)
    else:  # room for the distances of ten queries by two features to 700 rows
        monkeypatch.setattr(search_module, "_BATCH_BYTES", 10 * 2 * 4 * 700)
    read = []
    blocks = exact_search.blocks

    def counted(matrix, rows=None):
        read.append(matrix.shape)
        return blocks(matrix, rows)

    monkeypatch.setattr(exact_search, "blocks", counted)
    answers = list(large.search_each(at(large, *range(35)), by=["rgb_histogram", "phash"], exact=True))
    assert len(answers) == 35 and sorted(set(read)) == [(700, 1), (700, 512)]
    assert len(read) == 2 * 4  # four batches


def test_pictures_of_a_batch_are_described_together_but_few_are_held(recommender, photos, monkeypatch):
    sizes = []
    batches = embed.ImageBatch
    monkeypatch.setattr(embed, "ImageBatch", lambda images: sizes.append(len(images)) or batches(images))
    paths = [photos / f"photo_{i:03d}.jpg" for i in range(20)]
    assert len(list(recommender.search_each(paths, by="phash"))) == 20
    assert sizes == [8, 8, 4]


def test_files_of_a_batch_are_decoded_by_several_threads(recommender, photos, monkeypatch):
    monkeypatch.setattr(query_encoder, "cpu_count", lambda: 4)
    waiting = threading.Barrier(4, timeout=20)
    decoded = decode

    def together(*what, **how):
        waiting.wait()
        return decoded(*what, **how)

    monkeypatch.setattr("imrec_core.images.decode.decode", together)
    paths = [photos / f"photo_{i:03d}.jpg" for i in range(8)]
    found = [answer[0].path for answer in recommender.search_each(paths, k=1, by="phash", with_self=True)]
    assert found == list(map(str, paths))


def test_one_generation_answers_all(new_lake, monkeypatch):
    monkeypatch.setattr(search_module, "_BATCH", 2)
    lake = new_lake(6, ("phash",))
    recommender = Recommender.open(lake)
    paths = [lake.root.parent / "photos" / f"photo_{i:03d}.jpg" for i in range(6)]
    answers = recommender.search_each(paths[:5], k=9)
    first = next(answers)
    paths[5].unlink()
    toy.build(lake)
    rest = list(answers)
    assert {hits.generation for hits in (first, *rest)} == {"000001"}
    assert recommender.search(paths[0]).generation == "000002"


def test_shared_scan_of_no_search_is_none(large):
    assert ranking.share_exact_search(large.generation, []) == []


def test_errors_are_given_and_not_raised(recommender):
    (answer,) = recommender.search_each(["gone.jpg"])
    assert isinstance(answer, ImageError)
