"""A lake and its sources in an object store: what is fetched, what is kept, and what a fault must not do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from s3fs import S3FileSystem

from imrec_core import Lake, Recommender
from imrec_core.catalog import manifests, scan
from imrec_core.duplicates import find_duplicates
from imrec_core.errors import BadSettings, BadSource, MissingTable, StaleIndex, StorageFault
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.storage import files, object_store, retry
from imrec_core.search.query import ImageId
from imrec_core.sql import views
from imrec_core.status import lake_status
from tests.support import s3, toy
from tests.support.pictures import BROKEN, encode

DOWN = ("slow down",)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)


@pytest.fixture
def remote_lake(store, tmp_path) -> Callable[..., Lake]:
    """Makes a lake in the bucket, of `photos` pictures in the bucket (built unless `built=False`)."""

    def make(photos: int = 12, features: tuple[str, ...] = ("phash", "rgb_histogram"), *, built: bool = True) -> Lake:
        toy.write_photos(tmp_path / "photos", range(photos))
        s3.put_folder(tmp_path / "photos", "photos")
        lake = toy.new_lake(s3.path("lake"), features, sources={"photos": s3.path("photos")}, shard_size=8)
        if built:
            toy.build(lake)
        return lake

    return make


def cached(lake: Lake) -> set[str]:
    """The generations that are on this machine."""
    return set(files.list_names(lake.local_generation(lake.current_generation()).parent))


def rows(lake: Lake) -> dict[str, int]:
    found = views.query(lake, "SELECT status, count(*) FROM images GROUP BY status").fetchall()
    return dict(found)


# -- the lake -----------------------------------------------------------------------------------------------


def test_lake_is_made_reads_its_settings_and_is_opened_by_its_url(remote_lake):
    lake = remote_lake(built=False)
    other = Lake("s3://pictures/lake/")
    assert str(other.root) == "s3://pictures/lake"
    assert other.settings() == lake.settings()
    assert str(other.settings().sources["photos"]) == "s3://pictures/photos"
    assert b'photos = "s3://pictures/photos"' in object_store.read(other.settings_path)
    with pytest.raises(MissingTable, match="there is no lake at s3://pictures/other"):
        Lake("s3://pictures/other").check_version()


def test_search_gives_the_same_as_on_a_disk(remote_lake, tmp_path):
    lake = remote_lake()
    local = toy.new_lake(tmp_path / "lake", ("phash", "rgb_histogram"), shard_size=8)
    toy.build(local)
    there, here = Recommender.open(lake), Recommender.open(local)
    for by in ("phash", "rgb_histogram"):
        found = there.search("s3://pictures/photos/photo_003.jpg", k=5, by=by, with_self=True)
        expected = here.search(tmp_path / "photos" / "photo_003.jpg", k=5, by=by, with_self=True)
        assert toy.ids(found) == toy.ids(expected)
        assert [hit.score for hit in found] == [hit.score for hit in expected]
    assert found[0].path == "s3://pictures/photos/photo_003.jpg"
    assert toy.ids(there.search(ImageId(found[0].image_id), by=by, k=4)) == toy.ids(found)[1:]
    found.contact_sheet(tmp_path / "sheet.png")
    assert found.explain(1).width > 100


def test_build_with_nothing_new_writes_nothing(remote_lake, store):
    lake = remote_lake()
    before = {e["name"]: e["ETag"] for e in S3FileSystem().find(f"{s3.BUCKET}/lake", detail=True).values()}
    assert not toy.build(lake).built
    assert {e["name"]: e["ETag"] for e in S3FileSystem().find(f"{s3.BUCKET}/lake", detail=True).values()} == before


def test_plan_asks_for_folders_not_for_every_table(remote_lake, store, monkeypatch):
    monkeypatch.setattr(object_store, "_MAX_AGE", 60.0)  # no listing expires on a busy machine
    lake = remote_lake()
    object_store.invalidate(lake.root)
    store.requests.clear()
    for _ in range(20):
        lake_status(lake)
    # 2 tables, version, CURRENT, checksums, whether the source is there, and one listing for all sizes
    assert store.requests.total() <= 20 * 12
    assert store.requests["HEAD"] <= 30


def test_runs_of_a_process_are_lines_of_one_object(remote_lake):
    from imrec_core.lake import run_log

    lake = remote_lake(built=False)
    for seconds in (1.0, 2.0):
        run_log.note(lake, "scan", "photos", seconds)
    assert len(lake.run_logs()) == 1
    assert views.query(lake, "SELECT sum(seconds) FROM runs").fetchall() == [(3.0,)]


def test_sql_reads_only_the_columns_it_is_asked_for(store, monkeypatch):
    lake = toy.vector_lake(s3.path("lake"), {"rgb_histogram": np.random.default_rng(0).random((1000, 512))})
    read, part = [], object_store.read_part
    monkeypatch.setattr(
        object_store, "read_part", lambda p, start, end: read.append(end - start) or part(p, start, end)
    )
    assert views.query(lake, "SELECT count(DISTINCT image_id) FROM rgb_histogram").fetchall() == [(1000,)]
    size = files.status(lake.feature_path("rgb_histogram", "photos-0000")).byte_size
    assert sum(read) < size / 2


def test_sql_sees_vectors_of_half_precision(store):
    vectors = np.random.default_rng(0).random((200, 1280)).astype(np.float16)
    lake = toy.vector_lake(s3.path("lake"), {"efficientnet_lite0": vectors})
    found = views.query(lake, "SELECT typeof(vector), vector[1] FROM efficientnet_lite0 LIMIT 1").fetchall()
    assert found == [("FLOAT[1280]", float(vectors[0, 0]))]


def test_network_file_in_the_bucket_is_refused_in_words(remote_lake):
    lake = remote_lake(built=False)
    models = {"mine": {"file": "net.onnx", "dims": 8, "crop": 32}}
    with pytest.raises(BadSettings, match=r"models.mine: file s3://pictures/lake/net.onnx is not on this machine"):
        toy.set_to(lake, models=models)
        from imrec_core.features import known_features

        known_features(lake)


# -- generations --------------------------------------------------------------------------------------------


def test_generation_is_fetched_once_and_checked(remote_lake, store):
    lake = remote_lake()
    folder = lake.local_generation("000001")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert len(open_generation(lake)) == 12
    assert (folder / "checksums.json").exists()
    store.requests.clear()
    open_generation(lake)
    assert store.requests["GET"] < 8


def test_cached_generation_that_is_damaged_is_fetched_again(remote_lake):
    lake = remote_lake()
    matrix = lake.local_generation("000001") / "phash.npy"
    whole = matrix.read_bytes()
    matrix.write_bytes(whole[:-8])
    assert len(open_generation(lake)) == 12
    assert matrix.read_bytes() == whole


def test_generation_that_is_damaged_in_the_store_gives_way_to_the_one_before(remote_lake, tmp_path, caplog):
    lake = remote_lake()
    s3.put("photos/new.jpg", encode(toy.photo(77), "JPEG"))
    toy.build(lake)
    s3.put("lake/generations/000002/phash.npy", b"something else")
    for path in (folder := lake.local_generation("000002")).iterdir():
        path.unlink()
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        assert open_generation(lake).id == "000001"
    assert "phash.npy differs from its checksum" in caplog.text
    assert toy.build(lake).built  # and the next build makes a whole one
    assert len(open_generation(lake)) == 13


def test_generation_that_was_extended_here_is_not_fetched_again(remote_lake, store):
    lake = remote_lake()
    s3.put("photos/new.jpg", encode(toy.photo(77), "JPEG"))
    assert toy.build(lake).why.startswith("extends 000001")
    store.requests.clear()
    first, second = (lake.local_generation(name) / "phash.npy" for name in ("000001", "000002"))
    assert first.samefile(second) and store.requests["GET"] == 2  # of their checksums
    assert (len(Generation(first.parent)), len(Generation(second.parent))) == (12, 13)


def test_generation_that_cannot_be_uploaded_leaves_the_one_before_as_it_was(remote_lake, monkeypatch):
    lake = remote_lake()
    s3.put("photos/new.jpg", encode(toy.photo(77), "JPEG"))
    manifests.update(lake)
    toy.extract(lake)

    def refused(path: Path, to: object) -> None:
        raise StorageFault("the store takes nothing")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "upload", refused)
        with pytest.raises(StorageFault):
            build_generation(lake)
    assert open_generation(lake).vector_file("phash").is_complete()
    assert build_generation(lake).why.startswith("extends 000001")


def test_lake_that_was_made_anew_under_the_same_url_is_not_mixed_up(remote_lake, tmp_path):
    lake = remote_lake(12)
    open_generation(lake)
    object_store.remove(lake.root)
    object_store.remove(s3.path("photos"))
    for path in (tmp_path / "photos").iterdir():
        path.unlink()
    again = remote_lake(5)
    assert again.current_generation() == "000001"
    assert open_generation(again).rows["path"].to_pylist() == [f"photo_00{i}.jpg" for i in range(5)]


def test_old_generations_go_from_the_store_and_from_this_machine(remote_lake):
    lake = remote_lake()
    for number in range(3):
        s3.put(f"photos/new_{number}.jpg", encode(toy.photo(50 + number), "JPEG"))
        toy.build(lake)
    assert lake.generations() == ["000003", "000004"]
    assert cached(lake) == {"000003", "000004"}
    assert files.list_names(lake.root / "generations") == ["000003", "000004", "CURRENT"]


def test_open_recommender_goes_over_to_the_new_generation(remote_lake, monkeypatch):
    lake = remote_lake()
    monkeypatch.setattr(object_store, "_MAX_AGE", 0.0)
    rec = Recommender.open("s3://pictures/lake")
    assert rec.search("s3://pictures/photos/photo_001.jpg", k=1).generation == "000001"
    s3.put("photos/new.jpg", encode(toy.photo(77), "JPEG"))
    toy.build(lake)
    found = rec.search("s3://pictures/photos/new.jpg", k=1, with_self=True)
    assert (found.generation, found[0].path) == ("000002", "s3://pictures/photos/new.jpg")


def test_generation_without_its_last_object_is_none(remote_lake):
    lake = remote_lake()
    s3.put("lake/generations/000009/rows.parquet")
    object_store.invalidate(lake.root)
    assert lake.generations() == ["000001"]
    s3.put("photos/new.jpg", encode(toy.photo(77), "JPEG"))
    assert toy.build(lake).id == "000002"
    assert "000009" not in files.list_names(lake.root / "generations")


def test_generation_that_is_gone_is_told(remote_lake):
    lake = remote_lake()
    object_store.remove(lake.generation_path("000001"))
    with pytest.raises(StaleIndex, match="s3://pictures/lake/generations/000001 is gone"):
        lake.local_generation("000001")


# -- sources ------------------------------------------------------------------------------------------------


def test_objects_are_listed_as_files_are(remote_lake, tmp_path):
    lake = remote_lake(3, built=False)
    for name in ("photos/a/b/c.jpg", "photos/.hidden/d.jpg", "photos/notes.txt", "photos/ä ö.jpg"):
        s3.put(name)
    S3FileSystem().pipe_file(f"{s3.BUCKET}/photos/marker/", b"")  # how some tools make a folder
    found = scan.scan_source(lake.settings().source("photos"), lake.settings())
    assert found["path"].to_list() == ["a/b/c.jpg", "photo_000.jpg", "photo_001.jpg", "photo_002.jpg", "ä ö.jpg"]
    toy.set_to(lake, scan_hidden=True)
    assert ".hidden/d.jpg" in scan.scan_source(lake.settings().source("photos"), lake.settings())["path"].to_list()


def test_lake_among_the_pictures_is_not_scanned(remote_lake, store):
    lake = remote_lake(3)
    toy.set_to(lake, sources={"all": s3.path()}, extensions=("jpg", "parquet"))
    found = manifests.diff(lake).manifests[0].table["path"].to_pylist()
    assert found == ["photos/photo_000.jpg", "photos/photo_001.jpg", "photos/photo_002.jpg"]


def test_object_written_again_with_the_same_size_has_changed(remote_lake):
    lake = remote_lake(3)
    data = object_store.read(s3.path("photos/photo_001.jpg"))
    s3.put("photos/photo_001.jpg", data[:-1] + bytes([data[-1] ^ 1]))
    assert manifests.diff(lake).changed == 1
    assert manifests.diff(lake).unchanged == 2


def test_folder_that_cannot_be_listed_is_never_taken_for_empty(remote_lake, store, monkeypatch):
    lake = remote_lake(3, built=False)
    s3.put("photos/below/x.jpg", encode(toy.photo(9), "JPEG"))
    toy.build(lake)
    listing = object_store.listing

    def fails_below(folder):
        if folder.name == "below":
            raise StorageFault("down")
        return listing(folder)

    monkeypatch.setattr(object_store, "listing", fails_below)
    found = manifests.diff(lake)
    assert (found.removed, len(found.unavailable)) == (0, 1)
    assert "cannot be listed" in found.unavailable[0][1]


def test_store_that_is_down_or_emptied_removes_nothing(remote_lake, store):
    lake = remote_lake(3)
    settings = lake.settings()
    object_store.remove(s3.path("photos"))
    found = manifests.diff(lake)
    assert (found.removed, len(found.unavailable)) == (0, 1)
    store.share, store.kinds = 1.0, DOWN
    with pytest.raises(BadSource, match="cannot be listed"):
        scan.scan_source(settings.source("photos"), settings)
    with pytest.raises(StorageFault):
        toy.build(lake)


def test_store_that_goes_down_while_it_is_read_fails_no_image(remote_lake, store, monkeypatch):
    lake = remote_lake(20, built=False)
    s3.put("photos/broken.jpg", BROKEN["truncated.jpg"]())
    manifests.update(lake)
    read, count = object_store.read, []

    def goes_down(path, byte_size=None):
        if str(path).startswith("s3://pictures/photos"):
            count.append(path)
            if len(count) > 12:
                raise StorageFault("down")
        return read(path, byte_size)

    monkeypatch.setattr(object_store, "read", goes_down)
    with pytest.raises(StorageFault):
        toy.extract(lake)
    monkeypatch.setattr(object_store, "read", read)
    assert rows(lake).get("failed", 0) <= 1
    toy.build(lake)
    assert rows(lake) == {"ok": 20, "failed": 1}
    assert [failure["path"] for failure in views.failures(lake)] == ["broken.jpg"]


def test_image_that_is_gone_or_refused_is_a_failed_image(remote_lake, monkeypatch):
    lake = remote_lake(5, built=False)
    manifests.update(lake)
    object_store.remove(s3.path("photos/photo_002.jpg"))
    read = object_store.read

    def refuses(path, byte_size=None):
        if path.name == "photo_003.jpg":
            raise PermissionError("Access Denied")
        return read(path, byte_size)

    monkeypatch.setattr(object_store, "read", refuses)
    toy.extract(lake)
    assert {f["path"]: f["error"].partition(":")[0] for f in views.failures(lake)} == {
        "photo_002.jpg": "UnreadableImage",
        "photo_003.jpg": "UnreadableImage",
    }


def test_images_are_read_side_by_side_but_not_too_many(remote_lake, monkeypatch):
    import threading
    import time

    lake = remote_lake(64, built=False)
    toy.set_to(lake, shard_size=64)
    manifests.update(lake)
    read, lock, now, most = object_store.read, threading.Lock(), [0], [0]

    def slow(path, byte_size=None):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return read(path, byte_size)

    monkeypatch.setattr(object_store, "read", slow)
    toy.extract(lake)
    assert 8 < most[0] <= object_store.CONNECTIONS


def test_duplicates_are_found_and_not_moved(remote_lake, tmp_path):
    from imrec_core.duplicates.move_plan import MovePlan

    lake = remote_lake(4, built=False)
    s3.put("photos/copy.jpg", object_store.read(s3.path("photos/photo_001.jpg")))
    toy.build(lake)
    found = find_duplicates(lake, tier="identical")
    (group,) = found.groups
    assert {copy.path for copy in group.copies} == {
        "s3://pictures/photos/copy.jpg",
        "s3://pictures/photos/photo_001.jpg",
    }
    plan = MovePlan.of(found)
    assert not plan.moves
    (left,) = plan.left
    assert left.path.startswith("s3://pictures/photos/") and "object store" in left.reason


def test_local_sources_and_sources_in_a_bucket_stand_in_one_lake(remote_lake, tmp_path):
    lake = remote_lake(4, built=False)
    toy.write_photos(tmp_path / "other", range(30, 33))
    toy.set_to(lake, sources={**lake.settings().sources, "other": tmp_path / "other"})
    assert toy.build(lake).rows == 7
    found = Recommender.open(lake).search(tmp_path / "other" / "photo_031.jpg", k=1, with_self=True)
    assert Path(found[0].path) == tmp_path / "other" / "photo_031.jpg"


def test_columns_of_ones_own_may_lie_in_the_bucket(remote_lake):
    lake = remote_lake(3, built=False)
    s3.put("lake/mine.csv", b"path,stars\nphoto_001.jpg,5\n")
    toy.set_to(lake, columns=("s3://pictures/lake/mine.csv",))
    toy.build(lake)
    assert views.query(lake, "SELECT path FROM rows WHERE stars = 5").fetchall() == [("photo_001.jpg",)]
    assert json.loads((lake.local_generation("000001") / "generation.json").read_text())["columns"]
