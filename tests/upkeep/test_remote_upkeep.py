"""Sources and unused files of a lake in an object store."""

from __future__ import annotations

import pytest
from s3fs import S3FileSystem

from imrec_core.catalog import manifests
from imrec_core.catalog.ids import image_id
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.storage import retry
from imrec_core.upkeep.sizes import lake_sizes
from imrec_core.upkeep.sources import drop_source, list_sources, rename_source
from imrec_core.upkeep.unused_files import find_unused, remove_unused
from tests.support import s3, toy


@pytest.fixture
def lake(store, tmp_path, monkeypatch):
    """Twelve photos in two shards of a lake in the bucket, and three of another source."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    for name, seeds in (("photos", range(12)), ("other", range(20, 23))):
        toy.write_photos(tmp_path / name, seeds)
        s3.put_folder(tmp_path / name, name)
    sources = {name: s3.path(name) for name in ("photos", "other")}
    made = toy.new_lake(s3.path("lake"), ("phash", "rgb_histogram"), sources=sources, shard_size=8)
    toy.build(made)
    return made


def test_renamed_and_dropped_sources_leave_a_whole_lake(lake):
    change = rename_source(lake, "photos", "trips")
    assert change.generation == lake.current_generation()
    assert lake.shards() == ["other-0000", "trips-0000", "trips-0001"]
    assert is_up_to_date(lake, plan_generation(lake))
    assert manifests.diff(lake).unchanged == 15
    assert open_generation(lake).row_of(image_id("photos", "photo_003.jpg")) >= 0
    assert [(one.name, one.images, one.is_there) for one in list_sources(lake)] == [
        ("other", 3, True),
        ("trips", 12, True),
    ]
    drop_source(lake, "other")
    assert lake.shards() == ["trips-0000", "trips-0001"]
    assert len(open_generation(lake).live) == 12


def test_unused_tables_are_removed_and_sizes_follow(lake):
    assert find_unused(lake) == []
    before = lake_sizes(lake)
    assert min(before[kind] for kind in ("images", "features", "generations", "other")) > 0
    toy.set_to(lake, features=("phash",))
    build_generation(lake)
    found = remove_unused(lake)
    assert {(file.kind, file.path.parent.name) for file in found} == {("features", "rgb_histogram")}
    assert lake_sizes(lake)["features"] == before["features"] - sum(file.byte_size for file in found)
    assert find_unused(lake) == []
