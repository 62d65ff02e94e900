"""While a source is away, others are built, and its images of the version before stay as they were."""

from pathlib import Path

import numpy as np
import pytest

from imrec_core import Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.catalog.ids import image_id
from imrec_core.extraction import images_upgrade
from imrec_core.extraction.shard_order import reachable_shards
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.lake import schemas
from imrec_core.lake.lake import made_from_of
from imrec_core.sql.views import query
from imrec_core.status import lake_status
from tests.support import icc, toy
from tests.support.pictures import encode, noise

NEW = ("frames", "color_profile", "bit_depth", "damaged", "latitude", "longitude")
WIDE = encode(noise(64, 48, seed=7), "JPEG", icc_profile=icc.rgb_profile(icc.PROPHOTO))


@pytest.fixture
def old_lake(tmp_path: Path) -> Lake:
    """A lake of two sources, whose tables and generation are of version 3."""
    toy.write_photos(tmp_path / "here", range(6))
    toy.write_photos(tmp_path / "disk", range(20, 25))
    (tmp_path / "disk" / "wide.jpg").write_bytes(WIDE)
    sources = {name: tmp_path / name for name in ("here", "disk")}
    lake = toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"), sources=sources)
    toy.build(lake)
    for shard in lake.live_shards():
        table = lake.read_table(lake.images_path(shard))
        facts = {**(made_from_of(table) or {}), "images_version": "3"}
        lake.write_table(lake.images_path(shard), table.drop_columns(list(NEW)), facts)
    return lake


def build(lake: Lake):
    """Build as `imrec build` does: sources that are away are not extracted."""
    manifests.update(lake)
    toy.extract(lake, reachable_shards(lake, lake.live_shards()))
    return build_generation(lake)


def rows_of(lake: Lake, source: str) -> list[dict]:
    return [row for row in open_generation(lake).rows.to_pylist() if row["source"] == source and not row["removed"]]


def test_generation_keeps_the_images_of_a_source_that_is_away(old_lake, tmp_path):
    before = rows_of(old_lake, "disk")
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    toy.write_photos(tmp_path / "here", [6])
    assert build(old_lake).built
    assert len(rows_of(old_lake, "here")) == 7
    assert [row | dict.fromkeys(NEW) for row in before] == [
        row | {"row": old["row"]} for row, old in zip(rows_of(old_lake, "disk"), before, strict=True)
    ]
    assert is_up_to_date(old_lake, plan_generation(old_lake))


def test_second_build_extends_the_generation_while_the_source_is_away(old_lake, tmp_path):
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    build(old_lake)
    assert not build(old_lake).built
    toy.write_photos(tmp_path / "here", [6])
    assert build(old_lake).why.startswith("extends")


def test_upgrade_goes_on_when_the_source_is_back(old_lake, tmp_path):
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    build(old_lake)
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    report = build(old_lake)
    assert report.why == "built whole: image properties are computed differently"
    assert report.rows == 12
    disk = rows_of(old_lake, "disk")
    assert all(row["frames"] == 1 and row["bit_depth"] == 8 for row in disk)
    assert [row["color_profile"] for row in disk if row["color_profile"]] == ["drawn"]
    assert not build(old_lake).built


def test_vectors_of_marked_images_are_new_in_the_generation(old_lake, tmp_path):
    path = old_lake.feature_path("rgb_histogram", "disk-0000")
    table = old_lake.read_table(path)
    row = table["image_id"].to_pylist().index(image_id("disk", "wide.jpg"))
    right = schemas.to_matrix(table["vector"])
    wrong = right.copy()
    wrong[row] = wrong[row][::-1]
    vectors = schemas.to_vectors(wrong)
    old_lake.write_table(path, table.set_column(1, table.schema.field("vector"), vectors), made_from_of(table))
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    build(old_lake)
    assert_vector(old_lake, wrong[row])
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    build(old_lake)
    assert_vector(old_lake, right[row])


def assert_vector(lake: Lake, expected: np.ndarray) -> None:
    generation = open_generation(lake)
    row = generation.live_table(["path"])["path"].to_pylist().index("wide.jpg")
    np.testing.assert_array_equal(generation.matrix("rgb_histogram")[generation.live[row]], expected.astype(np.float16))


def test_source_that_goes_away_between_upgrade_and_extraction_waits(old_lake, tmp_path):
    disk = old_lake.settings().source("disk")
    images_upgrade.upgrade_images(old_lake, "disk-0000", disk, lambda ok, failed: None)
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    assert build(old_lake).rows == 12
    (wide,) = (row for row in rows_of(old_lake, "disk") if row["path"] == "wide.jpg")
    assert wide["color_profile"] is None
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    build(old_lake)
    (wide,) = (row for row in rows_of(old_lake, "disk") if row["path"] == "wide.jpg")
    assert wide["color_profile"] == "drawn"


def test_images_that_changed_before_the_source_went_away_stay_as_they_were(old_lake, tmp_path):
    before = rows_of(old_lake, "disk")
    toy.write_photos(tmp_path / "disk", [30])
    toy.write_photos(tmp_path / "here", [6])
    manifests.update(old_lake)
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    report = build(old_lake)
    assert (report.rows, report.waiting) == (13, WaitingImages(7, 6, {"images": 7}))
    assert rows_of(old_lake, "disk") == before


def test_status_says_how_many_images_wait(old_lake, tmp_path):
    assert lake_status(old_lake).waiting == {}
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    build(old_lake)
    found = lake_status(old_lake)
    assert (found.waiting, found.outdated, found.up_to_date) == ({"disk": 6}, 6, True)
    said = found.summary().splitlines()
    assert "6 images of disk wait to be read until their folder is back" in said
    assert said[-1].startswith("all that the last scan found is searchable")
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    assert lake_status(old_lake).summary().endswith("read what is new in disk-0000, and publish a generation")
    build(old_lake)
    assert (lake_status(old_lake).waiting, lake_status(old_lake).outdated) == ({}, 0)


def test_search_and_sql_answer_before_and_while_images_wait(old_lake, tmp_path):
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    build(old_lake)
    hits = Recommender.open(old_lake).search(tmp_path / "elsewhere" / "wide.jpg", k=3, with_self=True)
    assert Path(hits[0].path).name == "wide.jpg"
    assert (
        len(Recommender.open(old_lake).search(tmp_path / "here" / "photo_001.jpg", k=20, where="frames IS NULL")) == 6
    )
    assert query(old_lake, "SELECT count(*) FROM images WHERE bit_depth = 8").fetchall() == [(6,)]
