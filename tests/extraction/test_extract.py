"""One shard → its tables: nothing is skipped silently, nothing is computed twice, nothing is half there."""

from __future__ import annotations

import errno
import os
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from imrec_core import FEATURES, Lake
from imrec_core.catalog import manifests
from imrec_core.errors import (
    BadOutput,
    BadSettings,
    BadSource,
    DeclarationError,
    FailedShards,
    MissingTable,
    SchemaMismatch,
    StorageDenied,
    StorageFault,
    StorageFull,
)
from imrec_core.extraction import read_ahead
from imrec_core.extraction.content_cache import ContentIndex
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.pipeline import ShardExtractor
from imrec_core.extraction.report import STAGES
from imrec_core.extraction.staleness import has_fresh_images, is_feature_fresh, stale_features
from imrec_core.lake import schemas
from tests.support import toy
from tests.support.pictures import BROKEN, PICTURES
from tests.support.toy import build, extract, rewritten, set_to, tables_of, times

TWO = ("rgb_histogram", "phash")


def images(lake: Lake) -> dict[str, dict[str, object]]:
    """The images table by the path in the source."""
    rows = {}
    for shard in lake.live_shards():
        places = lake.read_table(lake.catalog_path(shard)).to_pylist()
        found = {row["image_id"]: row for row in lake.read_table(lake.images_path(shard)).to_pylist()}
        rows |= {place["path"]: found[place["image_id"]] for place in places}
    return rows


def folder_of(lake: Lake) -> Path:
    return lake.root.parent / "photos"


# -- every image has a row ----------------------------------------------------------------------------------


def test_every_file_of_the_catalog_is_ok_or_failed_and_the_ok_ones_have_vectors(toy_lake):
    for shard in toy_lake.shards():
        places = toy_lake.read_table(toy_lake.catalog_path(shard))
        rows = toy_lake.read_table(toy_lake.images_path(shard))
        assert rows["image_id"].equals(places["image_id"])
        assert set(rows["status"].to_pylist()) <= {"ok", "failed"}
        ok = [row["image_id"] for row in rows.to_pylist() if row["status"] == "ok"]
        for name in toy_lake.settings().features:
            table = toy_lake.read_table(toy_lake.feature_path(name, shard))
            assert table["image_id"].to_pylist() == ok
            assert table.schema.equals(FEATURES[name].schema)


def test_broken_pictures_are_failed_with_a_reason_and_the_others_are_ok(toy_lake):
    rows = images(toy_lake)
    failed = {Path(path).name for path, row in rows.items() if row["status"] == "failed"}
    assert failed == set(BROKEN)
    assert {Path(path).name for path, row in rows.items() if row["status"] == "ok"} >= set(PICTURES)
    errors = {name: rows[f"drawn/{name}"]["error"].partition(":")[0] for name in BROKEN}
    assert errors["empty.jpg"] == errors["text.jpg"] == "UnreadableImage"
    assert errors["truncated.jpg"] == errors["damaged.jpg"] == "TruncatedImage"
    assert errors["huge_header.png"] == "ImageTooLarge"


def test_report_counts_what_the_tables_hold(new_lake):
    lake = new_lake(18, TWO, built=False)
    (folder_of(lake) / "bad.jpg").write_bytes(b"no picture")
    manifests.update(lake)
    reports = extract(lake)
    assert [report.shard for report in reports] == lake.shards()
    assert sum(r.rows for r in reports) == 18 and sum(r.failed for r in reports) == 1
    assert [r.reasons for r in reports if r.failed] == [{"UnreadableImage": 1}]
    for report in reports:
        assert report.features == TWO
        assert tuple(report.stage_seconds) == STAGES and report.seconds > 0 and report.images_per_second > 0
        sizes = {name: lake.feature_path(name, report.shard).stat().st_size for name in TWO}
        assert report.table_bytes == sizes | {"images": lake.images_path(report.shard).stat().st_size}
        assert 0 < len(report.thumbnails) <= 8 and report.thumbnails[0][:2] == b"\xff\xd8"


def test_progress_adds_up_to_the_images(new_lake):
    lake = new_lake(18, TWO, built=False)
    (folder_of(lake) / "bad.jpg").write_bytes(b"no picture")
    manifests.update(lake)
    steps: list[tuple[int, int]] = []
    extract(lake, on_images=lambda ok, failed: steps.append((ok, failed)))
    assert np.sum(steps, axis=0).tolist() == [18, 1]


def test_file_that_vanished_since_the_scan_is_failed(new_lake):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)
    (folder_of(lake) / "photo_002.jpg").unlink()
    (report,) = extract(lake)
    assert (report.rows, report.failed) == (4, 1)
    row = images(lake)["photo_002.jpg"]
    assert row["status"] == "failed" and row["content_hash"] is None
    assert row["error"] == "UnreadableImage: cannot read the file: No such file or directory"


def test_file_name_that_is_no_utf_8_is_failed_with_that_reason(new_lake):
    lake = new_lake(2, TWO, built=False)
    try:
        Path(os.fsdecode(os.fsencode(folder_of(lake)) + b"/caf\xe9.jpg")).write_bytes(PICTURES["gradient.jpg"]())
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    manifests.update(lake)
    extract(lake)
    assert images(lake)[r"caf\xe9.jpg"]["error"].startswith("UnreadableImage: the file name is not valid UTF-8")


def test_shard_of_broken_pictures_alone_has_empty_feature_tables(new_lake):
    lake = new_lake(0, TWO, built=False)
    folder_of(lake).mkdir(exist_ok=True)
    (folder_of(lake) / "bad.jpg").write_bytes(b"no picture")
    manifests.update(lake)
    (report,) = extract(lake)
    assert (report.rows, report.failed) == (0, 1)
    for name in TWO:
        assert len(lake.read_table(lake.feature_path(name, report.shard))) == 0


def test_whatever_one_picture_does_to_the_decoder_the_others_go_on(new_lake, monkeypatch):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)
    decode = read_ahead.decode
    worst = (folder_of(lake) / "photo_001.jpg").read_bytes()

    def decode_or_crash(data, **options):
        if data == worst:
            raise MemoryError("no room")
        return decode(data, **options)

    monkeypatch.setattr(read_ahead, "decode", decode_or_crash)
    (report,) = extract(lake)
    assert (report.rows, report.failed) == (4, 1)
    assert images(lake)["photo_001.jpg"]["error"] == "UnreadableImage: MemoryError: no room"


def test_content_hash_is_that_of_the_bytes_and_copies_share_it(new_lake):
    import hashlib

    lake = new_lake(3, TWO, built=False)
    content = (folder_of(lake) / "photo_001.jpg").read_bytes()
    (folder_of(lake) / "copy.jpg").write_bytes(content)
    manifests.update(lake)
    extract(lake)
    rows = images(lake)
    expected = hashlib.blake2b(content, digest_size=16).hexdigest()
    assert rows["copy.jpg"]["content_hash"] == rows["photo_001.jpg"]["content_hash"] == expected
    assert rows["photo_000.jpg"]["content_hash"] != expected


def test_vectors_in_the_tables_are_those_of_the_pictures(new_lake):
    from imrec_core import ImageBatch
    from imrec_core.images.decode import decode

    lake = new_lake(5, toy.CHEAP)
    batch = ImageBatch([decode(p.read_bytes()).pixels for p in sorted(folder_of(lake).glob("*.jpg"))])
    for name in toy.CHEAP:
        stored = schemas.to_matrix(lake.read_table(lake.feature_path(name, "photos-0000"))["vector"])
        np.testing.assert_array_equal(stored, FEATURES[name](batch))


# -- nothing is computed twice ------------------------------------------------------------------------------


def test_second_run_computes_nothing(new_lake):
    lake = new_lake(20, TWO)
    before = times(lake, "features", "images")
    reports = extract(lake)
    assert times(lake, "features", "images") == before
    assert [(r.features, r.failed) for r in reports] == [((), 0), ((), 0)]
    assert sum(r.rows for r in reports) == 20


def test_added_feature_is_the_only_one_computed(new_lake):
    lake = new_lake(20, TWO)
    before = times(lake, "features")
    set_to(lake, features=(*TWO, "ahash"))
    assert [r.features for r in extract(lake)] == [("ahash",), ("ahash",)]
    assert rewritten(before, times(lake, "features")) == {f"features/ahash/{shard}.parquet" for shard in lake.shards()}


def test_tables_made_together_equal_tables_made_one_by_one(new_lake, tmp_path):
    together = new_lake(12, toy.CHEAP, built=False)
    manifests.update(together)
    extract(together)
    alone = toy.new_lake(tmp_path / "alone", toy.CHEAP, sources=together.settings().sources)
    manifests.update(alone)
    for name in reversed(toy.CHEAP):
        list(extract_shards(alone, alone.shards(), [FEATURES[name]]))
    assert tables_of(alone, "features", "images") == tables_of(together, "features", "images")


def test_changed_picture_makes_its_shard_anew_and_no_other(new_lake):
    lake = new_lake(20, TWO)
    before = times(lake, "features", "images")
    (folder_of(lake) / "photo_019.jpg").write_bytes(PICTURES["gradient.jpg"]())
    manifests.update(lake)
    reports = extract(lake)
    assert [r.features for r in reports] == [(), TWO]
    assert all("photos-0001" in path for path in rewritten(before, times(lake, "features", "images")))


def test_raised_version_recomputes_that_feature_alone(new_lake, monkeypatch):
    lake = new_lake(20, TWO)
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=FEATURES["phash"].version + 1))
    assert [r.features for r in extract(lake)] == [("phash",), ("phash",)]
    assert lake.made_from(lake.feature_path("phash", "photos-0000"))["feature_version"] == "2"


def test_other_precision_recomputes_the_networks_features_alone(new_lake):
    network = "efficientnet_lite0"
    lake = new_lake(20, ("phash", network), inference_precision="fp32")
    set_to(lake, inference_precision="auto")
    assert [r.features for r in extract(lake)] == [(), ()]  # what is there is good enough
    set_to(lake, inference_precision="bf16")
    if stale_features(lake, "photos-0000", [FEATURES[network]]):
        assert [r.features for r in extract(lake)] == [(network,), (network,)]
    assert lake.made_from(lake.feature_path(network, "photos-0000"))["precision"] == "bf16"
    assert [r.features for r in extract(lake)] == [(), ()]


def test_deleted_table_is_made_again_alone(new_lake):
    lake = new_lake(20, TWO)
    lake.feature_path("phash", "photos-0001").unlink()
    assert [r.features for r in extract(lake)] == [(), ("phash",)]


def test_damaged_table_is_made_again(new_lake):
    lake = new_lake(5, TWO)
    path = lake.feature_path("phash", "photos-0000")
    path.write_bytes(path.read_bytes()[:100])
    assert [r.features for r in extract(lake)] == [("phash",)]
    assert len(lake.read_table(path)) == 5


def test_picture_that_can_be_read_later_enters_every_table(new_lake, monkeypatch):
    lake = new_lake(5, TWO, built=False)
    decode = read_ahead.decode
    flaky = (folder_of(lake) / "photo_003.jpg").read_bytes()

    def fails_once(data, **options):
        if data == flaky:
            raise OSError("the network share is away")
        return decode(data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(read_ahead, "decode", fails_once)
        assert build(lake).rows == 4
    set_to(lake, features=(*TWO, "ahash"))  # so that the images are read again
    report = build(lake)
    assert (report.rows, report.missing) == (5, ())


# -- what goes wrong ----------------------------------------------------------------------------------------


def test_shard_without_a_manifest_is_an_error(new_lake):
    lake = new_lake(2, TWO)
    with pytest.raises(MissingTable, match="'photos-0007' has no manifest"):
        list(extract_shards(lake, ["photos-0007"], []))


def test_projection_is_refused_before_anything_is_read(toy_lake):
    with pytest.raises(DeclarationError, match="project_shard"):
        list(extract_shards(toy_lake, toy_lake.shards(), [FEATURES["efficientnet_lite0_content"]]))


def test_full_disk_keeps_the_shards_that_are_done(new_lake, monkeypatch):
    lake = new_lake(40, TWO, built=False)
    manifests.update(lake)
    write, room = pq.write_table, [4]  # the first shard's three tables and one more

    def write_while_there_is_room(table, where, **options):
        if not room[0]:
            Path(where).write_bytes(b"half a fi")
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        write(table, where, **options)

    monkeypatch.setattr(pq, "write_table", write_while_there_is_room)
    done = []
    with pytest.raises(StorageFull, match="free some and run: imrec build"):
        done.extend(extract_shards(lake, lake.shards(), [FEATURES[name] for name in TWO]))
    monkeypatch.undo()
    assert has_fresh_images(lake, "photos-0000") and not has_fresh_images(lake, "photos-0001")
    assert not list(lake.root.rglob(".writing-*"))
    before = times(lake, "features", "images")
    extract(lake)
    assert not any("photos-0000" in path for path in rewritten(before, times(lake, "features", "images")))
    assert all(has_fresh_images(lake, shard) for shard in lake.shards())


@pytest.mark.parametrize("returns", [lambda n: np.zeros((n, 3), np.float32), lambda n: np.full((n, 512), np.nan)])
def test_feature_that_breaks_its_declaration_stops_the_run(new_lake, monkeypatch, returns):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)
    wrong = replace(FEATURES["rgb_histogram"], compute=lambda batch: returns(len(batch)))
    monkeypatch.setitem(FEATURES, "rgb_histogram", wrong)
    with pytest.raises(BadOutput, match="rgb_histogram returned"):
        extract(lake)
    assert not times(lake, "images", "features")


def test_error_in_a_feature_is_not_blamed_on_a_picture(new_lake, monkeypatch):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], compute=lambda batch: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        extract(lake)
    assert not times(lake, "images", "features")


def test_interrupted_run_leaves_no_half_table_and_the_next_one_finishes(new_lake, tmp_path):
    lake = new_lake(40, TWO, built=False)
    manifests.update(lake)
    seen = []

    def interrupt(ok, failed):
        seen.append(ok)
        if sum(seen) > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(lake, on_images=interrupt)
    assert {Path(path).stem for path in times(lake, "features", "images")} == {"photos-0000"}
    assert not list(lake.root.rglob(".writing-*"))
    extract(lake)
    undisturbed = toy.new_lake(tmp_path / "undisturbed", TWO, sources=lake.settings().sources)
    manifests.update(undisturbed)
    extract(undisturbed)
    assert tables_of(lake, "features", "images") == tables_of(undisturbed, "features", "images")


def test_caller_keeps_its_own_warnings_between_shards(new_lake):
    lake = new_lake(20, TWO, built=False)
    manifests.update(lake)
    before = list(warnings.filters)
    for _ in extract_shards(lake, lake.shards(), [FEATURES["phash"]]):
        assert warnings.filters == before


def test_scan_during_extraction_makes_the_tables_stale(new_lake):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)

    def change(ok, failed):
        (folder_of(lake) / "photo_000.jpg").write_bytes(PICTURES["gradient.jpg"]())
        manifests.update(lake)

    features = [FEATURES[name] for name in TWO]
    known = ContentIndex(lake)
    ShardExtractor(lake, lake.settings(), known, change).extract("photos-0000", features)
    assert not has_fresh_images(lake, "photos-0000")
    assert stale_features(lake, "photos-0000", features) == features
    build(lake)
    assert all(is_feature_fresh(lake, "photos-0000", FEATURES[name]) for name in TWO)


def test_source_whose_folder_is_away_loses_nothing(new_lake, tmp_path):
    lake = new_lake(photos=6, built=True)
    shard = lake.live_shards()[0]
    before = lake.read_table(lake.images_path(shard))
    root = next(iter(lake.settings().sources.values()))
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    lake.feature_path("phash", shard).unlink()
    with pytest.raises(BadSource, match="is missing or empty"):
        list(extract_shards(lake, [shard], [FEATURES["phash"]]))
    assert lake.read_table(lake.images_path(shard)).equals(before)


def test_raised_limit_lets_in_what_was_too_large(new_lake):
    lake = new_lake(photos=4, built=False, max_pixels=160 * 120 - 1)
    manifests.update(lake)
    extract(lake)
    shard = lake.live_shards()[0]
    assert set(lake.read_table(lake.images_path(shard))["status"].to_pylist()) == {"failed"}
    assert has_fresh_images(lake, shard)
    set_to(lake, max_pixels=160 * 120)
    assert not has_fresh_images(lake, shard)
    extract(lake)
    assert set(lake.read_table(lake.images_path(shard))["status"].to_pylist()) == {"ok"}
    assert lake.row_count(lake.feature_path("phash", shard)) == 4
    assert has_fresh_images(lake, shard)


# -- shards that fail, and force ----------------------------------------------------------------------------


@pytest.fixture
def five_shards(new_lake) -> Lake:
    lake = new_lake(20, TWO, built=False, shard_size=4)
    manifests.update(lake)
    return lake


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception, *shards: str) -> None:
    """Raise an error when a table of one of these shards is written."""
    write = Lake.write_table

    def write_or_raise(self, path, *args):
        if path.stem in shards:
            raise error
        return write(self, path, *args)

    monkeypatch.setattr(Lake, "write_table", write_or_raise)


def test_shard_that_fails_does_not_keep_the_others_from_being_extracted(five_shards, monkeypatch):
    lake, done = five_shards, []
    refuse(monkeypatch, SchemaMismatch("it is odd"), "photos-0001")
    with pytest.raises(SchemaMismatch, match=r"^it is odd$"):
        done.extend(extract_shards(lake, lake.shards(), [FEATURES[name] for name in TWO]))
        pytest.fail("it raised nothing")
    assert [shard for shard in lake.shards() if not has_fresh_images(lake, shard)] == ["photos-0001"]


def test_several_shards_that_fail_are_one_error_that_names_them(five_shards, monkeypatch):
    lake = five_shards
    refuse(monkeypatch, ValueError("it is odd"), "photos-0001", "photos-0003")
    with pytest.raises(
        FailedShards, match=r"^2 shards failed: photos-0001: it is odd; photos-0003: it is odd$"
    ) as raised:
        extract(lake)
    assert list(raised.value.errors) == ["photos-0001", "photos-0003"]
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value) and list(again.errors) == list(raised.value.errors)


def test_errors_of_shards_can_be_collected(five_shards, monkeypatch):
    refuse(monkeypatch, ValueError("it is odd"), "photos-0001")
    errors: dict[str, Exception] = {}
    reports = list(extract_shards(five_shards, five_shards.shards(), [FEATURES["phash"]], errors=errors))
    assert [report.shard for report in reports] == [f"photos-{n:04d}" for n in (0, 2, 3, 4)]
    assert {shard: str(error) for shard, error in errors.items()} == {"photos-0001": "it is odd"}


@pytest.mark.parametrize("error", [StorageFull("full"), StorageFault("away"), StorageDenied("no"), BadSettings("bad")])
def test_error_that_the_next_shard_would_raise_too_ends_the_run(five_shards, monkeypatch, error):
    refuse(monkeypatch, error, "photos-0001")
    with pytest.raises(type(error)):
        extract(five_shards)
    assert [shard for shard in five_shards.shards() if has_fresh_images(five_shards, shard)] == ["photos-0000"]


def test_force_decodes_all_images_again_also_copies(five_shards, decoded):
    lake = five_shards
    (folder_of(lake) / "copy.jpg").write_bytes((folder_of(lake) / "photo_000.jpg").read_bytes())
    manifests.update(lake)
    extract(lake)
    before, tables = times(lake, "features"), tables_of(lake, "features", "images")
    assert extract(lake) and times(lake, "features") == before
    decoded.clear()
    reports = extract(lake, force=True)
    assert sum(report.decoded for report in reports) == 21 and len(decoded) == 21
    assert rewritten(before, times(lake, "features")) == set(before)
    assert tables_of(lake, "features", "images") == tables
