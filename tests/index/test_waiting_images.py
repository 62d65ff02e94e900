"""Images whose tables are not up to date wait: they stay searchable as they were, and remove nothing from search."""

from __future__ import annotations

import numpy as np
import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.catalog.ids import image_id
from imrec_core.errors import StaleIndex
from imrec_core.extraction.project import project_shard
from imrec_core.extraction.staleness import fit_fingerprint
from imrec_core.features import FEATURES
from imrec_core.index.build import GenerationReport, IndexParams, build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.lake import schemas
from imrec_core.status import lake_status
from imrec_core.upkeep.sources import rename_source
from tests.support import toy

TWO = ("rgb_histogram", "phash")
NETWORK, REDUCED = "efficientnet_lite0", "efficientnet_lite0_content"
NOTHING = WaitingImages()
SHARDS = ["photos-0000", "photos-0001", "photos-0002"]  # of eight, eight and four images


@pytest.fixture
def lake(new_lake) -> Lake:
    return new_lake(20, TWO, shard_size=8)


def drop(lake: Lake, feature: str, shard: str = SHARDS[1]) -> None:
    lake.feature_path(feature, shard).unlink()


def change_first_shard(lake: Lake) -> None:
    """Remove the first image of the first shard, and read that shard again."""
    next(iter(sorted((lake.root.parent / "photos").iterdir()))).unlink()
    manifests.update(lake)
    toy.extract(lake, SHARDS[:1])


def leave_unread(lake: Lake, seed: int = 77) -> None:
    """Add an image to the last shard, and do not read it."""
    toy.write_photos(lake.root.parent / "photos", [seed])
    manifests.update(lake)


def build_once(lake: Lake) -> GenerationReport:
    """Build, and require that a second build has nothing to do."""
    report = build_generation(lake)
    assert is_up_to_date(lake, plan_generation(lake))
    again = build_generation(lake)
    assert (again.id, again.built, again.waiting) == (report.id, False, report.waiting)
    return report


def rows_of(generation: Generation, shard: str) -> list[dict]:
    """The live rows of a shard with everything that they have, and their vectors."""
    rows = [row for row in generation.rows.to_pylist() if row["shard"] == shard and not row["removed"]]
    vectors = {name: generation.matrix(name) for name in generation.features}
    return [
        {name: value for name, value in row.items() if name != "row"}
        | {name: matrix[row["row"]].tolist() for name, matrix in vectors.items()}
        for row in rows
    ]


def found(lake: Lake, by: str, path: str = "photo_009.jpg") -> list[tuple[str, float]]:
    """What an exact search for an image finds."""
    hits = Recommender.open(lake).search(ImageId(image_id("photos", path)), by=by, k=50, exact=True)
    return [(hit.path, hit.parts[by].distance) for hit in hits]


# -- what waits ---------------------------------------------------------------------------------------------


def test_feature_that_one_shard_lacks_stays_for_all_images(lake):
    before = found(lake, "phash")
    drop(lake, "phash")
    report = build_once(lake)
    assert (report.id, report.built, report.features, report.missing) == ("000001", False, TWO, ())
    assert report.waiting == WaitingImages(8, 8, {"phash": 8})
    assert found(lake, "phash") == before and len(before) == 19


def test_other_shards_are_published_while_one_lacks_a_feature(lake):
    before, old = found(lake, "phash"), rows_of(open_generation(lake), SHARDS[1])
    drop(lake, "phash")
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.features, report.missing, report.rows) == (TWO, (), 19)
    assert report.why == "extends 000001 by 0 rows, 1 removed"
    assert report.waiting == WaitingImages(8, 8, {"phash": 8})
    generation = open_generation(lake)
    assert rows_of(generation, SHARDS[1]) == old
    assert found(lake, "phash") == [hit for hit in before if not hit[0].endswith("photo_000.jpg")]
    assert generation.facts["held"] == [SHARDS[1]]
    assert generation.facts["waiting_images"] == {"images": 8, "searchable": 8, "reasons": {"phash": 8}}


def test_table_that_is_made_again_makes_no_generation(lake):
    drop(lake, "phash")
    build_once(lake)
    toy.extract(lake)
    assert plan_generation(lake).waiting == NOTHING
    assert build_once(lake).id == "000001"


def test_shard_that_was_not_read_stays_as_it_was(lake):
    old = rows_of(open_generation(lake), SHARDS[2])
    leave_unread(lake)
    assert build_once(lake).id == "000001"
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.built, report.rows) == (True, 19)
    assert report.waiting == WaitingImages(5, 4, {"images": 5})
    assert rows_of(open_generation(lake), SHARDS[2]) == old
    toy.extract(lake)
    report = build_once(lake)
    assert (report.why, report.waiting) == ("extends 000002 by 1 rows, 0 removed", NOTHING)


def test_removed_image_waits_for_its_shard_to_be_read(lake):
    (lake.root.parent / "photos" / "photo_019.jpg").unlink()
    manifests.update(lake)
    report = build_once(lake)
    assert (report.rows, report.waiting) == (20, WaitingImages(4, 4, {"images": 4}))


def test_new_shard_that_was_not_read_is_left_out(lake, tmp_path):
    toy.write_photos(tmp_path / "more", range(50, 56))
    lake.save_settings(lake.settings().with_folders([str(tmp_path / "more")]))
    manifests.update(lake)
    assert build_once(lake).id == "000001"
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.rows, report.waiting) == (19, WaitingImages(6, 0, {"images": 6}))
    toy.extract(lake)
    assert build_once(lake).rows == 25


def test_shard_whose_manifest_is_lost_stays_as_it_was(lake):
    old = rows_of(open_generation(lake), SHARDS[1])
    lake.catalog_path(SHARDS[1]).unlink()
    change = plan_generation(lake)
    assert (dict(change.held), change.waiting) == ({SHARDS[1]: SHARDS[1]}, WaitingImages(8, 8, {"images": 8}))
    assert build_once(lake).id == "000001"
    toy.extract(lake, SHARDS[:1])
    assert build_generation(lake, IndexParams(m=9)).rows == 20
    assert rows_of(open_generation(lake), SHARDS[1]) == old


def test_unreadable_images_do_not_wait(new_lake, tmp_path):
    lake = new_lake(3, TWO, built=False)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    toy.build(lake)
    drop(lake, "phash", SHARDS[0])
    assert plan_generation(lake).waiting == WaitingImages(3, 3, {"phash": 3})


def test_shard_of_unreadable_images_alone_makes_no_generation_while_it_waits(lake, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    toy.set_to(lake, sources={**lake.settings().sources, "more": tmp_path / "more"})
    assert toy.build(lake).rows == 20
    drop(lake, "phash", "more-0000")
    report = build_once(lake)
    assert (report.id, report.waiting) == ("000002", NOTHING)


def test_image_that_waits_for_two_features_counts_once(lake):
    drop(lake, "phash")
    drop(lake, "rgb_histogram")
    assert plan_generation(lake).waiting == WaitingImages(8, 8, {"phash": 8, "rgb_histogram": 8})


def test_first_generation_has_the_images_that_were_read(new_lake):
    lake = new_lake(20, TWO, built=False, shard_size=8)
    manifests.update(lake)
    with pytest.raises(StaleIndex, match=r"no image can be published yet: 20 images wait \(20 to be read\); 0 of them"):
        build_generation(lake)
    toy.extract(lake, SHARDS[:2])
    drop(lake, "phash", SHARDS[0])
    report = build_once(lake)
    assert (report.rows, report.features) == (8, TWO)
    assert report.waiting == WaitingImages(12, 0, {"images": 4, "phash": 8})


def test_waiting_images_in_words():
    assert WaitingImages().summary() == ""
    some = WaitingImages(20, 16, {"images": 12, "phash": 8})
    assert some.summary() == "20 images wait (12 to be read, 8 for phash); 16 of them are searchable as before"


# -- features -----------------------------------------------------------------------------------------------


def test_new_feature_is_added_when_all_images_have_it(lake):
    toy.set_to(lake, features=(*TWO, "ahash"))
    toy.extract(lake, SHARDS[:2])
    report = build_once(lake)
    assert (report.id, report.missing, report.waiting) == ("000001", ("ahash",), NOTHING)
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.rows, report.features, report.missing) == (19, TWO, ("ahash",))
    toy.extract(lake)
    report = build_once(lake)
    assert (report.features, report.missing) == ((*TWO, "ahash"), ())


def test_new_feature_is_not_added_while_another_shard_is_held(lake):
    toy.set_to(lake, features=(*TWO, "ahash"))
    toy.extract(lake)
    drop(lake, "phash")
    report = build_once(lake)
    assert (report.id, report.rows, report.features, report.missing) == ("000001", 20, TWO, ("ahash",))


def test_replaced_features_stay_until_a_new_one_is_ready(lake):
    toy.set_to(lake, features=("ahash",))
    report = build_once(lake)
    assert (report.id, report.features, report.missing) == ("000001", TWO, ("ahash",))
    assert report.waiting == WaitingImages(20, 20, {"ahash": 20})
    toy.extract(lake, SHARDS[:2])
    assert build_once(lake).id == "000001"
    toy.extract(lake)
    report = build_once(lake)
    assert (report.features, report.missing, report.waiting) == (("ahash",), (), NOTHING)


def test_feature_that_is_no_longer_chosen_goes_though_a_shard_is_held(lake):
    drop(lake, "phash")
    toy.set_to(lake, features=("phash",))
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.rows, report.features) == (19, ("phash",))
    assert len(found(lake, "phash")) == 18


def fit_again(lake: Lake) -> str:
    """Store another fit of the projection, which makes all its tables stale."""
    feature, old = FEATURES[REDUCED], lake.fitted_version(REDUCED)
    version = f"{fit_fingerprint(lake, feature)}-another"
    arrays = {name: array[::-1].copy() for name, array in lake.load_fitted(REDUCED, old).items()}
    lake.save_fitted(REDUCED, version, arrays, lake.fitted_facts(REDUCED, old))
    return version


@pytest.fixture
def projected(tmp_path) -> Lake:
    """A lake of vectors in three shards, with a projection and a generation."""
    vectors = np.random.default_rng(1).normal(size=(150, 1280)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lake = toy.vector_lake(tmp_path / "lake", {NETWORK: vectors}, shard_size=50)
    build_generation(lake)
    return lake


def test_vectors_of_two_fits_are_not_mixed(projected):
    before = open_generation(projected)
    version = fit_again(projected)
    for shard in SHARDS[:2]:
        project_shard(projected, shard, FEATURES[REDUCED])
    report = build_once(projected)
    assert (report.id, report.waiting) == ("000001", WaitingImages(150, 150, {NETWORK: 150}))
    project_shard(projected, SHARDS[2], FEATURES[REDUCED])
    report = build_once(projected)
    assert report.why == f"built whole: features added, removed or computed differently: {NETWORK}"
    after = open_generation(projected)
    assert after.fit_versions == {NETWORK: version} != before.fit_versions
    assert not np.array_equal(after.matrix(NETWORK), before.matrix(NETWORK))


def test_held_vectors_keep_their_fit(projected):
    before = open_generation(projected)
    old = before.fit_versions
    fit_again(projected)
    project_shard(projected, SHARDS[0], FEATURES[REDUCED])
    report = build_generation(projected, IndexParams(m=7))
    assert not report.built  # as nothing is complete
    for path in (projected.catalog_path(SHARDS[1]), projected.images_path(SHARDS[1])):
        path.unlink()  # a shard that is gone
    report = build_once(projected)
    after = open_generation(projected)
    assert (report.rows, after.fit_versions) == (100, old)
    assert rows_of(after, SHARDS[0]) == rows_of(before, SHARDS[0])
    assert rows_of(after, SHARDS[1]) == []


def test_new_shard_of_another_fit_waits(projected):
    hidden = [projected.catalog_path(SHARDS[2]), projected.images_path(SHARDS[2])]
    for path in hidden:
        path.rename(path.with_suffix(".hidden"))
    assert build_once(projected).rows == 100
    fit_again(projected)
    for path in hidden:
        path.with_suffix(".hidden").rename(path)
    project_shard(projected, SHARDS[2], FEATURES[REDUCED])
    report = build_once(projected)
    assert (report.id, report.rows, report.waiting) == ("000002", 100, WaitingImages(150, 100, {NETWORK: 150}))


def set_backend(lake: Lake, shard: str, backend: str) -> None:
    """Record that a table of vectors was computed by another library, which leaves it up to date."""
    path = lake.feature_path("phash", shard)
    lake.write_table(path, lake.read_table(path), (lake.made_from(path) or {}) | {"backend": backend})


def test_computation_that_the_generation_has_already_holds_no_further_shard(lake):
    set_backend(lake, SHARDS[1], "other")
    assert build_once(lake).why.startswith("built whole: ")
    drop(lake, "rgb_histogram")
    change_first_shard(lake)
    report = build_once(lake)
    assert (report.rows, report.waiting) == (19, WaitingImages(8, 8, {"rgb_histogram": 8}))
    toy.extract(lake)
    assert build_once(lake).rows == 19


def test_computation_that_the_generation_lacks_waits_for_held_shards(lake):
    drop(lake, "rgb_histogram")
    set_backend(lake, SHARDS[0], "other")
    report = build_once(lake)
    assert report.waiting == WaitingImages(20, 20, {"phash": 12, "rgb_histogram": 8})
    assert report.id == "000001"
    toy.extract(lake)
    assert build_once(lake).waiting == NOTHING


# -- rows ---------------------------------------------------------------------------------------------------


def test_image_in_a_held_and_in_a_complete_shard_is_of_the_complete_one(lake):
    moved = lake.root.parent / "photos" / "photo_009.jpg"
    data = moved.read_bytes()
    moved.unlink()
    manifests.update(lake)
    toy.write_photos(lake.root.parent / "photos", [60])
    moved.write_bytes((moved.parent / "photo_060.jpg").read_bytes())
    manifests.update(lake)  # a new image, in the last shard
    toy.extract(lake, SHARDS[2:])
    assert moved.read_bytes() != data
    report = build_generation(lake)
    assert not build_generation(lake).built
    generation = open_generation(lake)
    table = generation.live_table(["path", "shard", "content_hash"])
    rows = {row["path"]: row for row in table.to_pylist()}
    assert report.rows == len(table) == len(rows) == 21
    assert rows["photo_009.jpg"]["shard"] == SHARDS[2]
    assert rows["photo_009.jpg"]["content_hash"] == rows["photo_060.jpg"]["content_hash"]
    a, b = (generation.row_of(image_id("photos", path)) for path in ("photo_009.jpg", "photo_060.jpg"))
    np.testing.assert_array_equal(*(generation.matrix("phash")[row] for row in (a, b)))


def test_whole_build_takes_held_vectors_from_the_generation(lake):
    before = open_generation(lake)
    drop(lake, "phash")
    change_first_shard(lake)
    report = build_generation(lake, IndexParams(m=7))
    assert report.why == "built whole: HNSW parameters changed"
    after = open_generation(lake)
    assert (report.rows, report.removed, len(after)) == (19, 0, 19)
    for shard in SHARDS[1:]:
        assert rows_of(after, shard) == rows_of(before, shard)
    for name in TWO:
        stored = {row["path"]: row[name] for shard in SHARDS for row in rows_of(before, shard)}
        paths = after.rows["path"].to_pylist()
        np.testing.assert_array_equal(after.matrix(name).tolist(), [stored[path] for path in paths])


def test_removed_rows_are_not_carried_over(lake):
    change_first_shard(lake)
    assert build_once(lake).removed == 1
    drop(lake, "phash", SHARDS[0])
    report = build_generation(lake, IndexParams(m=7))
    assert (report.rows, report.removed) == (19, 0)
    assert "photo_000.jpg" not in open_generation(lake).rows["path"].to_pylist()


def test_damaged_vectors_are_not_carried_over(lake):
    path = lake.local_generation("000001") / "phash.npy"  # not opened: that would verify it in the background
    data = bytearray(path.read_bytes())
    data[-70] ^= 1  # of the second shard: the last has four images of eight bytes
    path.write_bytes(data)
    drop(lake, "phash")
    report = build_generation(lake, IndexParams(m=7))
    assert report.why == "built whole: no generation to extend"
    assert (report.rows, report.waiting) == (12, WaitingImages(8, 0, {"phash": 8}))


def test_held_rows_keep_user_columns(lake, tmp_path):
    file = tmp_path / "captions.csv"
    file.write_text("path,caption\nphoto_009.jpg,nine\nphoto_001.jpg,one\n")
    toy.set_to(lake, columns=(str(file),))
    drop(lake, "phash")
    build_once(lake)
    table = open_generation(lake).live_table(["path", "caption"]).to_pylist()
    assert {row["path"]: row["caption"] for row in table if row["caption"]} == {
        "photo_009.jpg": "nine",
        "photo_001.jpg": "one",
    }


def test_held_rows_of_a_renamed_source_get_its_name(lake):
    before = rows_of(open_generation(lake), SHARDS[1])
    drop(lake, "phash")
    rename_source(lake, "photos", "trips")
    report = build_once(lake)
    assert (report.why, report.rows) == ("extends 000001 by 0 rows, 0 removed", 20)
    assert report.waiting == WaitingImages(8, 8, {"phash": 8})
    after = rows_of(open_generation(lake), "trips-0001")
    assert after == [
        row | {"source": "trips", "shard": "trips-0001", "image_id": image_id("trips", row["path"])} for row in before
    ]


def test_rows_of_a_dropped_source_are_not_held(lake, tmp_path):
    toy.write_photos(tmp_path / "more", range(50, 56))
    lake.save_settings(lake.settings().with_folders([str(tmp_path / "more")]))
    assert toy.build(lake).rows == 26
    for shard in (*SHARDS, "more-0000"):
        drop(lake, "phash", shard)
    assert build_once(lake).id == "000002"
    toy.set_to(lake, sources={"photos": tmp_path / "photos"})
    report = build_once(lake)
    assert (report.rows, report.features) == (20, TWO)
    assert set(open_generation(lake).live_table(["source"])["source"].to_pylist()) == {"photos"}


# -- generations of earlier versions --------------------------------------------------------------------------


def make_older(lake: Lake, **facts: object) -> None:
    """Edit the manifest of the first generation so that it is as the version before wrote it."""

    def older(now: dict) -> dict:
        later = ("shards", "held", "waiting_images")
        features = {n: {k: v for k, v in of.items() if k != "computations"} for n, of in now["features"].items()}
        return {k: v for k, v in now.items() if k not in later} | {"features": features, "fingerprint": "x"} | facts

    toy.edit_manifest(lake, "000001", older)


def test_generation_without_records_is_extended_with_held_rows(lake):
    before = found(lake, "phash")
    make_older(lake)
    assert found(lake, "phash") == before
    drop(lake, "phash")
    report = build_once(lake)
    assert (report.why, report.rows) == ("extends 000001 by 0 rows, 0 removed", 20)
    assert report.waiting == WaitingImages(8, 8, {"phash": 8})
    assert found(lake, "phash") == before
    assert open_generation(lake).facts["shards"][SHARDS[1]] == "rows of x"  # the fingerprint of the older one
    toy.extract(lake)
    report = build_once(lake)
    assert (report.why, report.waiting) == ("extends 000002 by 0 rows, 0 removed", NOTHING)


def test_generation_without_records_stays_while_no_shard_is_complete(lake, monkeypatch):
    make_older(lake, images_version=schemas.IMAGES_VERSION)
    monkeypatch.setattr(schemas, "IMAGES_VERSION", schemas.IMAGES_VERSION + 1)
    report = build_once(lake)
    assert (report.id, report.waiting) == ("000001", WaitingImages(20, 20, {"images": 20}))


def test_rows_of_an_earlier_images_version_are_made_again_when_their_shard_is_complete(lake):
    make_older(lake, images_version=schemas.IMAGES_VERSION - 1)
    drop(lake, "phash")
    report = build_once(lake)
    assert report.why == "built whole: image properties are computed differently"
    assert open_generation(lake).facts["waiting"] == [SHARDS[1]]
    change_first_shard(lake)
    assert build_once(lake).why == "extends 000002 by 0 rows, 1 removed"
    toy.extract(lake)
    assert build_once(lake).why == "built whole: image properties are computed differently"
    assert open_generation(lake).facts["waiting"] == []


# -- status -------------------------------------------------------------------------------------------------


def test_status_says_how_many_images_wait_for_what(lake):
    assert lake_status(lake).waiting_images == NOTHING
    assert "wait" not in lake_status(lake).summary()
    drop(lake, "phash")
    status = lake_status(lake)
    assert not status.up_to_date
    assert "8 images wait (8 for phash); 8 of them are searchable as before" in status.summary().splitlines()
    assert status.summary().endswith("imrec build would compute phash, and publish a generation")
    assert status.to_dict()["waiting_images"] == {"images": 8, "searchable": 8, "reasons": {"phash": 8}}
