"""What `imrec status` says is stale, and why."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from imrec_core.catalog import manifests
from imrec_core.catalog.manifests import CatalogDiff
from imrec_core.extraction.staleness import stale_reason
from imrec_core.features import FEATURES
from imrec_core.index.build import build_generation
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.status import lake_status
from imrec_dagster.cli.build import _summary
from tests.support import toy
from tests.support.pictures import BROKEN

SMALL = {"small": {"base": "rgb_histogram", "dims": 4}}


@pytest.fixture
def lake(new_lake):
    return new_lake(20, ("rgb_histogram", "small"), projections=SMALL)


def whys(lake) -> dict[str, dict[str, tuple[str, ...]]]:
    return {feature.name: feature.why for feature in lake_status(lake).features}


def test_fresh_lake_gives_no_reasons(lake):
    assert whys(lake) == {"rgb_histogram": {}, "small": {}}
    assert "all that the last scan found is searchable" in lake_status(lake).summary()


def test_images_that_were_added_are_the_reason(lake):
    toy.write_photos(lake.root.parent / "photos", [77])
    manifests.update(lake)
    reason = "images were added, changed or removed"
    assert whys(lake)["rgb_histogram"] == {reason: ("photos-0001",)}
    assert whys(lake)["small"] == {f"rgb_histogram: {reason}": ("photos-0001",)}
    said = lake_status(lake).summary().splitlines()
    assert f"    photos-0001: {reason}" in said
    assert "  rgb_histogram: fresh for 1 of 2 shards" in said


def test_feature_that_was_added_and_one_whose_fit_is_gone(lake):
    toy.set_to(lake, features=("rgb_histogram", "small", "phash"))
    lake.layout.fitted_current_path("small").unlink()
    both = ("photos-0000", "photos-0001")
    assert whys(lake) == {"rgb_histogram": {}, "small": {"not fitted yet": both}, "phash": {"not computed yet": both}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "its version was raised"),
        ({"params": {"space": "lab"}}, "its declaration changed"),
        ({"dims": 64}, "its declaration changed"),
    ],
)
def test_declaration_that_changed_is_the_reason(lake, changes, reason):
    changed = replace(FEATURES["rgb_histogram"], **changes)
    assert stale_reason(lake, "photos-0000", changed) == reason


def test_table_made_from_something_that_has_no_words_is_stale_all_the_same(lake, monkeypatch):
    monkeypatch.setattr("imrec_core.extraction.staleness.feature_fingerprint", lambda feature: {"moon": "full"})
    assert stale_reason(lake, "photos-0000", FEATURES["rgb_histogram"]) == "made from something else"


def test_fit_that_was_made_anew_and_images_that_failed_since(lake, new_lake):
    version = lake.fitted_version("small")
    lake.save_fitted("small", f"{version}x", lake.load_fitted("small", version), {})
    assert set(whys(lake)["small"]) == {"its fit changed"}
    photo = lake.root.parent / "photos" / "photo_000.jpg"
    photo.write_bytes(BROKEN["truncated.jpg"]())
    manifests.update(lake)
    phash = FEATURES["phash"]
    list(toy.extract_shards(lake, ["photos-0000"], [phash]))
    assert set(whys(lake)["rgb_histogram"]) <= {
        "images were added, changed or removed",
        "images recovered or failed since",
    }


def test_images_that_wait_are_in_status_and_in_the_summary_of_a_build(lake):
    said = "16 images wait (16 for rgb_histogram, 16 for small); 16 of them are searchable as before"
    progress = SimpleNamespace(catalog=CatalogDiff(unchanged=20), shards=[], generation=None)
    assert "images wait" not in _summary(lake, progress, 1.0)
    lake.feature_path("rgb_histogram", "photos-0000").unlink()
    assert said in lake_status(lake).summary().splitlines()
    assert said in _summary(lake, progress, 1.0).splitlines()
    progress.generation = replace(build_generation(lake), waiting=WaitingImages(3, 0, {"images": 3}))
    assert "3 images wait (3 to be read); 0 of them are searchable as before" in _summary(lake, progress, 1.0)
