"""What `plan` says is due in a lake, without a run of anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.extraction import failures
from imrec_core.extraction.failures import count_failed, count_reasons, failed_images, list_failures
from imrec_core.extraction.planning import BuildPlan, ReadEstimate, estimate_all_reads, plan
from imrec_core.extraction.project import project_shard
from imrec_core.features import FEATURES
from imrec_core.lake.storage import files
from tests.support import toy
from tests.support.pictures import BROKEN

FIRST, SECOND = "photos-0000", "photos-0001"
PROJECTIONS = {"small": {"base": "rgb_histogram", "dims": 4}, "tiny": {"base": "small", "dims": 2}}
PIXEL = ["rgb_histogram", "phash"]


@pytest.fixture
def lake(new_lake) -> Lake:
    """Twenty images in two shards with two pixel features, a projection, and a projection of that; all up to date."""
    return new_lake(20, PIXEL, projections=PROJECTIONS)


def photos(lake: Lake) -> Path:
    return lake.root.parent / "photos"


def due(lake: Lake) -> tuple[dict[str, list[str]], list[str], dict[str, list[str]]]:
    """Names of the features to extract by shard, to fit, and to project by shard."""
    found = plan(lake)
    extractions, projections = (
        {shard: [f.name for f in some] for shard, some in part.items()}
        for part in (found.extractions, found.projections)
    )
    return extractions, [f.name for f in found.fits], projections


def test_plan_of_an_empty_lake_is_empty(new_lake):
    lake = new_lake(0, PIXEL, built=False)
    assert plan(lake) == BuildPlan((FEATURES["rgb_histogram"], FEATURES["phash"]), (), {}, (), (), (), {})


def test_nothing_is_due_in_a_lake_that_is_up_to_date(lake):
    found = plan(lake)
    assert due(lake) == ({}, [], {}) and found.unfitted == ()
    assert [(s.shard, s.images, s.has_stale_images, dict(s.stale)) for s in found.shards] == [
        (FIRST, 16, False, {}),
        (SECOND, 4, False, {}),
    ]


def test_first_build_extracts_every_shard_and_fits_nothing_before_the_bases_are_there(new_lake):
    lake = new_lake(20, PIXEL, built=False, projections=PROJECTIONS)
    manifests.update(lake)
    found = plan(lake)
    assert due(lake) == ({FIRST: PIXEL, SECOND: PIXEL}, [], {})
    assert [f.name for f in found.unfitted] == ["small", "tiny"]
    assert found.shards[0].stale["tiny"] == "rgb_histogram: not computed yet"
    assert estimate_all_reads(lake, found.extractions) == ReadEstimate(20)
    toy.extract(lake)
    assert due(lake) == ({}, ["small"], {})


def test_new_images_are_due_in_their_shard_alone(lake):
    toy.write_photos(photos(lake), range(20, 23))
    assert due(lake) == ({}, [], {})  # nothing is scanned
    manifests.update(lake)
    assert due(lake) == ({SECOND: PIXEL}, [], {})
    assert estimate_all_reads(lake, plan(lake).extractions) == ReadEstimate(3)
    toy.extract(lake)
    assert due(lake) == ({}, [], {SECOND: ["small", "tiny"]})
    project_shard(lake, SECOND, plan(lake).projections[SECOND][0])
    assert due(lake) == ({}, [], {SECOND: ["tiny"]})


def test_changed_file_is_read_alone(lake):
    (photos(lake) / "photo_003.jpg").write_bytes(BROKEN["truncated.jpg"]())
    manifests.update(lake)
    assert due(lake) == ({FIRST: PIXEL}, [], {})
    assert plan(lake).shards[0].has_stale_images
    assert estimate_all_reads(lake, plan(lake).extractions) == ReadEstimate(1)


def test_raised_version_of_a_feature_decodes_every_image_for_it_alone(lake, monkeypatch):
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=FEATURES["phash"].version + 1))
    assert due(lake) == ({FIRST: ["phash"], SECOND: ["phash"]}, [], {})
    assert estimate_all_reads(lake, plan(lake).extractions) == ReadEstimate(20, 20, ("phash",))


@pytest.mark.parametrize("name", ["images", "rgb_histogram", "small"])
def test_missing_table_is_due_in_its_shard(lake, name):
    (lake.images_path(SECOND) if name == "images" else lake.feature_path(name, SECOND)).unlink()
    assert (
        due(lake)
        == {
            "images": ({SECOND: list(PIXEL)}, [], {}),
            "rgb_histogram": ({SECOND: ["rgb_histogram"]}, [], {}),
            "small": ({}, [], {SECOND: ["small", "tiny"]}),
        }[name]
    )


def test_fit_is_due_once_the_lake_has_twice_the_images(lake):
    toy.write_photos(photos(lake), range(20, 39))
    manifests.update(lake)
    toy.extract(lake)
    assert due(lake)[1] == []
    toy.write_photos(photos(lake), [39])
    manifests.update(lake)
    assert due(lake)[1] == []  # its bases are not up to date
    toy.extract(lake)
    assert due(lake)[1] == ["small"]
    assert plan(lake).unfitted == ()  # the old fit serves until then


def test_lost_fit_is_due_and_its_tables_wait_for_it(lake):
    lake.layout.fitted_current_path("small").unlink()
    found = plan(lake)
    assert due(lake) == ({}, ["small"], {})
    assert [f.name for f in found.unfitted] == ["small", "tiny"]  # the fit of `tiny` is for the lost one


@pytest.mark.parametrize("damage", ["missing", "no JSON", "without a count"])
def test_fit_whose_record_is_damaged_is_due(lake, damage):
    path = lake.fitted_path("small", lake.fitted_version("small")).with_suffix(".json")
    path.unlink() if damage == "missing" else path.write_text("{" if damage == "no JSON" else "{}")
    assert due(lake) == ({}, ["small"], {})


def test_shards_of_a_source_that_is_away_are_not_extracted(lake):
    lake.feature_path("phash", FIRST).unlink()
    photos(lake).rename(lake.root.parent / "elsewhere")
    assert due(lake) == ({}, [], {})
    assert dict(plan(lake).shards[0].stale) == {"phash": "not computed yet"}


def test_plan_asks_for_sources_only_if_something_is_due(lake, monkeypatch):
    monkeypatch.setattr(files, "is_away", lambda root: pytest.fail("a request to an object store"))
    monkeypatch.setattr("imrec_core.extraction.shard_order.is_away", files.is_away)
    assert due(lake) == ({}, [], {})


def test_plan_writes_nothing_and_reads_no_table(lake, monkeypatch):
    toy.write_photos(photos(lake), range(20, 23))
    manifests.update(lake)
    folders = ("catalog", "images", "features", "fitted", "generations")
    before = toy.times(lake, *folders)
    monkeypatch.setattr(Lake, "read_table", lambda *_, **__: pytest.fail("more than metadata"))
    assert due(lake)[0] == {SECOND: PIXEL}
    assert toy.times(lake, *folders) == before


# -- failed images --------------------------------------------------------------------------------------------


def test_failed_images_are_counted_and_listed(new_lake):
    lake = new_lake(3, PIXEL, built=False)
    for name in ("text.jpg", "empty.jpg", "truncated.jpg"):
        (photos(lake) / name).write_bytes(BROKEN[name]())
    manifests.update(lake)
    assert (count_failed(lake, lake.live_shards()), list_failures(lake)) == (0, [])  # no images table yet
    toy.extract(lake)
    assert count_failed(lake, lake.live_shards()) == len(failed_images(lake, FIRST)) == 3
    assert count_reasons(lake) == {"UnreadableImage": 2, "TruncatedImage": 1}
    listed = list_failures(lake)
    assert [(row["source"], row["path"]) for row in listed] == [
        ("photos", "empty.jpg"),
        ("photos", "text.jpg"),
        ("photos", "truncated.jpg"),
    ]
    assert [row["byte_size"] for row in listed] == [(photos(lake) / row["path"]).stat().st_size for row in listed]
    assert [failures.failure_reason(row["error"]) for row in listed] == ["UnreadableImage"] * 2 + ["TruncatedImage"]
    (photos(lake) / "text.jpg").unlink()
    manifests.update(lake)
    assert count_failed(lake, lake.live_shards()) == 3  # of the tables as they are
    assert [row["path"] for row in list_failures(lake)] == ["empty.jpg", "truncated.jpg"]
