"""Renaming, moving and dropping sources: what is known of their images stays, and nothing is read again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import manifests, scan_report, scan_times
from imrec_core.catalog.former_ids import raw_path, renamed_ids
from imrec_core.catalog.ids import image_id
from imrec_core.duplicates.decisions import decide_keep, load_decisions
from imrec_core.errors import BadSettings, BadSource, LakeError, MissingTable, QueryError, UnknownName
from imrec_core.extraction import read_ahead
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.former_names import former_names
from imrec_core.lake.settings import Settings
from imrec_core.runtime.text import escaped
from imrec_core.upkeep.sources import (
    add_sources,
    drop_source,
    list_sources,
    move_source,
    plan_drop,
    preview_move,
    rename_source,
)
from tests.support import toy
from tests.support.pictures import BROKEN

FEATURES = ("rgb_histogram", "phash", "small")
SMALL = {"small": {"base": "rgb_histogram", "dims": 4}}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Forty photos in three shards of the source `photos`, one of them broken, ten of `other`, and a lake of both."""
    folder = tmp_path_factory.mktemp("built")
    toy.write_photos(folder / "photos", range(40))
    (folder / "photos" / "photo_007.jpg").write_bytes(BROKEN["truncated.jpg"]())
    toy.write_photos(folder / "other", range(100, 110))
    sources = {"photos": folder / "photos", "other": folder / "other"}
    toy.build(toy.new_lake(folder / "lake", FEATURES, projections=SMALL, sources=sources))
    return folder


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    """A copy that a test may change."""
    made = toy.copy_lake(built, tmp_path / "copy")
    manifests.update(made)  # records the inodes of the copies
    return made


@pytest.fixture
def unread(monkeypatch) -> None:
    """Every file that is opened for its pixels is an error from now on."""
    monkeypatch.setattr(read_ahead, "decode", lambda *_, **__: pytest.fail("decoded an image"))


def fresh(lake: Lake, root: Path, name: str) -> Lake:
    """The lake that a build would make if the source had had the name from the beginning."""
    sources = {name if old == "photos" else old: place for old, place in lake.settings().sources.items()}
    made = toy.new_lake(root, FEATURES, projections=SMALL, sources=sources)
    shutil.copytree(lake.root / "fitted", root / "fitted")
    toy.build(made)
    return made


def hits_of(lake: Lake, identity: str) -> list[str]:
    hits = Recommender.open(lake).search(ImageId(identity), k=60, by="rgb_histogram", exact=True)
    return [hit.path for hit in hits]


# -- renaming -----------------------------------------------------------------------------------------------


def test_renamed_source_has_the_tables_of_a_fresh_build(lake, tmp_path, unread, monkeypatch):
    change = rename_source(lake, "photos", "trips")
    assert (change.images, change.needs_build) == (40, False)
    monkeypatch.undo()
    made, expected = (
        toy.tables_of(at, "catalog", "images", "features") for at in (lake, fresh(lake, tmp_path / "b", "trips"))
    )
    assert made.keys() == expected.keys()
    for name, table in made.items():
        assert table.equals(expected[name]), name
        assert table.schema.metadata == expected[name].schema.metadata, name


def test_renamed_source_leaves_nothing_to_do_and_keeps_the_rows(lake, unread):
    before = open_generation(lake)
    rows = before.live_table(["row", "path", "content_hash"])
    change = rename_source(lake, "photos", "trips")
    after = open_generation(lake)
    assert (after.id, after.facts["why"]) == (change.generation, f"extends {before.id} by 0 rows, 0 removed")
    assert after.live_table(["row", "path", "content_hash"]).equals(rows)
    assert set(after.columns("source")["source"].to_pylist()) == {"trips", "other"}
    assert manifests.update(lake) == manifests.CatalogDiff(unchanged=50)
    assert toy.extract(lake) and is_up_to_date(lake, plan_generation(lake))
    assert {path.name for path in lake.root.rglob("photos-*.parquet")} == set()


def test_old_ids_and_paths_find_the_images_of_the_new_name(lake, tmp_path):
    old, new = (image_id(name, "photo_003.jpg") for name in ("photos", "trips"))
    before = hits_of(lake, old)
    rename_source(lake, "photos", "trips")
    assert hits_of(lake, old) == hits_of(lake, new) == before
    generation = open_generation(lake)
    unknown = image_id("photos", "never.jpg")
    assert generation.rows_of([old, new, unknown]).tolist() == [generation.row_of(new)] * 2 + [-1]
    with pytest.raises(QueryError, match="no image"):
        generation.row_of(unknown)
    paths = pa.array(["photos/photo_003.jpg", "trips/photo_003.jpg", "photo_003.jpg", "photos/photo_999.jpg"])
    assert generation.find_rows(paths, {}).tolist() == [generation.row_of(new)] * 3 + [-1]


def test_two_renames_in_a_row_and_back_resolve_all_names(lake):
    for old, new in (("photos", "a"), ("a", "b"), ("b", "photos")):
        rename_source(lake, old, new)
    assert lake.settings().former_names == {"a": "photos", "b": "photos"}
    generation = open_generation(lake)
    ids = [image_id(name, "photo_001.jpg") for name in ("photos", "a", "b")]
    assert len(set(generation.rows_of(ids).tolist())) == 1
    assert generation.row_of(ids[0]) >= 0
    assert lake.settings().source("a").root == lake.settings().sources["photos"]


def test_former_name_can_be_renamed_moved_and_dropped_too(lake, tmp_path):
    rename_source(lake, "photos", "trips")
    assert rename_source(lake, "photos", "holiday").images == 40
    assert manifests.diff(lake).unchanged == 50
    shutil.move(lake.settings().sources["holiday"], tmp_path / "here")
    assert preview_move(lake, "photos", str(tmp_path / "here")).found == 40
    assert move_source(lake, "trips", str(tmp_path / "here")).name == "holiday"
    assert drop_source(lake, "photos").images == 40
    assert (lake.shards(), lake.settings().former_names) == (["other-0000"], {})


def test_columns_of_a_user_keep_their_images_whatever_name_is_their_key(lake, tmp_path):
    ids = [image_id("photos", f"photo_{n:03d}.jpg") for n in range(3)]
    by_id, by_path = tmp_path / "id.csv", tmp_path / "path.csv"
    by_id.write_text("image_id,rating\n" + "".join(f"{one},{n}\n" for n, one in enumerate(ids)))
    by_path.write_text("path,caption\n" + "".join(f"photos/photo_{n:03d}.jpg,c{n}\n" for n in range(3)))
    toy.set_to(lake, columns=(str(by_id), str(by_path)))
    build_generation(lake)
    rename_source(lake, "photos", "trips")
    table = open_generation(lake).live_table(["path", "source", "rating", "caption"])
    found = {row["path"]: (row["rating"], row["caption"]) for row in table.to_pylist() if row["rating"] is not None}
    assert found == {f"photo_{n:03d}.jpg": (n, f"c{n}") for n in range(3)}


def test_decisions_hold_under_the_new_name(lake):
    decide_keep(lake, image_id("photos", "photo_003.jpg"))
    kept = load_decisions(lake)
    rename_source(lake, "photos", "trips")
    assert load_decisions(lake) == kept == decide_keep(lake, image_id("photos", "photo_003.jpg"))


def test_lake_with_stale_tables_stays_as_stale_under_the_new_name(lake, unread):
    (lake.settings().sources["photos"] / "photo_001.jpg").unlink()
    toy.write_photos(lake.settings().sources["photos"], [200])
    manifests.update(lake)
    change = rename_source(lake, "photos", "trips")
    assert change.needs_build
    assert change.generation is None
    images = lake.made_from(lake.images_path("trips-0000"))
    assert images["shard_version"] != lake.made_from(lake.catalog_path("trips-0000"))["shard_version"]


def test_stale_lake_that_was_renamed_decodes_only_what_is_new(lake, monkeypatch):
    toy.write_photos(lake.settings().sources["photos"], [200])
    manifests.update(lake)
    rename_source(lake, "photos", "trips")
    assert sum(report.decoded for report in toy.extract(lake)) == 1
    toy.derive(lake)
    assert build_generation(lake).why.endswith("by 1 rows, 0 removed")


@pytest.mark.parametrize("failing", range(0, 16, 3))
def test_rename_that_is_cut_off_at_any_write_changes_nothing_or_is_done_again(lake, monkeypatch, failing):
    write, count = Lake.write_table, iter(range(100))

    def cut(self, path, table, made_from):
        if next(count) == failing:
            raise KeyboardInterrupt
        return write(self, path, table, made_from)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write_table", cut)
        try:
            rename_source(lake, "photos", "trips")
        except KeyboardInterrupt:
            assert list(lake.settings().sources) == ["photos", "other"]
            assert is_up_to_date(lake, plan_generation(lake))
            assert manifests.diff(lake).unchanged == 50
            rename_source(lake, "photos", "trips")
    assert set(lake.settings().sources) == {"trips", "other"}
    assert is_up_to_date(lake, plan_generation(lake))
    assert manifests.diff(lake) == manifests.CatalogDiff(unchanged=50)


def test_rename_cut_off_after_lake_toml_has_the_new_name_leaves_a_whole_lake(lake, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("imrec_core.upkeep.sources.remove_tables", lambda *_: pytest.raises(OSError) and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rename_source(lake, "photos", "trips")
    assert manifests.update(lake) == manifests.CatalogDiff(unchanged=50)
    assert build_generation(lake).rows == 49
    assert hits_of(lake, image_id("photos", "photo_003.jpg"))


def test_damaged_table_is_left_out_and_made_again(lake):
    lake.feature_path("phash", "photos-0001").write_bytes(b"no table")
    rename_source(lake, "photos", "trips")
    assert not lake.feature_path("phash", "trips-0001").exists()
    assert [report.features for report in toy.extract(lake) if report.features] == [("phash",)]


def test_names_that_are_taken_or_invalid_are_refused_and_nothing_changes(lake):
    before = toy.times(lake, "catalog", "images", "features")
    with pytest.raises(BadSettings, match=r"source 'other' is .*other already"):
        rename_source(lake, "photos", "other")
    with pytest.raises(BadSettings, match=r"source 'photos' is .*photos already"):
        rename_source(lake, "photos", "photos")
    with pytest.raises(BadSettings, match=r"invalid source name 'a b'.*try 'a-b'"):
        rename_source(lake, "photos", "a b")
    with pytest.raises(UnknownName, match="no source named 'fotos'; did you mean 'photos'"):
        rename_source(lake, "fotos", "trips")
    assert toy.times(lake, "catalog", "images", "features") == before


def test_tables_left_from_a_source_of_the_new_name_are_not_mixed_in(lake):
    toy.set_to(lake, sources={"photos": lake.settings().sources["photos"]})  # `other` was taken out by hand
    build_generation(lake)
    rename_source(lake, "photos", "other")
    assert lake.shards() == ["other-0000", "other-0001", "other-0002"]
    assert open_generation(lake).live_table(["path"])["path"].to_pylist() == [
        f"photo_{n:03d}.jpg" for n in range(40) if n != 7
    ]


@pytest.mark.parametrize(
    ("since", "running", "resolves"),
    [
        *(("0.1.0", now, True) for now in ("0.1.0", "0.1.7", "0.2.0", "0.2.9", "1.0.0")),
        *(("0.1.0", now, False) for now in ("0.3.0", "1.1.0", "2.0.0")),
        *(("1.4", now, now == "1.5.dev1") for now in ("1.5.dev1", "1.6")),
    ],
)
def test_former_name_resolves_in_its_release_and_the_next(since, running, resolves):
    renamed = {"old": {"name": "new", "version": since}}
    assert former_names(renamed, {"new"}, running) == ({"old": "new"} if resolves else {})


def test_former_names_that_lead_nowhere_or_in_a_circle_do_not_resolve():
    renamed = {a: {"name": b, "version": "0.1"} for a, b in ("ab", "bc", "ca", "xy")}
    assert former_names(renamed, {"z"}, "0.1") == {}
    assert former_names(renamed, {"c"}, "0.1") == {"a": "c", "b": "c"}


@pytest.mark.parametrize(
    "entry", [{}, {"name": "a"}, {"name": "a", "version": 1}, {"name": "a", "version": "0.1", "more": "b"}]
)
def test_invalid_entry_of_a_renamed_source_is_refused(entry):
    with pytest.raises(BadSettings, match=r"renamed_sources\.old: expected name and version"):
        Settings(renamed_sources={"old": entry})


NAMES = [
    b"plain.jpg",
    b"caf\xe9.jpg",
    rb"caf\xe9.jpg",
    rb"\xff" + b"\xfe" + rb"\x00.jpg",
    b"back\\slash.jpg",
    "é.jpg".encode(),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_ids_of_strange_names_follow_from_what_is_stored(name):
    path = os.fsdecode(name)
    identity = image_id("old", path)
    assert raw_path("old", escaped(path), identity) == path
    images = pa.table({"image_id": [identity], "path": [escaped(path)]})
    assert renamed_ids(images, "old", "new").to_pylist() == [image_id("new", path)]


def test_id_of_another_path_is_an_error():
    with pytest.raises(LakeError, match=r"has another path than 'b\.jpg'"):
        raw_path("s", "b.jpg", image_id("s", "a.jpg"))


# -- moving -------------------------------------------------------------------------------------------------


def test_moved_source_decodes_nothing_even_if_its_files_have_other_times(lake, tmp_path):
    old = lake.settings().sources["photos"]
    shutil.copytree(old, tmp_path / "disk" / "here", copy_function=shutil.copyfile)
    shutil.rmtree(old)
    preview = preview_move(lake, "photos", str(tmp_path / "disk" / "here"))
    assert (preview.known, preview.found, preview.is_plausible) == (40, 40, True)
    assert move_source(lake, "photos", str(tmp_path / "disk" / "here")).needs_build
    manifests.update(lake)
    assert sum(report.decoded for report in toy.extract(lake)) == 1  # the broken one is tried again
    toy.derive(lake)
    build_generation(lake)
    hits = [Path(hit) for hit in hits_of(lake, image_id("other", "photo_100.jpg"))]
    assert sum(hit.is_file() and hit.is_relative_to(tmp_path / "disk" / "here") for hit in hits) == 39


def test_place_with_other_images_is_not_plausible(lake, tmp_path):
    toy.write_photos(tmp_path / "new", range(60, 70))
    preview = preview_move(lake, "photos", str(tmp_path / "new"))
    assert (preview.known, preview.found, preview.is_plausible) == (40, 0, False)


def test_place_that_is_missing_empty_or_of_another_source_is_refused(lake, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSource, match="does not exist"):
        move_source(lake, "photos", str(tmp_path / "gone"))
    with pytest.raises(BadSource, match="holds no image"):
        move_source(lake, "photos", str(tmp_path / "empty"))
    with pytest.raises(BadSettings, match="is source 'other' already"):
        move_source(lake, "photos", str(lake.settings().sources["other"]))
    with pytest.raises(UnknownName):
        move_source(lake, "fotos", str(tmp_path / "empty"))


# -- dropping -----------------------------------------------------------------------------------------------


def test_plan_says_what_goes_and_changes_nothing(lake):
    before = toy.times(lake, ".")
    plan = plan_drop(lake, "photos")
    sizes = [path.stat().st_size for path in lake.root.rglob("photos-*.parquet")]
    assert (plan.images, plan.vectors, plan.byte_size) == (40, 39 * 3, sum(sizes))
    assert "40 images and their 117 vectors go from the lake" in plan.summary()
    assert "the image files stay" in plan.summary()
    assert toy.times(lake, ".") == before


def test_dropped_source_is_gone_from_tables_and_searches_and_its_files_stay(lake):
    files = sorted(lake.settings().sources["photos"].iterdir())
    change = drop_source(lake, "photos")
    assert sorted(files[0].parent.iterdir()) == files
    assert {path.name for path in lake.root.rglob("photos-*.parquet")} == set()
    assert list(lake.settings().sources) == ["other"]
    assert lake.current_generation() == change.generation
    assert len(open_generation(lake).live) == 10
    assert manifests.update(lake) == manifests.CatalogDiff(unchanged=10)


def test_last_source_that_is_dropped_leaves_a_lake_without_a_generation(lake):
    drop_source(lake, "photos")
    assert drop_source(lake, "other").generation is None
    assert lake.shards() == []
    with pytest.raises(MissingTable, match="no generation yet"):
        open_generation(lake)


def test_drop_beside_changes_that_are_not_built_says_that_a_build_is_due(lake):
    toy.write_photos(lake.settings().sources["other"], [300])
    manifests.update(lake)
    assert drop_source(lake, "photos").needs_build
    toy.extract(lake)
    toy.derive(lake)
    assert build_generation(lake).rows == 11


def test_source_of_that_name_that_is_added_later_starts_from_nothing(lake, tmp_path):
    drop_source(lake, "photos")
    toy.write_photos(tmp_path / "else", range(60, 65))
    assert add_sources(lake, [f"photos={tmp_path / 'else'}"]) == ["photos"]
    assert manifests.update(lake).new == 5


# -- listing ------------------------------------------------------------------------------------------------


def scan(lake: Lake) -> None:
    """Scan as the asset `catalog` does."""
    scan_times.record(lake, dict(manifests.update(lake).unavailable))


def test_list_says_where_sources_are_how_large_and_when_they_were_scanned(lake):
    scan(lake)
    photos, other = list_sources(lake)
    files = list(lake.settings().sources["photos"].iterdir())
    assert (photos.name, photos.place, photos.images) == ("photos", str(files[0].parent), 40)
    assert photos.byte_size == sum(file.stat().st_size for file in files)
    assert photos.scanned
    assert photos.is_there and other.is_there
    shutil.rmtree(lake.settings().sources["other"])
    scan(lake)
    again = list_sources(lake)
    assert [source.is_there for source in again] == [True, False]
    assert again[1].scanned == other.scanned
    assert again[1].images == 10


def test_source_that_was_never_scanned_says_so_and_a_damaged_record_is_made_again(lake, tmp_path):
    toy.write_photos(tmp_path / "new", range(3))
    add_sources(lake, [str(tmp_path / "new")])
    assert list_sources(lake)[-1].scanned is None
    lake.layout.scan_times_path.write_text("{")
    assert [source.scanned for source in list_sources(lake)] == [None] * 3
    scan(lake)
    assert all(source.scanned for source in list_sources(lake))


def test_report_of_the_last_scan_goes_with_its_source(lake, tmp_path):
    (tmp_path / "copy" / "photos" / "film.mp4").write_bytes(b"moving")
    toy.build(lake)
    assert scan_report.load(lake, "photos").not_read == {"mp4": 1}
    rename_source(lake, "photos", "pictures")
    assert scan_report.load(lake, "pictures").not_read == {"mp4": 1}
    assert scan_report.load(lake, "photos") == scan_report.ScanReport()
    drop_source(lake, "pictures")
    assert scan_report.load(lake, "pictures") == scan_report.ScanReport()


def test_lists_of_a_folder_without_a_lake_say_so(tmp_path):
    with pytest.raises(MissingTable, match="there is no lake"):
        list_sources(Lake(tmp_path / "none"))
