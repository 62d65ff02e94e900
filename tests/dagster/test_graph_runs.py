"""The Dagster graph over small lakes: what runs, what is computed again, what is shown, what is refused."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imrec_core import METRICS, Lake, Recommender
from imrec_core.catalog.manifests import CatalogDiff
from imrec_core.errors import LakeError, SchemaMismatch, StorageFault
from imrec_core.extraction import read_ahead, table_checks
from imrec_core.extraction.report import STAGES
from imrec_core.extraction.table_checks import check_rows, check_vectors
from imrec_core.features import FEATURES, Fitter, find_feature
from imrec_core.index import plan as index_plan
from imrec_core.index.build import GenerationReport
from imrec_core.index.shard_selection import WaitingImages
from imrec_core.lake.lake import source_of
from imrec_core.lake.schemas import to_vectors
from imrec_core.models import encoders
from imrec_core.sql.views import query
from imrec_dagster import builder
from imrec_dagster import catch_up as catch_up_module
from imrec_dagster.asset_checks import features_result, recall_result
from imrec_dagster.asset_keys import GENERATION, IMAGES, MANIFEST, feature_key, fitted_key
from imrec_dagster.builder import Builder, build_lake
from imrec_dagster.definitions import build_definitions
from imrec_dagster.partitions import SHARDS, contiguous, range_tags
from imrec_dagster.resources import Progress
from tests.support import toy
from tests.support.graph import (
    CatchUp,
    assets_of,
    events,
    findable,
    look,
    materialize,
    nightly_reindex,
    partitions,
    resource,
    shard,
    shown,
    take_away,
)
from tests.support.pictures import BROKEN, PICTURES, encode, gradient, write_pictures

pytestmark = pytest.mark.usefixtures("blank_plots")

TWO = ("rgb_histogram", "phash")
TABLES = ("catalog", "images", "features")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def lasting_instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


@pytest.fixture
def lake(new_lake) -> Lake:
    """Forty photos in five shards of eight, not built yet."""
    return new_lake(40, TWO, built=False, shard_size=8)


# -- a build ------------------------------------------------------------------------------------------------


def test_build_makes_pictures_findable_and_broken_ones_rows(tmp_path):
    write_pictures(tmp_path / "photos")
    toy.write_photos(tmp_path / "photos", range(20))
    lake = toy.new_lake(tmp_path / "lake", TWO)
    build_lake(lake, home=str(tmp_path / "home"))
    images = pa.concat_tables(toy.tables_of(lake, "images").values()).to_pylist()
    paths = {row["image_id"]: row["path"] for t in toy.tables_of(lake, "catalog").values() for row in t.to_pylist()}
    failed = {paths[row["image_id"]]: row["error"] for row in images if row["status"] == "failed"}
    assert set(failed) == set(BROKEN)
    assert all(failed.values())
    assert findable(lake) == {*PICTURES, *(f"photo_{seed:03d}.jpg" for seed in range(20))}
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_first_build_is_one_scan_and_one_run_for_all_the_rest(lake, instance):
    Builder(lake, instance).build()
    assert instance.get_runs_count() == 2
    assert [shown(event)["dagster/row_count"] for event in events(instance, GENERATION)] == [40]


def test_build_with_nothing_new_only_scans(lake, instance):
    Builder(lake, instance).build()
    before = toy.times(lake, *TABLES, "generations")
    Builder(lake, instance).build()
    assert instance.get_runs_count() == 3
    assert partitions(instance, MANIFEST) == [shard(n) for n in range(5)]
    assert len(events(instance, dg.AssetKey("catalog"))) == 2
    assert toy.times(lake, *TABLES, "generations") == before


def test_partition_shows_rows_failures_speed_stages_and_thumbnails(tmp_path, instance):
    toy.write_photos(tmp_path / "photos", range(10))
    for name in ("text.jpg", "empty.jpg", "truncated.jpg"):
        (tmp_path / "photos" / name).write_bytes(BROKEN[name]())
    lake = toy.new_lake(tmp_path / "lake", TWO)
    Builder(lake, instance).build()
    (images,), (phash,) = events(instance, IMAGES), events(instance, feature_key("phash"))
    assert shown(images)["dagster/partition_row_count"] == 13
    assert shown(phash)["dagster/partition_row_count"] == 10
    for event in (images, phash):
        found = shown(event)
        assert found["failed"] == 3
        assert found["images per second"] > 0
        assert {f"seconds: {stage}" for stage in STAGES} <= set(found)
        assert found["seconds: decode"] > 0
        assert found["thumbnails"].startswith("![](data:image/jpeg;base64,/9j/")
        assert "| UnreadableImage | 2 |" in found["failures"]
        assert "| TruncatedImage | 1 |" in found["failures"]
        assert found["bytes"] == Path(found["path"]).stat().st_size


def drawn(event: dg.AssetMaterialization, name: str) -> tuple[int, int]:
    """Width and height of a picture that is shown."""
    kind, _, data = shown(event)[name].removeprefix("![](data:").removesuffix(")").partition(";base64,")
    assert kind == "image/png" and len(data) < 60_000
    return Image.open(io.BytesIO(base64.b64decode(data))).size


@pytest.mark.drawn
def test_generation_shows_the_speed_of_shards_why_images_failed_and_what_graphs_find(lake, instance):
    Builder(lake, instance).build()
    (lake.root.parent / "photos" / "photo_007.jpg").write_bytes(BROKEN["truncated.jpg"]())
    Builder(lake, instance).build()
    sound, failing = events(instance, GENERATION)
    assert drawn(failing, "extraction")[0] > 1.9 * drawn(sound, "extraction")[0]  # the failures stand beside the speed
    for name in ("recall by ef", "stages", "distances"):
        assert drawn(sound, name)[1] > 200
    assert not {"recall by ef", "distances"} & set(shown(failing))  # they were not measured again
    assert {"seconds: rows", "seconds: vectors", "seconds: recall"} <= set(shown(sound))


def test_everything_that_was_made_shows_its_rows_and_where_it_is(lake, instance):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    Builder(lake, instance).build()
    for key in (dg.AssetKey("catalog"), MANIFEST, IMAGES, *map(feature_key, (*TWO, "less")), GENERATION):
        for event in events(instance, key):
            found = shown(event)
            assert found["dagster/partition_row_count" if event.partition else "dagster/row_count"] > 0
            assert Path(found["path"]).exists()
            assert (event.partition or "") in found["path"]
    (fit,) = events(instance, fitted_key("less"))
    assert (shown(fit)["rows"], Path(shown(fit)["path"]).exists()) == (40, True)


def test_partition_shows_how_many_images_were_decoded_and_no_speed_where_none_was(lake, instance):
    photos = lake.root.parent / "photos"
    toy.set_to(lake, shard_size=100)
    Builder(lake, instance).build()
    toy.write_photos(photos, range(40, 43))
    Builder(lake, instance).build()
    (photos / "copy.jpg").write_bytes((photos / "photo_001.jpg").read_bytes())
    Builder(lake, instance).build()
    for key in (IMAGES, feature_key("phash")):
        found = [shown(event) for event in events(instance, key)]
        assert [f["dagster/partition_row_count"] for f in found] == [40, 43, 44]
        assert [f["decoded"] for f in found] == [40, 3, 0]
        assert ["images per second" in f for f in found] == [True, True, False]
        assert "thumbnails" not in found[2]


def test_raised_limit_publishes_every_feature_with_what_was_too_large(lake, instance):
    toy.set_to(lake, max_pixels=160 * 120)
    (lake.root.parent / "photos" / "big.png").write_bytes(encode(gradient(400, 300), "PNG"))
    Builder(lake, instance).build()
    assert "big.png" not in findable(lake)
    toy.set_to(lake, max_pixels=400 * 300)
    listener = Listener()
    Builder(lake, instance, progress=listener).build()
    assert "big.png" in findable(lake)
    assert list(Recommender.open(lake).generation.features) == list(TWO)
    assert listener.expected == [(1, 0, [])]


def test_renamed_image_is_not_decoded_again_though_runs_are_several(lake, instance, monkeypatch):
    Builder(lake, instance).build()
    photos = lake.root.parent / "photos"
    for number in (1, 38):  # of the first shard and of the last, where both go
        (photos / f"photo_{number:03d}.jpg").rename(photos / f"renamed_{number}.jpg")
    monkeypatch.setattr(read_ahead, "decode", lambda *_, **__: pytest.fail("decoded"))
    Builder(lake, instance).build()
    assert {"renamed_1.jpg", "renamed_38.jpg"} <= findable(lake)
    *first, last = partitions(instance, IMAGES)[5:]
    assert (sorted(first), last) == ([shard(4), shard(5)], shard(0))


def test_one_feature_of_one_shard_materialises_alone(lake, instance):
    Builder(lake, instance).scan()
    result = materialize(lake, instance, feature_key("phash"), partition_key=shard(2))
    assert result.success
    made = [(e.asset_key.to_user_string(), e.partition) for e in result.get_asset_materialization_events()]
    assert made == [("features/phash", shard(2))]
    assert set(toy.times(lake, "features")) == {f"features/phash/{shard(2)}.parquet"}


def test_run_over_several_partitions_shows_each_its_own_numbers(lake, instance):
    (lake.root.parent / "photos" / "photo_009.jpg").write_bytes(b"no picture")  # of shard 1
    Builder(lake, instance).scan()
    result = materialize(lake, instance, feature_key("phash"), tags=range_tags(shard(0), shard(2)))
    assert result.success
    found = {event.partition: shown(event) for event in events(instance, feature_key("phash"))}
    assert {key: (one["dagster/partition_row_count"], one["failed"]) for key, one in found.items()} == {
        shard(0): (8, 0),
        shard(1): (7, 1),
        shard(2): (8, 0),
    }
    assert {Path(one["path"]).stem for one in found.values()} == set(found)


def test_checks_of_a_run_cover_all_its_partitions(lake, instance):
    Builder(lake, instance).scan()
    result = materialize(lake, instance, IMAGES, feature_key("phash"), tags=range_tags(shard(0), shard(4)))
    found = {(e.asset_key.path[-1], e.check_name): e for e in result.get_asset_check_evaluations()}
    assert set(found) == {
        ("images", "rows_match_manifest"),
        ("phash", "rows_match_manifest"),
        ("phash", "vectors_are_sound"),
    }
    assert all(e.passed and e.metadata["shards"].value == 5 for e in found.values())


# -- changes ------------------------------------------------------------------------------------------------


def test_only_changed_shards_are_computed_again(lake, instance):
    photos = lake.root.parent / "photos"
    Builder(lake, instance).build()
    before = toy.times(lake, "images", "features")
    opened = Recommender.open(lake)
    assert "photo_017.jpg" in findable(lake)
    (photos / "photo_001.jpg").write_bytes((photos / "photo_002.jpg").read_bytes())  # changed: shard 0
    (photos / "photo_017.jpg").unlink()  # shard 2
    toy.write_photos(photos, [40])  # new: the last shard is full
    Builder(lake, instance).build()
    touched = [shard(0), shard(2), shard(5)]
    assert partitions(instance, MANIFEST)[5:] == touched
    assert sorted(partitions(instance, feature_key("phash"))[5:]) == touched
    assert toy.rewritten(before, toy.times(lake, "images", "features")) == {
        f"{folder}/{key}.parquet"
        for folder in ("images", "features/rgb_histogram", "features/phash")
        for key in touched
    }
    assert findable(lake) == {f"photo_{seed:03d}.jpg" for seed in range(41)} - {"photo_017.jpg"}
    hits = opened.search(photos / "photo_002.jpg", k=2, with_self=True)
    assert {Path(hit.path).name for hit in hits} == {"photo_001.jpg", "photo_002.jpg"}
    assert hits[0].score == hits[1].score


def test_higher_version_of_a_feature_computes_that_feature_alone(lake, instance, monkeypatch):
    Builder(lake, instance).build()
    before = toy.times(lake, "catalog", "features")
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=FEATURES["phash"].version + 1))
    Builder(lake, instance).build()
    again = {f"features/phash/{shard(n)}.parquet" for n in range(5)}
    assert toy.rewritten(before, toy.times(lake, "catalog", "features")) == again
    assert len(events(instance, feature_key("phash"))) == 10
    assert len(events(instance, feature_key("rgb_histogram"))) == 5
    assert len(events(instance, GENERATION)) == 2


def test_feature_added_to_the_lake_leaves_the_others_alone(lake, instance):
    Builder(lake, instance).build()
    before = toy.times(lake, "features")
    toy.set_to(lake, features=(*TWO, "dhash"))
    Builder(lake, instance).build()
    assert toy.rewritten(before, toy.times(lake, "features")) == {
        f"features/dhash/{shard(n)}.parquet" for n in range(5)
    }
    assert list(Recommender.open(lake).generation.features) == [*TWO, "dhash"]


def rewritten_features(lake: Lake, before: dict[str, int]) -> dict[str, list[str]]:
    """Feature to the shards whose tables were written since."""
    found: dict[str, list[str]] = {}
    for path in sorted(toy.rewritten(before, toy.times(lake, "features"))):
        _, name, file = path.split("/")
        found.setdefault(name, []).append(file.removesuffix(".parquet"))
    return found


class Listener(Progress):
    """What a build says before it reads."""

    def __init__(self) -> None:
        self.expected: list[tuple[int, int, list[str]]] = []

    def expect(self, images: int, again: int, features) -> None:
        self.expected.append((images, again, list(features)))


def test_build_tells_how_many_images_are_read_and_how_many_are_only_decoded_again(lake, instance):
    listener = Listener()
    Builder(lake, instance, progress=listener).build()
    toy.set_to(lake, features=(*TWO, "dhash"), histograms={"coarse": {"levels": [4, 4, 4]}})
    toy.write_photos(lake.root.parent / "photos", range(40, 43))
    Builder(lake, instance, progress=listener).build()
    Builder(lake, instance, progress=listener).build()
    assert listener.expected == [(40, 0, []), (43, 40, ["coarse", "dhash"]), (0, 0, [])]


OWN = {
    "histograms": {"coarse": {"levels": [4, 4, 4]}},
    "projections": {"less": {"base": "coarse", "dims": 9}, "least": {"base": "mix", "dims": 4}},
    "combined": {"mix": {"less": 1, "phash": 1}},
}


def test_features_of_the_lake_are_built_with_it_and_a_change_of_one_leaves_the_others(lake, instance):
    toy.set_to(lake, **OWN)
    Builder(lake, instance).build()
    assert instance.get_runs_count() == 2
    generation = Recommender.open(lake).generation
    assert list(generation.features) == [*TWO, "coarse", "less", "mix", "least"]
    assert "mix:euclidean" in generation.graphs and "photo_017.jpg" in findable(lake)
    every = [shard(n) for n in range(5)]
    before, fits = toy.times(lake, "features"), toy.times(lake, "fitted")
    toy.set_to(lake, combined={"mix": {"less": 2, "phash": 1}})
    Builder(lake, instance).build()
    assert rewritten_features(lake, before) == {"mix": every, "least": every}
    assert {path.split("/")[1] for path in toy.rewritten(fits, toy.times(lake, "fitted"))} == {"mix", "least"}
    before = toy.times(lake, "features")
    (lake.root.parent / "photos" / "photo_010.jpg").unlink()
    Builder(lake, instance).build()
    assert rewritten_features(lake, before) == {name: [shard(1)] for name in (*TWO, "coarse", "less", "mix", "least")}
    assert list(Recommender.open(lake).generation.features) == [*TWO, "coarse", "less", "mix", "least"]


def test_derived_features_with_bases_of_their_own_wait_for_them_alone(two_sources, instance, monkeypatch):
    histograms = {"coarse": {"levels": [4, 4, 4]}}
    projections = {"a": {"base": "rgb_histogram", "dims": 5}, "b": {"base": "coarse", "dims": 5}}
    toy.set_to(two_sources, histograms=histograms, projections=projections)
    Builder(two_sources, instance).build()
    disk = two_sources.root.parent / "disk"
    take_away(disk, leaving_a_folder=False)
    before = toy.times(two_sources, "features")
    # What b learnt is of other histograms, and those of the shard that is away cannot be made now; a needs none.
    toy.set_to(two_sources, histograms={"coarse": {"levels": [3, 3, 3]}})
    toy.set_to(two_sources, projections={**projections, "a": {"base": "rgb_histogram", "dims": 6}})
    Builder(two_sources, instance).build()
    both, here = ["disk-0000", "here-0000"], ["here-0000"]
    assert rewritten_features(two_sources, before) == {"a": both, "coarse": here}
    assert list(Recommender.open(two_sources).generation.features) == [*TWO, "a"]
    disk.with_name("elsewhere").rename(disk)
    Builder(two_sources, instance).build()
    assert list(Recommender.open(two_sources).generation.features) == [*TWO, "coarse", "a", "b"]


def test_damaged_table_is_made_again(lake, instance):
    Builder(lake, instance).build()
    path = lake.feature_path("phash", shard(3))
    whole = lake.read_table(path)
    path.write_bytes(path.read_bytes()[:-100])
    Builder(lake, instance).build()
    assert lake.read_table(path).equals(whole)
    assert partitions(instance, feature_key("phash"))[5:] == [shard(3)]


def test_source_whose_name_sorts_before_the_older_ones_is_built_with_them(tmp_path, instance):
    toy.write_photos(tmp_path / "zebra", range(8))
    toy.write_photos(tmp_path / "apple", range(8, 16))
    sources = {"zebra": tmp_path / "zebra", "apple": tmp_path / "apple"}
    lake = toy.new_lake(tmp_path / "lake", TWO, sources={"zebra": sources["zebra"]}, shard_size=4)
    Builder(lake, instance).build()
    (tmp_path / "zebra" / "photo_007.jpg").unlink()  # of the second shard, next to which the new ones stand
    toy.set_to(lake, sources=sources)
    Builder(lake, instance).build()
    assert sorted(partitions(instance, IMAGES)[2:]) == ["apple-0000", "apple-0001", "zebra-0001"]
    assert findable(lake) == {f"photo_{seed:03d}.jpg" for seed in range(16) if seed != 7}


def test_finished_lake_is_recorded_by_another_instance_and_not_computed_again(lake, instance):
    toy.build(lake)
    before = toy.times(lake, *TABLES, "generations")
    Builder(lake, instance).build()
    assert toy.times(lake, *TABLES, "generations") == before
    for key in (IMAGES, *map(feature_key, TWO)):
        assert sorted(partitions(instance, key)) == [shard(n) for n in range(5)]


def test_crash_between_telling_and_writing_loses_no_change(lake, instance, monkeypatch):
    Builder(lake, instance).build()
    toy.write_photos(lake.root.parent / "photos", [40])
    version = lake.made_from(lake.catalog_path(shard(0)))

    def crash(self, lake):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power went"):
        patch.setattr(CatalogDiff, "apply", crash)
        Builder(lake, instance).scan()
    assert partitions(instance, MANIFEST)[5:] == [shard(5)]  # reported, though not written
    assert not lake.catalog_path(shard(5)).exists()
    Builder(lake, instance).build()
    assert partitions(instance, MANIFEST)[5:] == [shard(5), shard(5)]
    assert "photo_040.jpg" in findable(lake)
    assert lake.made_from(lake.catalog_path(shard(0))) == version


def test_failure_in_one_shard_keeps_those_before_it(lake, instance, monkeypatch):
    write = Lake.write_table

    def full(self, path, table, made_from):
        if path == lake.feature_path("phash", shard(3)):
            raise RuntimeError("something broke")
        return write(self, path, table, made_from)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="something broke"):
        patch.setattr(Lake, "write_table", full)
        Builder(lake, instance).build()
    before = toy.times(lake, "images", "features")
    assert {Path(name).stem for name in before} >= {shard(0), shard(1), shard(2)}
    Builder(lake, instance).build()
    after = toy.times(lake, "images", "features")
    assert not {name for name in toy.rewritten(before, after) if Path(name).stem in (shard(0), shard(1), shard(2))}
    assert len(findable(lake)) == 40


# -- sources that are away ----------------------------------------------------------------------------------


@pytest.fixture
def two_sources(tmp_path, instance) -> Lake:
    """Sources `here` and `disk`, built."""
    toy.write_photos(tmp_path / "here", range(8))
    toy.write_photos(tmp_path / "disk", range(20, 28))
    sources = {"here": tmp_path / "here", "disk": tmp_path / "disk"}
    lake = toy.new_lake(tmp_path / "lake", TWO, sources=sources)
    Builder(lake, instance).build()
    return lake


@pytest.mark.parametrize("leaving_a_folder", [False, True], ids=["gone", "empty mount point"])
def test_unavailable_source_loses_nothing_and_delays_no_other(two_sources, instance, leaving_a_folder):
    root = two_sources.root.parent
    before = toy.times(two_sources, *TABLES)
    take_away(root / "disk", leaving_a_folder=leaving_a_folder)
    toy.write_photos(root / "here", [8])
    Builder(two_sources, instance).build()
    assert {source_of(Path(name).stem) for name in toy.rewritten(before, toy.times(two_sources, *TABLES))} == {"here"}
    assert findable(two_sources) == {f"photo_{seed:03d}.jpg" for seed in [*range(9), *range(20, 28)]}
    assert "disk" in shown(events(instance, dg.AssetKey("catalog"))[-1])["unavailable"]


@pytest.mark.parametrize("leaving_a_folder", [False, True], ids=["gone", "empty mount point"])
def test_source_that_is_away_keeps_its_tables_when_there_is_more_to_compute(two_sources, instance, leaving_a_folder):
    before = toy.tables_of(two_sources, "images", "features/rgb_histogram")
    take_away(two_sources.root.parent / "disk", leaving_a_folder=leaving_a_folder)
    toy.set_to(two_sources, features=(*TWO, "dhash"))
    Builder(two_sources, instance).build()
    after = toy.tables_of(two_sources, "images", "features/rgb_histogram")
    assert after["images/disk-0000.parquet"] == before["images/disk-0000.parquet"]
    assert after["features/rgb_histogram/disk-0000.parquet"] == before["features/rgb_histogram/disk-0000.parquet"]
    assert two_sources.feature_path("dhash", "here-0000").exists()
    assert "photo_020.jpg" in findable(two_sources)


def test_images_of_the_version_before_wait_for_a_source_that_is_away(two_sources, instance):
    disk = two_sources.root.parent / "disk"
    for name in two_sources.live_shards():
        path = two_sources.images_path(name)
        table = two_sources.read_table(path)
        facts = {**(two_sources.made_from(path) or {}), "images_version": "3"}
        two_sources.write_table(path, table.drop_columns(["frames", "bit_depth"]), facts)
    take_away(disk, leaving_a_folder=True)
    toy.write_photos(two_sources.root.parent / "here", [8])
    Builder(two_sources, instance).build()
    assert findable(two_sources) == {f"photo_{seed:03d}.jpg" for seed in [*range(9), *range(20, 28)]}
    disk.rmdir()
    disk.with_name("elsewhere").rename(disk)
    Builder(two_sources, instance).build()
    assert query(two_sources, "SELECT count(*) FROM rows WHERE frames = 1").fetchall() == [(17,)]


def test_source_taken_out_of_the_lake_leaves_the_gallery_and_the_partitions(two_sources, instance):
    here, disk = "here-0000", "disk-0000"
    sources = two_sources.settings().sources
    toy.set_to(two_sources, sources={"here": sources["here"]})
    other = instance.add_run(dg.DagsterRun(job_name="reindex", run_id="0" * 8, status=dg.DagsterRunStatus.STARTED))
    Builder(two_sources, instance).build()
    assert set(instance.get_dynamic_partitions("image_shards")) == {here, disk}  # the other run may be at work on them
    assert findable(two_sources) == {f"photo_{seed:03d}.jpg" for seed in range(8)}
    instance.delete_run(other.run_id)
    Builder(two_sources, instance).build()
    assert instance.get_dynamic_partitions("image_shards") == [here]
    toy.set_to(two_sources, sources=sources)
    before = toy.times(two_sources, *TABLES)
    Builder(two_sources, instance).build()
    assert set(instance.get_dynamic_partitions("image_shards")) == {here, disk}
    assert toy.times(two_sources, *TABLES) == before
    assert "photo_020.jpg" in findable(two_sources)


# -- failed files -------------------------------------------------------------------------------------------


@pytest.fixture
def tried(lake, monkeypatch) -> list[bytes]:
    """What is decoded, in a lake with one file that fails for good and one that came good since it was built."""
    photos = lake.root.parent / "photos"
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    (photos / "photo_012.jpg").write_bytes(BROKEN["truncated.jpg"]())
    for name in ("photo_030.jpg", "photo_031.jpg"):
        (photos / name).write_bytes(PICTURES["gradient.jpg"]())
    decoded: list[bytes] = []
    decode, is_good = read_ahead.decode, []

    def noted(data: bytes, **options):
        decoded.append(data)
        if data == PICTURES["gradient.jpg"]() and not is_good:
            raise OSError("a codec is missing")
        return decode(data, **options)

    monkeypatch.setattr(read_ahead, "decode", noted)
    with dg.DagsterInstance.ephemeral() as instance:
        Builder(lake, instance).build()
    is_good.append(True)
    decoded.clear()
    return decoded


def test_retry_decodes_failed_files_alone_and_publishes_what_came_good(lake, instance, tried):
    photos = lake.root.parent / "photos"
    toy.write_photos(photos, [50])  # which a retry does not look for
    before, listener = toy.times(lake, "features"), Listener()
    assert Builder(lake, instance, progress=listener).retry_failed() == builder.RetryReport(good=2, failed=1)
    assert listener.expected[0] == (3, 0, [])
    assert sorted(map(len, tried)) == sorted(map(len, (BROKEN["truncated.jpg"](), PICTURES["gradient.jpg"]())))
    assert {"photo_030.jpg", "photo_031.jpg"} <= findable(lake) and "photo_050.jpg" not in findable(lake)
    assert list(Recommender.open(lake).generation.features) == [*TWO, "less"]
    assert rewritten_features(lake, before) == {name: [shard(1), shard(3)] for name in TWO} | {"less": [shard(3)]}


def test_retry_that_helps_nothing_leaves_the_rest_alone(lake, instance, tried):
    Builder(lake, instance).retry_failed()
    tried.clear()
    lake.feature_path("less", shard(0)).unlink()  # a matter of the next build
    runs, before = instance.get_runs_count(), toy.times(lake, "generations", "features/less")
    assert Builder(lake, instance).retry_failed() == builder.RetryReport(good=0, failed=1)
    assert instance.get_runs_count() == runs + 1 and partitions(instance, IMAGES)[-1] == shard(1)
    assert toy.times(lake, "generations", "features/less") == before
    assert len(tried) == 1
    Builder(lake, instance).build()
    assert len(tried) == 1  # a build does not try it


def test_retry_without_failures_runs_nothing(lake, instance):
    Builder(lake, instance).build()
    runs = instance.get_runs_count()
    assert Builder(lake, instance).retry_failed() == builder.RetryReport(good=0, failed=0)
    assert instance.get_runs_count() == runs


def test_retry_leaves_a_source_that_is_away(two_sources, instance):
    disk = two_sources.root.parent / "disk"
    (disk / "bad.jpg").write_bytes(BROKEN["text.jpg"]())
    Builder(two_sources, instance).build()
    take_away(disk, leaving_a_folder=True)
    before = toy.times(two_sources, *TABLES)
    assert Builder(two_sources, instance).retry_failed() == builder.RetryReport(good=0, failed=1)
    assert toy.times(two_sources, *TABLES) == before


def test_job_of_the_ui_retries_like_the_command(lake, lasting_instance, tried):
    job = build_definitions(resource(lake)).resolve_job_def("retry_failed")
    result = job.execute_in_process(instance=lasting_instance)
    assert result.success
    (output,) = (e for e in result.all_node_events if e.event_type_value == "STEP_OUTPUT")
    found = {name: value.value for name, value in output.event_specific_data.metadata.items()}
    assert found == {"came good": 2, "still fail": 1}
    assert {"photo_030.jpg", "photo_031.jpg"} <= findable(lake)
    assert shard(3) in partitions(lasting_instance, IMAGES)  # the assets' own runs are there to see
    statuses = {run.status for run in lasting_instance.get_runs()}
    assert statuses == {dg.DagsterRunStatus.SUCCESS}


def test_partition_can_be_retried_by_run_config(lake, instance, tried):
    instance.add_dynamic_partitions("image_shards", lake.live_shards())
    keys = (IMAGES, *(feature_key(name) for name in TWO))
    assert materialize(lake, instance, *keys, partition_key=shard(3)).success
    assert tried == []
    config = {"ops": {"extract": {"config": {"retry": True}}}}
    assert materialize(lake, instance, *keys, partition_key=shard(3), run_config=config).success
    assert shown(events(instance, IMAGES)[-1])["failed"] == 0 and len(tried) == 1


# -- derived features ---------------------------------------------------------------------------------------

EMBEDDING, REDUCED = "efficientnet_lite0", "efficientnet_lite0_content"


class FewPixels:
    """An encoder that takes no time: some pixels, as a vector of length 1."""

    precision, backend, batch = "fp32", "test", 16

    def submit(self, pixels: np.ndarray):
        vectors = pixels.reshape(len(pixels), -1)[:, 20_000:21_280].astype(np.float32) + 1
        return lambda: (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def quick_network(monkeypatch):
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: FewPixels())


def test_fit_is_made_once_and_projects_what_comes_later(new_lake, instance, quick_network):
    lake = new_lake(16, (EMBEDDING,), built=False, shard_size=12)
    Builder(lake, instance).build()
    assert instance.get_runs_count() == 2  # the scan, and all the rest in one
    (fit,) = events(instance, fitted_key(REDUCED))
    assert (shown(fit)["fitted now"], shown(fit)["rows"]) == (True, 16)
    before = toy.times(lake, "features", "fitted")
    toy.write_photos(lake.root.parent / "photos", [16])
    Builder(lake, instance).build()
    assert len(events(instance, fitted_key(REDUCED))) == 1
    assert partitions(instance, feature_key(REDUCED))[2:] == [shard(1)]
    again = {f"features/{name}/{shard(1)}.parquet" for name in (EMBEDDING, REDUCED)}
    assert toy.rewritten(before, toy.times(lake, "features", "fitted")) == again
    assert "photo_016.jpg" in findable(lake)


def test_fit_waits_for_the_source_that_is_away(two_sources, instance, quick_network):
    disk = two_sources.root.parent / "disk"
    take_away(disk, leaving_a_folder=False)
    toy.set_to(two_sources, features=(*TWO, EMBEDDING))
    Builder(two_sources, instance).build()
    assert partitions(instance, feature_key(EMBEDDING)) == ["here-0000"]
    assert events(instance, fitted_key(REDUCED)) == []
    assert list(Recommender.open(two_sources).generation.features) == [*TWO]
    disk.with_name("elsewhere").rename(disk)
    Builder(two_sources, instance).build()
    assert list(Recommender.open(two_sources).generation.features) == [*TWO, EMBEDDING]


# -- features that learn from pictures ----------------------------------------------------------------------


def learn_mean(batches) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    means = [np.asarray(image, np.float32).mean() for batch in batches for image in batch.images]
    return {"mean": np.float32([np.mean(means)])}, {"pictures": len(means)}


def brightness(batch, fitted) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    means = np.float32([np.asarray(image, np.float32).mean() for image in batch.images])
    return np.stack([means - fitted["mean"], means], axis=1), {"mean": means}


LEARNT = replace(
    FEATURES["rgb_histogram"], name="brightness", dims=2, metrics=(METRICS["euclidean"],), compute=brightness,
    learnt=Fitter(learn_mean, images=1000, least_images=4), columns={"mean": "float32"},
)  # fmt: skip


def test_learnt_feature_is_fitted_and_computed_in_the_one_run_of_a_first_build(lake, instance, monkeypatch):
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    toy.set_to(lake, features=("phash", LEARNT.name))
    Builder(lake, instance).build()
    assert instance.get_runs_count() == 2
    (fit,) = events(instance, fitted_key(LEARNT.name))
    assert (shown(fit)["fitted now"], shown(fit)["pictures"]) == (True, 40)
    assert sorted(partitions(instance, feature_key(LEARNT.name))) == [shard(n) for n in range(5)]
    assert list(Recommender.open(lake).generation.features) == ["phash", LEARNT.name]
    before = toy.times(lake, *TABLES, "fitted", "generations")
    Builder(lake, instance).build()
    assert toy.times(lake, *TABLES, "fitted", "generations") == before


def test_learnt_feature_added_later_is_fitted_before_the_images_are_decoded_again(lake, instance, monkeypatch):
    Builder(lake, instance).build()
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    toy.set_to(lake, features=(*TWO, LEARNT.name))
    before, listener = toy.times(lake, "features"), Listener()
    Builder(lake, instance, progress=listener).build()
    assert rewritten_features(lake, before) == {LEARNT.name: [shard(n) for n in range(5)]}
    assert listener.expected == [(40, 40, [LEARNT.name])]
    assert list(Recommender.open(lake).generation.features) == [*TWO, LEARNT.name]


def test_refit_of_a_learnt_feature_recomputes_all_its_rows_in_the_same_build(lake, instance, monkeypatch):
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    toy.set_to(lake, features=("phash", LEARNT.name))
    Builder(lake, instance).build()
    old = lake.fitted_version(LEARNT.name)
    toy.write_photos(lake.root.parent / "photos", range(40, 80))
    before, listener = toy.times(lake, "features"), Listener()
    Builder(lake, instance, progress=listener).build()
    assert lake.fitted_version(LEARNT.name) != old
    every, new = [shard(n) for n in range(10)], [shard(n) for n in range(5, 10)]
    assert rewritten_features(lake, before) == {LEARNT.name: every, "phash": new}
    assert listener.expected == [(80, 40, [LEARNT.name])]
    assert list(Recommender.open(lake).generation.features) == ["phash", LEARNT.name]


def test_learnt_feature_of_too_few_images_is_refused_before_any_is_read(new_lake, instance, monkeypatch):
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    lake = new_lake(3, ("phash", LEARNT.name), built=False)
    with pytest.raises(LakeError, match="brightness needs at least 4 images to learn from; the lake has 3"):
        Builder(lake, instance).build()
    assert toy.times(lake, "images", "features") == {}


# -- checks -------------------------------------------------------------------------------------------------


def rewrite(lake: Lake, path: Path, table: pa.Table) -> None:
    """Put another table in the place of one, with the metadata that says it is up to date."""
    lake.write_table(path, table.replace_schema_metadata(None), lake.made_from(path))


def with_vectors(table: pa.Table, vectors: np.ndarray) -> pa.Table:
    return table.set_column(1, table.schema.field(1), to_vectors(vectors))


def doubled(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table.slice(0, 1), table.slice(2)])


@pytest.fixture
def built(new_lake) -> Lake:
    return new_lake(16, TWO, shard_size=8)


def test_sound_tables_have_no_problems(built):
    for key in built.live_shards():
        assert check_rows(built, key) == []
        for feature in map(find_feature, TWO):
            assert check_rows(built, key, feature) == check_vectors(built, key, feature) == []


@pytest.mark.parametrize("feature", [None, "phash"])
def test_check_finds_an_image_that_stands_twice(built, feature):
    path = built.feature_path(feature, shard(1)) if feature else built.images_path(shard(1))
    rewrite(built, path, doubled(built.read_table(path)))
    found = " ".join(check_rows(built, shard(1), feature and find_feature(feature)))
    assert "photos-0001: an image_id occurs twice" in found
    assert "other images than those of the manifest" in found


def test_check_finds_missing_rows_and_rows_in_another_order(built):
    phash = find_feature("phash")
    path = built.feature_path("phash", shard(0))
    table = built.read_table(path)
    rewrite(built, path, table.slice(1))
    assert check_rows(built, shard(0), phash) == ["photos-0000: found 7 rows, expected 8"]
    rewrite(built, path, table.take([1, 0, *range(2, 8)]))
    assert "in another order" in " ".join(check_rows(built, shard(0), phash))


def test_check_finds_a_vector_of_another_length_than_one(built):
    unit = replace(find_feature("rgb_histogram"), unit_norm=True)
    path = built.feature_path(unit.name, shard(0))
    table = built.read_table(path)
    numbers = np.stack(table["vector"].to_numpy())
    numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
    rewrite(built, path, with_vectors(table, numbers))
    assert check_vectors(built, shard(0), unit) == []
    numbers[7] *= 1.01
    rewrite(built, path, with_vectors(table, numbers))
    assert check_vectors(built, shard(0), unit) == ["photos-0000: a vector has length 1.0100, expected 1"]


def test_check_finds_what_is_not_finite_of_another_schema_or_version_or_not_there(built):
    histogram = find_feature("rgb_histogram")
    path = built.feature_path("rgb_histogram", shard(0))
    table = built.read_table(path)
    numbers = np.stack(table["vector"].to_numpy())
    numbers[3, 3] = np.nan
    rewrite(built, path, with_vectors(table, numbers))
    assert check_vectors(built, shard(0), histogram) == ["photos-0000: numbers that are not finite"]
    rewrite(built, path, table.rename_columns(["image_id", "numbers"]))
    assert "schema" in check_vectors(built, shard(0), histogram)[0]
    built.write_table(path, table, {**built.made_from(path), "shard_version": "of yesterday"})
    assert check_vectors(built, shard(0), histogram) == ["photos-0000: made from another version of the manifest"]
    path.unlink()
    assert "missing" in check_vectors(built, shard(0), histogram)[0]


def test_check_that_fails_in_a_build_is_one_line(lake, instance, monkeypatch):
    monkeypatch.setattr(table_checks, "check_rows", lambda *_: ["bad rows"])
    with pytest.raises(SchemaMismatch, match=r"features/phash: rows_match_manifest .*; for the reasons run"):
        Builder(lake, instance).build()
    errors = query(lake, "SELECT error FROM runs WHERE what = 'check'").fetchall()
    assert errors and all("bad rows" in error for (error,) in errors)


def test_nothing_is_built_upon_a_table_that_fails_its_check(lake, instance):
    Builder(lake, instance).build()
    toy.write_photos(lake.root.parent / "photos", [40])  # so that there is a new generation to make
    Builder(lake, instance).scan()
    path = lake.feature_path("phash", shard(1))
    rewrite(lake, path, doubled(lake.read_table(path)))  # as many rows as expected, so that only the check notices
    keys = [IMAGES, *map(feature_key, TWO), GENERATION]
    tags = range_tags(shard(0), shard(5))
    result = materialize(lake, instance, *keys, tags=tags, raise_on_error=False)
    assert not result.success
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [(e.asset_key, e.check_name) for e in failed] == [(feature_key("phash"), "rows_match_manifest")]
    assert "photos-0001: an image_id occurs twice" in failed[0].metadata["problems"].value
    assert len(events(instance, GENERATION)) == 1
    ((name, error),) = query(lake, "SELECT name, error FROM runs WHERE what = 'check'").fetchall()
    assert name == "features/phash:rows_match_manifest"
    assert "photos-0001: an image_id occurs twice" in error
    path.unlink()
    assert materialize(lake, instance, *keys, tags=tags, raise_on_error=False).success
    assert len(events(instance, GENERATION)) == 2


def test_graph_that_finds_too_little_fails_its_check_and_is_noted(lake):
    report = GenerationReport("000001", 40, 0, True, "", 1, 1.0, TWO, recall={"phash": 0.7, "rgb_histogram": 1.0})
    result = recall_result(lake, report)
    assert not result.passed
    assert [result.metadata[name].value for name in ("phash", "rgb_histogram")] == [0.7, 1.0]
    ((name, error),) = query(lake, "SELECT name, error FROM runs WHERE what = 'check'").fetchall()
    assert (name, error) == ("generation:recall_at_10", "phash: recall@10 is 0.7, expected at least 0.95")
    assert recall_result(lake, replace(report, recall={"phash": 0.99})).passed
    assert len(query(lake, "SELECT * FROM runs WHERE what = 'check'").fetchall()) == 1


# -- what runs by itself ------------------------------------------------------------------------------------


def test_nightly_schedule_reindexes_only_where_there_is_something_new(lake, lasting_instance):
    Builder(lake, lasting_instance).build()
    skip = nightly_reindex(lake, lasting_instance)
    assert isinstance(skip, dg.SkipReason)
    assert "nothing new" in skip.skip_message
    (lake.root.parent / "photos" / "photo_003.jpg").unlink()
    Builder(lake, lasting_instance).scan()
    skip = nightly_reindex(lake, lasting_instance)
    assert isinstance(skip, dg.SkipReason)
    assert skip.skip_message == (
        "nothing new can be published: 8 images wait (8 to be read); 8 of them are searchable as before"
    )
    materialize(lake, lasting_instance, IMAGES, *map(feature_key, TWO), partition_key=shard(0))
    assert isinstance(nightly_reindex(lake, lasting_instance), dg.RunRequest)
    assert (
        build_definitions(resource(lake))
        .resolve_job_def("reindex")
        .execute_in_process(instance=lasting_instance)
        .success
    )
    assert isinstance(nightly_reindex(lake, lasting_instance), dg.SkipReason)
    assert "photo_003.jpg" not in findable(lake)


def test_nightly_schedule_publishes_what_is_complete_and_warns_of_what_waits(lake, lasting_instance):
    Builder(lake, lasting_instance).build()
    assert [check.passed for check in feature_checks(lasting_instance)] == [True]
    for name in ("photo_003.jpg", "photo_010.jpg"):
        (lake.root.parent / "photos" / name).unlink()
    Builder(lake, lasting_instance).scan()
    materialize(lake, lasting_instance, IMAGES, *map(feature_key, TWO), partition_key=shard(0))
    lake.feature_path("phash", shard(2)).unlink()
    assert isinstance(nightly_reindex(lake, lasting_instance), dg.RunRequest)
    job = build_definitions(resource(lake)).resolve_job_def("reindex")
    assert job.execute_in_process(instance=lasting_instance).success
    generation = shown(events(lasting_instance, GENERATION)[-1])
    waiting = {
        "images waiting": 16,
        "images waiting, searchable as before": 16,
        "images waiting for: images": 8,
        "images waiting for: phash": 8,
    }
    assert waiting.items() <= generation.items()
    assert generation["dagster/row_count"] == 39 and generation["features"] == "rgb_histogram, phash"
    check = feature_checks(lasting_instance)[-1]
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert {name: value.value for name, value in check.metadata.items()} == {"missing features": "none", **waiting}
    skip = nightly_reindex(lake, lasting_instance)
    assert isinstance(skip, dg.SkipReason)
    assert "16 images wait (8 to be read, 8 for phash)" in skip.skip_message
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(40) if n != 3}


def feature_checks(instance: dg.DagsterInstance) -> list[dg.AssetCheckEvaluation]:
    """Every result of the check that the generation is complete, oldest first."""
    key = dg.AssetCheckKey(GENERATION, "holds_all_chosen_features")
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [record.event.dagster_event.asset_check_evaluation_data for record in reversed(records)]


def test_missing_feature_is_warned_of():
    report = GenerationReport("000001", 40, 0, True, "", 1, 1.0, TWO)
    assert features_result(report).passed
    result = features_result(replace(report, missing=("ahash", "dhash")))
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.metadata["missing features"].value == "ahash, dhash"


def test_nightly_schedule_skips_while_no_image_can_be_published(lake, lasting_instance):
    assert "the lake has none" in nightly_reindex(lake, lasting_instance).skip_message
    Builder(lake, lasting_instance).scan()
    skip = nightly_reindex(lake, lasting_instance)
    assert isinstance(skip, dg.SkipReason)
    assert "no image can be published yet: 40 images wait (40 to be read)" in skip.skip_message


def test_build_completes_while_images_wait(lake, instance, monkeypatch):
    Builder(lake, instance).build()
    held = replace(GenerationReport("000001", 40, 0, True, "", 1, 1.0, TWO), waiting=WaitingImages(8, 8, {"phash": 8}))
    monkeypatch.setattr("imrec_core.index.build.build_generation", lambda *_, **__: held)
    toy.write_photos(lake.root.parent / "photos", [40])
    Builder(lake, instance).build()
    assert [check.passed for check in feature_checks(instance)] == [True, False]


def test_skip_of_the_schedule_confirms_the_generation_and_what_is_shown_of_it(lake, lasting_instance):
    Builder(lake, lasting_instance).build()
    (made,) = events(lasting_instance, GENERATION)
    nightly_reindex(lake, lasting_instance)
    confirmed = events(lasting_instance, GENERATION)[-1]
    assert shown(confirmed) == {**shown(made), "built now": False}
    assert confirmed.tags == made.tags and "dagster/data_version" in made.tags
    (lake.root.parent / "photos" / "photo_003.jpg").unlink()
    Builder(lake, lasting_instance).scan()
    nightly_reindex(lake, lasting_instance)  # images wait to be read: the generation is not up to date
    assert len(events(lasting_instance, GENERATION)) == 2


def test_skip_on_an_instance_that_never_saw_the_generation_confirms_it_too(lake, lasting_instance):
    toy.build(lake)
    nightly_reindex(lake, lasting_instance)
    assert [shown(event) for event in events(lasting_instance, GENERATION)] == [{"built now": False}]


def test_nightly_schedule_leaves_it_to_the_run_to_wait_for_the_storage(lake, lasting_instance, monkeypatch):
    Builder(lake, lasting_instance).build()

    def away(*_):
        raise StorageFault("the bucket does not answer")

    monkeypatch.setattr(index_plan, "plan_generation", away)
    assert isinstance(nightly_reindex(lake, lasting_instance), dg.RunRequest)


def test_sensor_asks_for_a_scan_when_a_folder_is_new(lake):
    first = look(lake, None)
    assert len(first.run_requests) == 1
    skip = look(lake, first.cursor)
    assert isinstance(skip, dg.SkipReason)
    assert "no folder has changed" in skip.skip_message
    toy.write_photos(lake.root.parent / "photos" / "summer", range(50, 53))
    second = look(lake, first.cursor)
    assert len(second.run_requests) == 1


def test_sensor_does_nothing_while_a_source_is_away(two_sources):
    root = two_sources.root.parent
    cursor = look(two_sources, None).cursor
    take_away(root / "disk", leaving_a_folder=False)
    skip = look(two_sources, cursor)
    assert isinstance(skip, dg.SkipReason)
    assert str(root / "disk") in skip.skip_message


def test_sensor_skips_while_the_lake_has_no_source(tmp_path):
    skip = look(toy.new_lake(tmp_path / "lake", sources={}), None)
    assert isinstance(skip, dg.SkipReason)
    assert "imrec build" in skip.skip_message


def test_catch_up_requests_new_and_changed_shards_and_nothing_else(lake, instance):
    catch_up, photos = CatchUp(lake, instance), lake.root.parent / "photos"
    assert catch_up.tick() == {} and "no image was found yet" in catch_up.skipped
    Builder(lake, instance).scan()
    every, names = [shard(n) for n in range(5)], ["images", "features/rgb_histogram", "features/phash"]
    assert catch_up.tick() == {**{name: every for name in names}, "generation": []}
    assert catch_up.tick() == {}  # requested, though not made
    Builder(lake, instance).build()
    assert catch_up.tick() == {} and "nothing is due" in catch_up.skipped
    (photos / "photo_010.jpg").write_bytes((photos / "photo_011.jpg").read_bytes())
    toy.write_photos(photos, [40])
    Builder(lake, instance).scan()
    assert catch_up.tick() == {name: [shard(1), shard(5)] for name in names}


def test_catch_up_requests_nothing_that_a_build_elsewhere_has_done_but_records_it(lake, instance):
    toy.build(lake)
    catch_up = CatchUp(lake, instance)
    assert catch_up.tick() == {}  # adds the partitions
    assert catch_up.tick() == {}
    for key in (MANIFEST, IMAGES, *map(feature_key, TWO)):
        assert sorted(partitions(instance, key)) == [shard(n) for n in range(5)]
    assert instance.get_runs_count() == 0
    assert catch_up.tick() == {} and len(partitions(instance, IMAGES)) == 5


def test_catch_up_fits_when_the_base_is_complete_and_then_projects(new_lake, instance, quick_network):
    lake = new_lake(16, ("phash",), shard_size=8)
    toy.set_to(lake, features=("phash", EMBEDDING), dagster={"reindex_minutes": 1})
    toy.extract(lake)
    catch_up, steps = CatchUp(lake, instance), []
    while requests := catch_up.requests():
        (request,) = requests
        steps.append([key.to_user_string() for key in request.asset_selection])
        assert catch_up.run(request).success
    assert steps == [[f"fitted/{REDUCED}"], [f"features/{REDUCED}"]]
    assert "the next generation is due at" in catch_up.skipped


def test_catch_up_leaves_a_feature_that_cannot_be_fitted(new_lake, instance, monkeypatch):
    monkeypatch.setitem(FEATURES, LEARNT.name, LEARNT)
    lake = new_lake(3, ("phash", LEARNT.name), built=False)
    Builder(lake, instance).scan()
    catch_up = CatchUp(lake, instance)
    assert catch_up.work() == {"images": [shard(0)], "features/phash": [shard(0)], "generation": []}
    assert list(Recommender.open(lake).generation.features) == ["phash"]
    toy.write_photos(lake.root.parent / "photos", [3])
    Builder(lake, instance).scan()
    assert f"fitted/{LEARNT.name}" in catch_up.work()


def test_catch_up_publishes_once_in_the_time_that_lake_toml_sets(lake, instance, monkeypatch):
    toy.set_to(lake, dagster={"reindex_minutes": 10})
    catch_up = CatchUp(lake, instance)
    Builder(lake, instance).build()
    (lake.root.parent / "photos" / "photo_003.jpg").unlink()
    Builder(lake, instance).scan()
    assert "generation" not in catch_up.work()

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=10)

    monkeypatch.setattr(catch_up_module, "datetime", Later)
    assert catch_up.work() == {"generation": []}
    assert "photo_003.jpg" not in findable(lake)


def test_catch_up_requests_a_generation_that_fails_once_until_the_next_scan(lake, instance):
    toy.build(lake)
    lake.withdraw_generation()
    catch_up = CatchUp(lake, instance)
    catch_up.tick()
    assert catch_up.tick() == {} and "has failed" in catch_up.skipped  # the run of the first tick was not executed
    assert catch_up.tick() == {}
    Builder(lake, instance).scan()
    assert catch_up.tick() == {"generation": []}


def test_catch_up_sizes_runs_by_images(lake, instance):
    toy.set_to(lake, dagster={"images_per_run": 20})
    Builder(lake, instance).scan()
    tags = [dict(request.tags) for request in CatchUp(lake, instance).requests()]
    found = [tuple(of_run[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")) for of_run in tags]
    assert found == [(shard(0), shard(1)), (shard(2), shard(3)), (shard(4), shard(4))]


def test_catch_up_asks_for_a_reload_when_a_feature_was_added(lake, instance):
    Builder(lake, instance).build()
    catch_up = CatchUp(lake, instance)
    toy.set_to(lake, features=(*TWO, "dhash"))
    assert catch_up.tick() == {}
    assert "reload the definitions, for features/dhash" in catch_up.skipped
    catch_up.reload()
    assert catch_up.tick() == {"features/dhash": [shard(n) for n in range(5)]}


# -- one event per partition --------------------------------------------------------------------------------


def versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str | None, str]:
    return {event.partition: event.tags["dagster/data_version"] for event in events(instance, key)}


def test_partition_that_is_up_to_date_keeps_its_data_version(lake, instance):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    Builder(lake, instance).build()
    keys = (IMAGES, feature_key("rgb_histogram"), feature_key("less"))
    before = {key: versions(instance, key) for key in keys}
    assert materialize(lake, instance, *keys, partition_key=shard(2)).success
    assert materialize(lake, instance, *keys, tags=range_tags(shard(1), shard(3))).success
    for key in keys:
        assert versions(instance, key) == before[key]
        assert len(set(before[key].values())) == 5
        assert len(partitions(instance, key)) == 5 + 1 + 3  # one event per table and run


def test_versions_of_inputs_are_those_of_the_tables_that_were_read(lake, instance):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    Builder(lake, instance).build()
    base, fit = versions(instance, feature_key("rgb_histogram")), versions(instance, fitted_key("less"))
    manifests = versions(instance, MANIFEST)
    for event in events(instance, feature_key("rgb_histogram")):
        assert event.tags["dagster/input_data_version/shard_manifest"] == manifests[event.partition]
    for event in events(instance, feature_key("less")):
        assert event.tags["dagster/input_data_version/features/rgb_histogram"] == base[event.partition]
        assert event.tags["dagster/input_data_version/fitted/less"] == fit[None]


def test_shard_turns_green_when_it_is_complete_and_not_with_the_run(lake, instance, monkeypatch):
    seen = []

    class Watcher(Progress):
        def done(self, report: object) -> None:
            seen.append(len(instance.get_materialized_partitions(IMAGES)))

    Builder(lake, instance).scan()
    dg.materialize(
        assets_of(lake), selection=dg.AssetSelection.assets(IMAGES), instance=instance,
        resources={"lake": resource(lake), "progress": Watcher()}, tags=range_tags(shard(0), shard(4)),
    )  # fmt: skip
    assert seen == [0, 1, 2, 3, 4]


def test_run_marks_the_lake_for_the_sensor_of_another_instance(lake, instance):
    Builder(lake, instance).scan()
    with dg.DagsterInstance.ephemeral() as other:
        seen, elsewhere = [], CatchUp(lake, other)

        class Watcher(Progress):
            def done(self, report: object) -> None:
                seen.append((elsewhere.tick(), elsewhere.skipped))

        dg.materialize(
            assets_of(lake), selection=dg.AssetSelection.assets(IMAGES), instance=instance,
            resources={"lake": resource(lake), "progress": Watcher()}, partition_key=shard(0),
        )  # fmt: skip
        assert seen == [({}, "a build, or a run of another Dagster instance, is in progress")]
        assert shard(1) in elsewhere.tick()["images"]


def test_shard_that_fails_leaves_the_others_of_its_run_green(lake, instance, monkeypatch):
    Builder(lake, instance).scan()
    write = Lake.write_table

    def refuse(self, path, *args):
        return 1 / 0 if path.stem in (shard(1), shard(3)) else write(self, path, *args)

    monkeypatch.setattr(Lake, "write_table", refuse)
    keys = (IMAGES, feature_key("phash"))
    result = materialize(lake, instance, *keys, tags=range_tags(shard(0), shard(4)), raise_on_error=False)
    assert not result.success
    good = [shard(0), shard(2), shard(4)]
    for key in keys:
        assert partitions(instance, key) == good
        status = instance.get_status_by_partition(key, [shard(n) for n in range(5)], SHARDS)
        failed = [name for name, of_shard in status.items() if of_shard == dg.AssetPartitionStatus.FAILED]
        assert failed == [shard(1), shard(3)]
    assert all(check.passed and check.metadata["shards"].value == 3 for check in result.get_asset_check_evaluations())
    error = next(e for e in result.all_events if e.is_step_failure).step_failure_data.error.cause
    assert error.cls_name == "FailedShards" and "2 shards failed: photos-0001: division by zero" in error.message


@pytest.mark.parametrize(
    ("step", "name"), [("extract", "rgb_histogram"), ("project_less", "less")], ids=["extraction", "projection"]
)
def test_force_computes_again_what_is_up_to_date(lake, instance, step, name):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    Builder(lake, instance).build()
    before, version = toy.times(lake, "features"), versions(instance, feature_key(name))
    config = {"ops": {step: {"config": {"force": True}}}}
    assert materialize(lake, instance, feature_key(name), partition_key=shard(2), run_config=config).success
    assert toy.rewritten(before, toy.times(lake, "features")) == {f"features/{name}/{shard(2)}.parquet"}
    event = events(instance, feature_key(name))[-1]
    assert shown(event)["computed"] is True and shown(event).get("decoded", 8) == 8
    assert versions(instance, feature_key(name)) == version
    assert CatchUp(lake, instance).tick() == {}


def test_force_of_the_generation_builds_it_whole(lake, instance):
    Builder(lake, instance).build()
    assert materialize(lake, instance, GENERATION).success
    config = {"ops": {"generation": {"config": {"force": True}}}}
    assert materialize(lake, instance, GENERATION, run_config=config).success
    first, same, whole = map(shown, events(instance, GENERATION))
    assert (first["id"], same["id"], whole["id"]) == ("000001", "000001", "000002")
    assert whole["why"] == "built whole: a whole build was requested" and whole["dagster/row_count"] == 40


def test_force_of_a_fit_makes_a_new_one_and_its_projections_stale(lake, instance):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 5}})
    Builder(lake, instance).build()
    config = {"ops": {"fitted__less": {"config": {"force": True}}}}
    assert materialize(lake, instance, fitted_key("less"), run_config=config).success
    assert [shown(event)["fitted now"] for event in events(instance, fitted_key("less"))] == [True, True]
    assert CatchUp(lake, instance).tick() == {"features/less": [shard(n) for n in range(5)]}


# -- partitions ---------------------------------------------------------------------------------------------


def test_scattered_choice_becomes_unbroken_stretches_in_partition_order():
    every = list("abcdef")
    assert contiguous(["f", "b", "a", "d"], every) == [["a", "b"], ["d"], ["f"]]
    assert contiguous(every, every) == [every]
    assert contiguous([], every) == []
    assert contiguous(["a", "z"], ["z", "a", "b"]) == [["z", "a"]]
