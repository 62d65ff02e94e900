"""A lake of the version before is read again, but only images whose pixels are read otherwise are decoded."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imrec_core import FEATURES, Lake
from imrec_core.catalog import manifests
from imrec_core.extraction import images_upgrade, read_ahead
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.planning import plan
from imrec_core.extraction.staleness import is_feature_fresh
from imrec_core.images.decode import decode
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import made_from_of
from imrec_core.sql.policy import SqlPolicy
from imrec_core.status import lake_status
from tests.support import icc, toy
from tests.support.pictures import BROKEN, encode, gradient, noise
from tests.support.toy import extract, tables_of

NEW_IN_5 = ("latitude", "longitude")
NEW = ("frames", "color_profile", "bit_depth", "damaged", *NEW_IN_5)
TWO = ("rgb_histogram", "phash")
CHANGED = {
    "wide.jpg": encode(noise(64, 48, seed=7), "JPEG", icc_profile=icc.rgb_profile(icc.PROPHOTO)),
    "grey.jpg": encode(noise(64, 48, seed=8)[..., 0].copy(), "JPEG", icc_profile=icc.grey_profile(1.0)),
    "deep.png": encode(noise(64, 48, seed=9)[..., 0].astype(np.uint16), "PNG"),
    "bad.jpg": BROKEN["text.jpg"](),
}
PLACED = Image.Exif()
PLACED[0x0112] = 1
PLACED.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 0.0), 3: "E", 4: (151.0, 12.0, 0.0)})
SAME = {
    "placed.jpg": encode(noise(64, 48, seed=3), "JPEG", exif=PLACED),
    "plain.jpg": encode(noise(64, 48, seed=1), "JPEG"),
    "alpha.png": encode(np.dstack([gradient(64, 48), noise(64, 48)[..., :1]]), "PNG"),
    "pages.tif": encode(gradient(64, 48), "TIFF"),
}


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    found: list[bytes] = []
    monkeypatch.setattr(read_ahead, "decode", lambda data, **options: found.append(data) or decode(data, **options))
    return found


@pytest.fixture
def old_lake(tmp_path: Path) -> Lake:
    """A lake whose images tables lack the new columns."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, data in (CHANGED | SAME).items():
        (photos / name).write_bytes(data)
    lake = toy.new_lake(tmp_path / "lake", TWO, sources={"photos": photos})
    manifests.update(lake)
    extract(lake)
    set_back(lake, 3)
    return lake


def set_back(lake: Lake, version: int) -> None:
    """Make the images tables those of an earlier version."""
    for shard in lake.live_shards():
        table = lake.read_table(lake.images_path(shard))
        facts = {**(made_from_of(table) or {}), "images_version": str(version)}
        lacking = [name for name in (NEW if version == 3 else NEW_IN_5) if name in table.column_names]
        lake.write_table(lake.images_path(shard), table.drop_columns(lacking), facts)


def test_only_images_that_are_read_otherwise_are_decoded(old_lake, decoded):
    expected = tables_of(old_lake, "features")
    steps: list[int] = []
    extract(old_lake, on_images=lambda ok, failed: steps.append(ok + failed))
    assert sorted(decoded) == sorted(CHANGED.values())
    assert sum(steps) == len(CHANGED) + len(SAME)
    (images,) = tables_of(old_lake, "images").values()
    assert images.schema.equals(schemas.IMAGES)
    rows = {row["image_id"]: row for row in images.to_pylist()}
    assert all(row["frames"] == 1 and row["bit_depth"] for row in rows.values() if row["status"] == "ok")
    assert positions(old_lake) == [(-33.85, 151.2)]
    assert sorted(row["color_profile"] for row in rows.values() if row["color_profile"]) == ["drawn", "drawn grey"]
    for path, table in tables_of(old_lake, "features").items():
        assert table.equals(expected[path])  # the old code is not at hand: these vectors were right before
    decoded.clear()
    extract(old_lake)
    assert not decoded


def positions(lake: Lake) -> list[tuple[float, float]]:
    rows = [row for table in tables_of(lake, "images").values() for row in table.to_pylist()]
    return [(row["latitude"], row["longitude"]) for row in rows if row["latitude"] is not None]


def test_positions_are_added_to_version_4_without_decoding(old_lake, decoded):
    extract(old_lake)
    expected, features = tables_of(old_lake, "images"), tables_of(old_lake, "features")
    set_back(old_lake, 4)
    decoded.clear()
    steps: list[int] = []
    extract(old_lake, on_images=lambda ok, failed: steps.append(ok + failed))
    assert not decoded
    assert sum(steps) == len(CHANGED) + len(SAME)
    assert positions(old_lake) == [(-33.85, 151.2)]
    assert {path: table.to_pylist() for path, table in tables_of(old_lake, "images").items()} == {
        path: table.to_pylist() for path, table in expected.items()
    }
    assert all(table.equals(features[path]) for path, table in tables_of(old_lake, "features").items())
    assert lake_status(old_lake).outdated == 0


def test_file_of_version_4_that_was_replaced_unnoticed_is_decoded(old_lake, decoded):
    extract(old_lake)
    set_back(old_lake, 4)
    decoded.clear()
    path = old_lake.settings().sources["photos"] / "placed.jpg"
    times = path.stat()
    other = SAME["placed.jpg"].replace(b"\xff\xd9", b"\xff\xd8")
    path.write_bytes(other)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    extract(old_lake)
    assert other in decoded


def test_file_that_version_4_marked_is_decoded(old_lake, decoded):
    (shard,) = old_lake.live_shards()
    upgrade(old_lake)
    set_back(old_lake, 4)
    upgrade(old_lake)
    assert not images_upgrade.is_upgradable(old_lake, shard)
    extract(old_lake)
    assert sorted(set(decoded)) == sorted(CHANGED.values())
    assert positions(old_lake) == [(-33.85, 151.2)]


def upgrade(lake: Lake) -> None:
    for shard in lake.live_shards():
        images_upgrade.upgrade_images(lake, shard, lake.settings().source("photos"), lambda ok, failed: None)


def test_status_says_what_the_next_build_reads_and_why(old_lake):
    found = lake_status(old_lake)
    assert found.outdated == len(CHANGED) + len(SAME)
    assert "decodes again those with another colour profile" in found.summary()
    assert any(state.is_upgradable for state in plan(old_lake).shards)
    extract(old_lake)
    assert lake_status(old_lake).outdated == 0


def test_file_that_was_replaced_meanwhile_is_decoded(old_lake, decoded, monkeypatch):
    photos = old_lake.settings().sources["photos"]
    (photos / "plain.jpg").write_bytes(encode(noise(64, 48, seed=2), "JPEG"))
    manifests.update(old_lake)
    extract(old_lake)
    assert len(decoded) == len(CHANGED) + 1


def test_build_that_ends_between_upgrade_and_extraction_goes_on(old_lake, decoded):
    (shard,) = old_lake.live_shards()
    images_upgrade.upgrade_images(old_lake, shard, old_lake.settings().source("photos"), lambda ok, failed: None)
    assert not images_upgrade.is_upgradable(old_lake, shard)
    extract(old_lake)
    assert sorted(decoded) == sorted(CHANGED.values())


def test_copy_of_an_image_that_is_read_otherwise_takes_no_old_vectors(old_lake, decoded):
    photos = old_lake.settings().sources["photos"]
    (photos / "copy.jpg").write_bytes(CHANGED["wide.jpg"])
    manifests.update(old_lake)
    extract(old_lake)
    assert decoded.count(CHANGED["wide.jpg"]) == 1
    assert {FEATURES[name].name for name in TWO} == {path.split("/")[1] for path in tables_of(old_lake, "features")}


@pytest.mark.parametrize("policy", [SqlPolicy.TRUSTED, SqlPolicy.untrusted(5)], ids=["trusted", "untrusted"])
def test_positions_can_be_asked_for_like_other_columns(old_lake, policy):
    extract(old_lake)
    build_generation(old_lake)
    rows = open_generation(old_lake)
    (found,) = rows.filter.rows("latitude < -30 AND longitude BETWEEN 150 AND 160", policy).tolist()
    assert rows.rows["path"][found].as_py() == "placed.jpg"
    assert not len(rows.filter.rows("latitude > 48", policy))


def test_features_that_are_not_part_of_the_run_get_new_vectors_of_marked_images_later(old_lake, decoded):
    (shard,) = old_lake.live_shards()
    path = old_lake.feature_path("rgb_histogram", shard)
    right = old_lake.read_table(path)
    vectors = schemas.to_vectors(schemas.to_matrix(right["vector"])[:, ::-1])  # as if pixels had been read otherwise
    wrong = right.set_column(1, right.schema.field("vector"), vectors)
    old_lake.write_table(path, wrong, old_lake.made_from(path))
    list(extract_shards(old_lake, [shard], [FEATURES["phash"]]))
    assert not is_feature_fresh(old_lake, shard, FEATURES["rgb_histogram"])
    extract(old_lake)
    assert old_lake.read_table(path).equals(right)
    assert is_feature_fresh(old_lake, shard, FEATURES["phash"])
    list(extract_shards(old_lake, [shard], [FEATURES["phash"]], retry=True))
    assert plan(old_lake).extractions == {}


def test_build_that_adds_a_feature_extends_the_others_too(old_lake):
    toy.set_to(old_lake, features=(*TWO, "dhash"))
    (features,) = plan(old_lake).extractions.values()
    assert [feature.name for feature in features] == [*TWO, "dhash"]
