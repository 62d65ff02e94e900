"""The crop-resistant hash is that of imagehash: its segments, its distance, and the number of hashes that varies."""

from __future__ import annotations

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from imrec_core import FEATURES, ImageBatch, ImageId, Recommender
from imrec_core.errors import BadExport, QueryError, SchemaMismatch
from imrec_core.features.crop_resistant import MAX_SEGMENTS, pad, unmatched_segments, unpad
from imrec_core.lake import schemas
from imrec_dagster.cli.main import imrec
from tests.support import toy

FEATURE = FEATURES["crop_resistant_hash"]
PHOTOS = 10


def multi_hash(hashes: np.ndarray) -> imagehash.ImageMultiHash:
    return imagehash.ImageMultiHash([imagehash.hex_to_hash(f"{int(each):016x}") for each in hashes])


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    """A lake of small PNGs, whose pixels imagehash sees as imrec does; the last one is a crop of the first."""
    folder = tmp_path_factory.mktemp("segments")
    (folder / "photos").mkdir()
    for seed in range(PHOTOS):
        Image.fromarray(toy.photo(seed, 150 + seed, 110)).save(folder / "photos" / f"{seed:02d}.png")
    lake = toy.new_lake(folder / "lake", ["phash", FEATURE.name])
    toy.build(lake)
    return Recommender.open(lake)


def of_imagehash(path: str) -> imagehash.ImageMultiHash:
    with Image.open(path) as image:
        return imagehash.crop_resistant_hash(image)


# -- segments and distance ----------------------------------------------------------------------------------


def test_segments_are_those_of_imagehash():
    photos = [toy.photo(seed) for seed in range(8)]
    rows = FEATURE(ImageBatch(photos))
    counts = set()
    for row, photo in zip(rows, photos, strict=True):
        expected = imagehash.crop_resistant_hash(Image.fromarray(photo))
        assert str(multi_hash(unpad(row))) == str(expected)
        counts.add(len(expected.segment_hashes))
    assert len(counts) > 3


def test_image_of_more_segments_keeps_the_largest():
    tiles = np.kron(np.indices((12, 12)).sum(axis=0) % 2 * 255, np.ones((25, 25))).astype(np.uint8)
    picture = np.repeat(tiles[..., None], 3, axis=2)
    limited = imagehash.crop_resistant_hash(Image.fromarray(picture), limit_segments=MAX_SEGMENTS)
    assert len(imagehash.crop_resistant_hash(Image.fromarray(picture)).segment_hashes) > MAX_SEGMENTS
    assert str(multi_hash(unpad(FEATURE(ImageBatch([picture]))[0]))) == str(limited)


def test_distances_equal_those_of_imagehash():
    rng = np.random.default_rng(4)
    segments = rng.integers(0, 2**64, 40, dtype=np.uint64)
    near = segments ^ (np.uint64(1) << rng.integers(0, 64, (18, 40), dtype=np.uint64)).cumsum(axis=0)[rng.integers(18)]
    pool = np.concatenate([segments, near])  # so that some are near, and some at the limit
    hashes = [rng.choice(pool, rng.integers(1, MAX_SEGMENTS + 1), replace=False) for _ in range(60)]
    gallery = np.array([pad(each) for each in hashes])
    objects = [multi_hash(each) for each in hashes]
    for row, query in zip(gallery, objects, strict=True):
        expected = np.array([query - other for other in objects])
        np.testing.assert_array_equal(unmatched_segments.distance(row, gallery), expected)
        np.testing.assert_array_equal(unmatched_segments(row, gallery), expected.astype(np.float32))
    assert len(np.unique(np.round(expected % 1, 6))) > 5


def test_a_quarter_of_the_bits_may_differ():
    query = pad(np.array([0], np.uint64))
    others = np.array([pad(np.array([2**bits - 1], np.uint64)) for bits in (0, 16, 17)])
    assert unmatched_segments(query, others).tolist() == [0, 0.25, 1]
    assert unmatched_segments(query, others[:0]).shape == (0,)


# -- tables -------------------------------------------------------------------------------------------------


def test_lists_of_any_length_survive_a_table():
    rng = np.random.default_rng(1)
    rows = np.array([pad(rng.integers(0, 2**64, n, dtype=np.uint64)) for n in (1, 31, 2, 7)])
    column = schemas.to_vectors(rows, is_variable=True)
    assert [len(each) for each in column.to_pylist()] == [1, 31, 2, 7]
    np.testing.assert_array_equal(schemas.to_matrix(pa.chunked_array([column[:1], column[1:]]), 32), rows)
    assert schemas.to_matrix(pa.chunked_array([column[:0]]), 32).shape == (0, 32)
    with pytest.raises(SchemaMismatch, match="a vector has 1 to 31 values; expected 1 to 30"):
        schemas.to_matrix(pa.chunked_array([column]), 31)


def test_table_and_sql_hold_the_hashes_alone(recommender):
    lake = recommender.lake
    (path,) = [lake.feature_path(FEATURE.name, shard) for shard in lake.live_shards()]
    table = pq.read_table(path)
    assert table.schema.field("vector").type == pa.list_(pa.uint64())
    rows = recommender.generation.rows
    paths = dict(zip(rows["image_id"].to_pylist(), rows["path"].to_pylist(), strict=True))
    for image_id, hashes in zip(*(table[name].to_pylist() for name in ("image_id", "vector")), strict=True):
        assert str(multi_hash(hashes)) == str(of_imagehash(str(lake.root.parent / "photos" / paths[image_id])))
    asked = ("sql", f"SELECT sum(len(vector)) AS n FROM {FEATURE.name}", "--csv", "--lake", str(lake.root))
    assert CliRunner().invoke(imrec, asked).output.split() == ["n", str(sum(map(len, table["vector"].to_pylist())))]


# -- searches -----------------------------------------------------------------------------------------------


def test_search_ranks_by_the_distance_of_imagehash(recommender):
    for query_path in ("00.png", "04.png", "07.png"):
        path = recommender.lake.root.parent / "photos" / query_path
        hits = recommender.search(path, by=FEATURE.name, k=PHOTOS, with_self=True)
        query = of_imagehash(str(path))
        distances = [np.float32(query - of_imagehash(hit.path)) for hit in hits]
        assert [hit.parts[FEATURE.name].distance for hit in hits] == pytest.approx(distances, abs=0)
        assert len(hits) == PHOTOS and distances == sorted(distances) and hits[0].path == str(path)
        for other in (query, recommender.vector(path, FEATURE.name), ImageId(hits[0].image_id)):
            found = [hit.image_id for hit in recommender.search(other, by=FEATURE.name, k=PHOTOS - 1)]
            assert set(found) <= {hit.image_id for hit in hits}
    assert not [graph for graph in recommender.generation.graphs if graph.startswith(FEATURE.name)]


def test_mixed_with_other_features_and_with_several_likes(recommender):
    photos = recommender.lake.root.parent / "photos"
    hits = recommender.search(photos / "03.png", by={FEATURE.name: 1, "phash": 1}, k=3, with_self=True)
    assert hits[0].path.endswith("03.png") and hits[0].score == 1
    likes = [photos / "01.png", photos / "02.png"]
    liked = recommender.search(like=likes, by=FEATURE.name, k=2, pool="best", with_self=True)
    assert {hit.path.rpartition("/")[2] for hit in liked} == {"01.png", "02.png"}


def test_objects_of_imagehash_are_given_out(recommender):
    path = str(recommender.lake.root.parent / "photos" / "06.png")
    found = recommender.image_hash(path, FEATURE.name)
    assert isinstance(found, imagehash.ImageMultiHash)
    assert str(found) == str(of_imagehash(path)) and found - of_imagehash(path) == 0
    vector = recommender.vector(path, FEATURE.name)
    assert (vector.dtype, vector.shape) == (np.uint64, (len(found.segment_hashes),))
    assert str(recommender.vector(found, FEATURE.name)) == str(vector)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        (np.zeros(0, np.uint64), "0 hashes of segments were given; expected 1 to 31"),
        (np.zeros(32, np.uint64), "32 hashes of segments were given; expected 1 to 31"),
        (np.zeros(3, np.float32), "expected one feature, and 32 numbers"),
        (imagehash.ImageHash(np.zeros((8, 8), bool)), "an ImageHash was given for crop_resistant_hash; expected an Im"),
        (imagehash.ImageMultiHash([imagehash.ImageHash(np.zeros((16, 16), bool))]), "16×16 bits; .* has 8×8"),
        (imagehash.ImageMultiHash([]), "0 hashes of segments were given; expected 1 to 31"),
    ],
)
def test_queries_that_do_not_fit_are_refused(recommender, query, complaint):
    with pytest.raises(QueryError, match=complaint):
        recommender.search(query, by=FEATURE.name)


# -- exports and what needs vectors of one length -----------------------------------------------------------


def test_exports_as_a_list_or_not_at_all(recommender, tmp_path):
    from imrec_core.export import export

    lake = recommender.lake
    export(lake, tmp_path / "parquet", "parquet")
    (part,) = (tmp_path / "parquet").glob("*.parquet")
    exported = pq.read_table(part)
    assert exported.schema.field(FEATURE.name).type == pa.list_(pa.uint64())
    first = exported.slice(0, 1).to_pylist()[0]
    assert first[FEATURE.name] == recommender.vector(ImageId(first["image_id"]), FEATURE.name).tolist()
    for target in ("faiss", "qdrant", "lance"):
        with pytest.raises(
            BadExport, match=f"{target} cannot compare crop_resistant_hash by unmatched_segments; leave"
        ):
            export(lake, tmp_path / target, target, by=[FEATURE.name])


def test_maps_and_projections_refuse_it(recommender, tmp_path):
    from imrec_core.features import known_features
    from imrec_core.maps.principal_points import lifted

    with pytest.raises(QueryError, match="vectors of varying length, which have no positions; use another feature"):
        lifted(FEATURE, recommender.generation.matrix(FEATURE.name))
    lake = toy.new_lake(tmp_path / "lake")
    for table in (
        {"projections": {"small": {"base": FEATURE.name, "dims": 2}}},
        {"combined": {"both": {FEATURE.name: 1, "phash": 1}}},
    ):
        toy.set_to(lake, **{"projections": {}, "combined": {}} | table)
        with pytest.raises(Exception, match="crop_resistant_hash"):
            known_features(lake)
