"""`imrec gc` removes what nothing uses, leaves the rest, and waits for those that are at work; sizes by kind."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.catalog.ids import image_id
from imrec_core.errors import BadSettings, LakeError, MissingTable
from imrec_core.extraction.kept_shards import kept_shards
from imrec_core.extraction.lost_content import find_losses, keep
from imrec_core.extraction.planning import plan
from imrec_core.images.thumbnails import Thumbnails
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.layout import GENERATION_FACTS
from imrec_core.status import lake_status
from imrec_core.upkeep import unused_files
from imrec_core.upkeep.sizes import KINDS, lake_sizes
from imrec_core.upkeep.sources import drop_source
from imrec_core.upkeep.unused_files import find_unused, remove_unused, summary
from tests.support import toy

FEATURES = ("rgb_histogram", "phash", "small")
SMALL = {"small": {"base": "rgb_histogram", "dims": 4}}
OLD = time.time() - 2 * 86400


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Forty photos of `photos` and ten of `other`, with a projection; nothing is unused."""
    folder = tmp_path_factory.mktemp("built")
    toy.write_photos(folder / "photos", range(40))
    toy.write_photos(folder / "other", range(100, 110))
    sources = {name: folder / name for name in ("photos", "other")}
    toy.build(toy.new_lake(folder / "lake", FEATURES, projections=SMALL, sources=sources))
    return folder


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    """A copy that a test may change."""
    return toy.copy_lake(built, tmp_path / "copy")


def files_of(lake: Lake) -> set[str]:
    return {path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*") if path.is_file()}


def kinds(lake: Lake) -> set[str]:
    return {file.kind for file in find_unused(lake)}


def removed(lake: Lake) -> set[str]:
    """What is removed, which is what a dry run before it said, and nothing else; the lake is as whole as before."""
    due, said, before = plan(lake).shards, {str(file.path) for file in find_unused(lake)}, files_of(lake)
    assert {str(file.path) for file in remove_unused(lake)} == said
    assert plan(lake).shards == due
    gone = {name for name in before - files_of(lake) if not name.startswith("locks/")}
    assert all(any(str(lake.root / name).startswith(path) for path in said) for name in gone)
    assert find_unused(lake) == []
    return gone


def test_lake_in_which_all_is_used_stays_as_it_is(lake):
    assert find_unused(lake) == []
    assert removed(lake) == set()
    assert summary([], is_removed=True) == "nothing is unused"


def test_tables_of_a_feature_that_is_no_longer_listed_go_and_those_of_a_base_stay(lake):
    toy.set_to(lake, features=("small",))  # rgb_histogram is its base
    build_generation(lake)
    assert removed(lake) == {
        f"features/phash/{shard}.parquet" for shard in ("other-0000", "photos-0000", "photos-0001", "photos-0002")
    }
    assert not (lake.root / "features" / "phash").exists()
    assert is_up_to_date(lake, plan_generation(lake))


def test_fit_of_a_dropped_feature_stays_while_a_generation_is_searched_by_it(lake):
    for path in (lake.root / "fitted").rglob("*"):
        os.utime(path, (OLD, OLD))
    version = lake.fitted_version("small")
    toy.set_to(lake, features=("rgb_histogram",), projections={})
    assert "fits" in kinds(lake)  # only the file that names the version in use
    remove_unused(lake)
    assert lake.fitted_path("small", version).exists()
    build_generation(lake)  # the one before is of that fit still
    remove_unused(lake)
    assert lake.fitted_path("small", version).exists()
    toy.write_photos(lake.settings().sources["other"], [120])
    toy.build(lake)
    assert removed(lake) == {f"fitted/small/{version}.npz", f"fitted/small/{version}.json"}
    assert not (lake.root / "fitted" / "small").exists()


def test_earlier_fit_goes_unless_it_is_young(lake):
    old = lake.layout.fitted_path("small", "0" * 16)
    old.write_bytes(b"x" * 100)
    assert find_unused(lake) == []  # another process may be about to name it as the version in use
    os.utime(old, (OLD, OLD))
    (file,) = find_unused(lake)
    assert (file.kind, file.path, file.byte_size) == ("fits", old, 100)
    assert removed(lake) == {f"fitted/small/{'0' * 16}.npz"}
    assert lake.fitted_version("small")


def test_tables_of_a_source_that_was_taken_out_by_hand_go(lake):
    toy.set_to(lake, sources={"photos": lake.settings().sources["photos"]})
    build_generation(lake)
    gone = removed(lake)
    assert gone == {
        f"{kind}/other-0000.parquet" for kind in ("catalog", "images", *(f"features/{f}" for f in FEATURES))
    }


def test_tables_without_a_manifest_go(lake):
    lake.catalog_path("photos-0002").unlink()
    assert removed(lake) == {
        f"{kind}/photos-0002.parquet" for kind in ("images", *(f"features/{name}" for name in FEATURES))
    }


def test_lake_toml_that_lists_no_source_is_no_reason_to_remove_everything(lake):
    lake.settings_path.unlink()
    with pytest.raises(BadSettings, match=r"lists no source, but the lake has tables of other, photos; restore it"):
        remove_unused(lake)
    assert lake.shards()


def test_lake_whose_last_source_was_dropped_gives_all_its_space_back(lake):
    drop_source(lake, "photos")
    drop_source(lake, "other")
    for path in (lake.root / "fitted").rglob("*"):
        os.utime(path, (OLD, OLD))
    remove_unused(lake)
    assert lake.generations() == []
    assert {name.partition("/")[0] for name in files_of(lake)} <= {
        "lake.toml",
        "version.json",
        "scans.json",
        "locks",
        "fitted",
    }


def test_generation_that_was_read_when_newer_ones_came_goes_when_it_no_longer_is(lake):
    held = open_generation(lake)
    for seed in range(120, 123):
        toy.write_photos(lake.settings().sources["other"], [seed])
        toy.build(lake)
    assert lake.generations() == ["000001", "000003", "000004"]
    assert find_unused(lake) == []
    assert remove_unused(lake) == []
    assert held.rows.num_rows == 50
    held = None
    assert {name.partition("/")[0] for name in removed(lake)} == {"generations"}
    assert lake.generations() == ["000003", "000004"]
    assert lake.current_generation() == "000004"


def test_incomplete_generation_goes_and_the_one_before_the_current_stays(lake):
    toy.write_photos(lake.settings().sources["other"], [120])
    toy.build(lake)
    (lake.root / "generations" / "000009").mkdir()
    for name in ("phash.npy", "rows.parquet"):
        (lake.root / "generations" / "000009" / name).write_bytes(b"x" * 50)
    assert removed(lake) == {"generations/000009/phash.npy", "generations/000009/rows.parquet"}
    assert lake.generations() == ["000001", "000002"]


def test_space_of_hard_links_is_counted_once_and_only_if_it_is_freed(lake):
    generations = lake.root / "generations"
    shutil.copytree(generations / "000001", generations / "000000", copy_function=os.link)
    (generations / "000000" / GENERATION_FACTS).unlink()
    before = lake_sizes(lake)
    (file,) = find_unused(lake)
    assert (file.kind, file.byte_size) == ("generations", 0)
    remove_unused(lake)
    assert lake_sizes(lake)["generations"] == before["generations"]


def test_thumbnails_of_images_that_are_gone_go_and_the_others_stay(lake):
    photos, thumbnails = lake.settings().sources["photos"], Thumbnails(lake)
    table = open_generation(lake).live_table(["source", "path", "content_hash"]).to_pylist()
    for row in table[:30]:
        path = lake.settings().sources[row["source"]] / row["path"]
        thumbnails.of(path, row["content_hash"], 160, max_pixels=10**8)
    assert find_unused(lake) == []
    rows = [row for row in table[:30] if row["source"] == "photos"][:5]
    for row in rows:
        (photos / row["path"]).unlink()
    toy.build(lake)
    assert removed(lake) == {
        lake.thumbnail_path(row["content_hash"], 160).relative_to(lake.root).as_posix() for row in rows
    }


def test_unfinished_write_of_a_process_that_has_ended_goes_and_that_of_a_running_one_stays(lake, monkeypatch):
    from imrec_core.lake.storage import files

    here = files.THIS_MACHINE
    dead, mine = (lake.root / "images" / f".writing-{pid}-{here}-0-x.parquet" for pid in (2**22 + 1, os.getpid()))
    folder = lake.root / "generations" / f".writing-{2**22 + 1}-{here}-1-000002"
    folder.mkdir()
    for path in (dead, mine, folder / "rows.parquet"):
        path.write_bytes(b"x" * 10)
    assert sorted((file.kind, file.byte_size) for file in find_unused(lake)) == [("unfinished", 10)] * 2
    remove_unused(lake)
    assert mine.exists() and not dead.exists() and not folder.exists()


def test_kept_tables_of_lost_images_go_after_their_time_and_count_as_their_own_kind(lake):
    shutil.rmtree(lake.settings().sources["photos"])
    toy.write_photos(lake.settings().sources["photos"], range(10))
    found = manifests.diff(lake)
    keep(lake, find_losses(lake, found))
    found.apply(lake)
    assert kept_shards(lake)
    assert lake_sizes(lake)["lost"] > 0
    assert "lost" not in kinds(lake)
    toy.set_to(lake, keep_lost_days=0)
    assert kinds(lake) == {"lost"}
    remove_unused(lake)
    assert kept_shards(lake) == []
    assert lake_sizes(lake)["lost"] == 0


@pytest.mark.parametrize("work", ["catalog", "generation", "extract-photos-0000"])
def test_removal_waits_for_what_is_at_work(lake, work):
    toy.set_to(lake, features=("small",))
    done = threading.Event()

    def collect() -> None:
        remove_unused(lake)
        done.set()

    thread = threading.Thread(target=collect)
    with lake.exclusive_lock(work):
        thread.start()
        assert not done.wait(0.3)
        assert lake.feature_path("phash", "photos-0000").exists()
    thread.join(20)
    assert done.is_set()
    assert not lake.feature_path("phash", "photos-0000").exists()


def test_file_that_cannot_be_removed_is_one_clear_error(lake, monkeypatch):
    toy.set_to(lake, features=("small",))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(unused_files.files, "remove", refuse)
    with pytest.raises(LakeError, match=r"phash.*parquet cannot be removed: Permission denied"):
        remove_unused(lake)


def test_folder_without_a_lake_is_refused(tmp_path):
    for call in (find_unused, remove_unused):
        with pytest.raises(MissingTable, match="there is no lake"):
            call(Lake(tmp_path))


def test_searches_give_the_same_after_a_removal(lake):
    query = ImageId(image_id("photos", "photo_003.jpg"))
    before = Recommender.open(lake).search(query, k=20, by=["small", "rgb_histogram"]).to_dict()["hits"]
    toy.set_to(lake, features=("rgb_histogram", "small"))
    remove_unused(lake)
    after = Recommender.open(lake).search(query, k=20, by=["small", "rgb_histogram"]).to_dict()["hits"]
    assert after == before


# -- sizes --------------------------------------------------------------------------------------------------


def test_sizes_by_kind_add_up_to_all_files_of_the_lake(lake):
    found = lake_sizes(lake)
    assert list(found) == list(KINDS)
    thumbnails = found.pop("thumbnails")
    assert thumbnails == 0
    assert sum(found.values()) == sum(path.stat().st_size for path in lake.root.rglob("*") if path.is_file())
    for kind, folders in {"features": ["features"], "images": ["catalog", "images"], "fits": ["fitted"]}.items():
        size = sum(path.stat().st_size for name in folders for path in (lake.root / name).rglob("*") if path.is_file())
        assert found[kind] == size > 0


def test_status_has_the_sizes_and_says_them_in_words(lake):
    status = lake_status(lake)
    assert status.to_dict()["sizes"] == lake_sizes(lake)
    (line,) = (line for line in status.summary().splitlines() if line.startswith("size "))
    assert "features " in line and "images table " in line and "generations " in line and " MB" in line
    assert replace(status, sizes={}).summary().count("size ") == 0
