"""Generations of a new lake that are published before all its images are read."""

from __future__ import annotations

import dagster as dg
import pytest

from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_dagster import builder
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.builder import Builder
from tests.support import toy
from tests.support.graph import events, findable, shard, shown
from tests.support.pictures import BROKEN

pytestmark = pytest.mark.usefixtures("blank_plots")

TWO = ("rgb_histogram", "phash")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def rows_published(instance: dg.DagsterInstance) -> list[int]:
    return [shown(event)["dagster/row_count"] for event in events(instance, GENERATION)]


def test_first_shard_is_published_before_the_others_are_read(new_lake, instance, decoded):
    lake = new_lake(40, TWO, built=False, shard_size=8)
    Builder(lake, instance).build(publish_early=True)
    assert rows_published(instance) == [8, 40]
    assert len(decoded) == 40
    assert findable(lake) == {f"photo_{seed:03d}.jpg" for seed in range(40)}


def test_generations_follow_while_the_others_are_read(new_lake, instance, decoded, monkeypatch):
    monkeypatch.setattr(builder, "_PUBLISH_SECONDS", 0)  # as if each shard took five minutes
    lake = new_lake(40, TWO, built=False, shard_size=8)
    Builder(lake, instance).build(publish_early=True)
    assert rows_published(instance) == [8, 16, 24, 32, 40]
    assert len(decoded) == 40


def test_last_generation_is_the_one_of_a_plain_build(new_lake, instance, tmp_path):
    lake = new_lake(40, TWO, built=False, shard_size=8)
    Builder(lake, instance).build(publish_early=True)
    plain = toy.new_lake(tmp_path / "plain", TWO, shard_size=8)
    toy.build(plain)
    facts, expected = (Generation(one.local_generation(one.current_generation())).facts for one in (lake, plain))
    for name in ("fingerprint", "rows", "shards", "calibration", "waiting_images"):
        assert facts[name] == expected[name]


def test_build_that_ends_after_the_first_generation_is_continued_by_a_plain_one(
    new_lake, instance, decoded, monkeypatch
):
    lake = new_lake(40, TWO, built=False, shard_size=8)
    run, ended = Builder._run, []

    def ends_after_publishing(builder: Builder, keys, *arguments, **options) -> None:
        if ended:
            raise KeyboardInterrupt
        run(builder, keys, *arguments, **options)
        if list(keys) == [GENERATION]:
            ended.append(True)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Builder, "_run", ends_after_publishing)
        Builder(lake, instance).build(publish_early=True)
    assert findable(lake) == {f"photo_{seed:03d}.jpg" for seed in range(8)}
    assert lake.settings().limit == 0
    Builder(lake, instance).build()
    assert rows_published(instance) == [8, 40]
    assert len(decoded) == 40


@pytest.mark.parametrize("broken", [8, 16])
def test_shard_without_a_readable_image_is_not_published(tmp_path, instance, monkeypatch, broken):
    monkeypatch.setattr(builder, "_PUBLISH_SECONDS", 0)
    toy.write_photos(tmp_path / "photos", range(8))
    for number in range(broken):
        (tmp_path / "photos" / f"broken_{number}.jpg").write_bytes(BROKEN["text.jpg"]())
    lake = toy.new_lake(tmp_path / "lake", TWO, shard_size=8)
    Builder(lake, instance).build(publish_early=True)
    assert rows_published(instance) == [8]


@pytest.mark.parametrize(
    ("photos", "settings"),
    [(15, {}), (40, {"projections": {"less": {"base": "rgb_histogram", "dims": 5}}})],
    ids=["most images are in the first shard", "a feature is fitted"],
)
def test_generation_is_published_once_where_an_early_one_is_of_no_use(new_lake, instance, photos, settings):
    lake = new_lake(photos, TWO, built=False, shard_size=8, **settings)
    if settings:
        toy.set_to(lake, features=(*TWO, "less"))
    Builder(lake, instance).build(publish_early=True)
    assert rows_published(instance) == [photos]


def test_lake_with_a_generation_keeps_it_until_all_is_read(new_lake, instance, tmp_path):
    lake = new_lake(8, TWO, built=False, shard_size=8)
    Builder(lake, instance).build(publish_early=True)
    toy.write_photos(tmp_path / "photos", range(8, 40))
    Builder(lake, instance).build(publish_early=True)
    assert rows_published(instance) == [8, 40]


def test_generation_that_waits_for_few_images_is_extended(new_lake):
    lake: Lake = new_lake(20, TWO, built=False, shard_size=16)
    manifests.update(lake)
    toy.extract(lake, [shard(0)])
    assert build_generation(lake).rows == 16
    toy.extract(lake)
    assert build_generation(lake).why == "extends 000001 by 4 rows, 0 removed"
