"""Scanning stats files and nothing more; an image keeps its shard while others come, change and go."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from imrec_core.catalog import manifests as catalog
from imrec_core.catalog import scan
from imrec_core.catalog.ids import image_id, is_escaped
from imrec_core.catalog.manifests import CatalogDiff, diff, shard_version, update
from imrec_core.catalog.scan import require_image, scan_source
from imrec_core.errors import BadSource, LakeError, UnknownName
from imrec_core.lake.lake import Lake, number_of
from imrec_core.lake.schemas import MANIFEST
from imrec_core.lake.settings import Settings, Source
from imrec_core.runtime.text import escaped


def touch(folder: Path, *paths: str | bytes, content: bytes = b"x") -> None:
    for path in paths:
        file = Path(os.fsdecode(os.path.join(os.fsencode(folder), os.fsencode(path))))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def scanned(root: Path, settings: Settings | None = None, **options: Path) -> list[str]:
    return scan_source(Source("s", root), settings or Settings(), **options)["path"].to_list()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    touch(root, *(f"{i}.jpg" for i in range(5)))
    return root


@pytest.fixture
def lake(tmp_path: Path, photos: Path) -> Lake:
    """A lake of shards of two over five photos, not scanned yet."""
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": photos}, shard_size=2))
    return lake


def shards(lake: Lake) -> dict[str, list[str]]:
    return {s: lake.read_table(lake.catalog_path(s))["path"].to_pylist() for s in lake.shards()}


# -- identity -----------------------------------------------------------------------------------------------


def test_image_id_is_the_start_of_blake2b_over_source_nul_and_path():
    key = b"urlaub\0Tag 1/ein Bild.jpg"
    assert image_id("urlaub", "Tag 1/ein Bild.jpg") == hashlib.blake2b(key).digest()[:8].hex()


def test_image_id_stays_what_lakes_on_disk_hold():
    assert image_id("holiday", "a.jpg") == "d4e48a7668468b4a"  # by b2sum


def test_same_path_in_two_sources_is_two_images():
    assert image_id("a", "x.jpg") != image_id("b", "x.jpg")
    assert image_id("a", "b/x.jpg") != image_id("a/b", "x.jpg")


def test_ids_of_a_scan_are_those_of_source_and_path(photos):
    frame = scan_source(Source("holiday", photos), Settings())
    assert frame["image_id"].to_list() == [image_id("holiday", f"{i}.jpg") for i in range(5)]
    assert frame["source"].unique().to_list() == ["holiday"]
    assert frame["byte_size"].to_list() == [1] * 5
    assert frame["mtime_ns"].to_list() == [(photos / f"{i}.jpg").stat().st_mtime_ns for i in range(5)]
    assert frame["inode"].to_list() == [(photos / f"{i}.jpg").stat().st_ino for i in range(5)]
    assert frame["ctime_ns"].to_list() == [(photos / f"{i}.jpg").stat().st_ctime_ns for i in range(5)]
    assert frame.to_arrow().cast(MANIFEST).schema == MANIFEST


def test_two_files_with_one_id_are_an_error_and_nothing_is_written(lake, monkeypatch):
    monkeypatch.setattr(scan, "image_ids", lambda source, paths: ["0" * 16] * len(paths))
    with pytest.raises(LakeError, match=r"same image_id 0{16}: 0\.jpg, 1\.jpg"):
        update(lake)
    assert lake.shards() == []


# -- scanning -----------------------------------------------------------------------------------------------


def test_files_are_found_by_extension_in_any_letter_case_sorted_by_path(tmp_path):
    touch(tmp_path, "b.JPG", "a/z.Jpeg", "a.png", "Z.webp", "notes.txt", "jpg", "x.jpg.part", "a/b/c/deep.tif", "v.mp4")
    assert scanned(tmp_path) == ["Z.webp", "a.png", "a/b/c/deep.tif", "a/z.Jpeg", "b.JPG"]


def test_pictures_of_rarer_endings_are_taken(tmp_path):
    for name in ("a.jfif", "b.JPE", "c.pgm", "d.pbm", "e.pnm", "f.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert scanned(tmp_path) == ["a.jfif", "b.JPE", "c.pgm", "d.pbm", "e.pnm"]


def test_chosen_extensions_replace_the_usual_ones(tmp_path):
    touch(tmp_path, "a.jpg", "b.RAW", "none")
    assert scanned(tmp_path, Settings(extensions=(".raw",))) == ["b.RAW"]
    assert scanned(tmp_path, Settings(extensions=("*",))) == ["a.jpg", "b.RAW", "none"]


def test_heic_is_listed_only_where_it_can_be_decoded(tmp_path, monkeypatch):
    touch(tmp_path, "a.heic", "b.jpg")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert scanned(tmp_path) == ["b.jpg"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert scanned(tmp_path) == ["a.heic", "b.jpg"]


def test_hidden_folders_are_entered_only_on_request(tmp_path):
    touch(tmp_path, ".thumbs/a.jpg", "b/.trash/c.jpg", "d.jpg", ".e.jpg")
    assert scanned(tmp_path) == [".e.jpg", "d.jpg"]
    assert scanned(tmp_path, Settings(scan_hidden=True)) == [".e.jpg", ".thumbs/a.jpg", "b/.trash/c.jpg", "d.jpg"]


def test_link_to_a_folder_elsewhere_is_followed_and_a_loop_ends(tmp_path):
    touch(tmp_path / "elsewhere", "far.jpg")
    touch(tmp_path / "root", "a/near.jpg")
    (tmp_path / "root/away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/self").symlink_to(tmp_path / "root/a")
    assert scanned(tmp_path / "root") == ["a/near.jpg", "away/far.jpg"]


def test_link_to_nothing_is_listed_so_that_its_failure_is_seen(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert scanned(tmp_path) == ["gone.jpg"]


def test_lake_among_the_pictures_is_not_entered(tmp_path):
    touch(tmp_path, "a.jpg", "lake/sheet.jpg", "lakeside/b.jpg")
    assert scanned(tmp_path, leave_out=tmp_path / "lake") == ["a.jpg", "lakeside/b.jpg"]


def test_scan_of_a_lake_leaves_its_own_folder_out(photos):
    lake = Lake(photos / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": photos}))
    touch(lake.root, "sheet.jpg")
    assert diff(lake).new == 5


STRANGE = ["new\nline.jpg", "qu'o\"te.jpg", "🐱 cat.jpg", "a=b,[c].jpg", "back\\slash.jpg", "e\u0301.jpg", "\u00e9.jpg"]


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_strange_name_is_listed_as_it_is(tmp_path, name):
    touch(tmp_path, name)
    assert scanned(tmp_path) == [name]
    assert not is_escaped("s", name, image_id("s", name))


def test_name_that_is_no_utf_8_is_listed_escaped_and_known_as_such(lake, photos):
    touch(photos, b"caf\xe9.jpg", r"caf\xe9.jpg")
    frame = scan_source(Source("s", photos), Settings()).filter(pl.col("path").str.starts_with("caf"))
    assert frame["path"].to_list() == [r"caf\xe9.jpg"] * 2
    assert sorted(is_escaped("s", r"caf\xe9.jpg", identity) for identity in frame["image_id"]) == [False, True]
    assert escaped(os.fsdecode(b"caf\xe9.jpg")) == r"caf\xe9.jpg"
    assert update(lake).new == 7
    assert diff(lake).unchanged == 7


def test_nothing_is_opened_by_a_scan(lake, photos, monkeypatch):
    for path in photos.iterdir():
        path.chmod(0)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("opened a file"))
    assert len(scanned(photos)) == 5


# -- sources that cannot be listed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda root: (shutil.rmtree(root), root.write_text("")), "is a file"),
        (lambda root: [path.unlink() for path in root.iterdir()], "held 5 images and holds none now"),
    ],
    ids=["missing", "a file", "emptied"],
)
def test_source_that_cannot_be_listed_is_unavailable_and_keeps_its_images(lake, photos, spoil, reason):
    update(lake)
    before = contents(lake.root)
    spoil(photos)
    found = update(lake)
    ((name, said),) = found.unavailable
    assert name == "s"
    assert reason in said
    assert str(photos) in said
    assert found == CatalogDiff(unavailable=found.unavailable)
    assert contents(lake.root) == before


def test_source_that_never_held_an_image_is_no_error(tmp_path):
    (tmp_path / "empty").mkdir()
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": tmp_path / "empty"}))
    assert diff(lake) == CatalogDiff()


def test_one_missing_source_does_not_stop_the_others(lake, photos, tmp_path):
    lake.save_settings(replace(lake.settings(), sources={"gone": tmp_path / "gone", "s": photos}))
    found = update(lake)
    assert [name for name, _ in found.unavailable] == ["gone"]
    assert found.new == 5


def test_scan_of_a_missing_folder_says_bad_source(tmp_path):
    with pytest.raises(BadSource, match="does not exist"):
        scan_source(Source("s", tmp_path / "gone"), Settings())


def test_folder_without_an_image_is_refused_and_told_what_was_looked_for(tmp_path, photos):
    touch(tmp_path / "texts", "a.txt", ".hidden/a.jpg")
    with pytest.raises(BadSource, match=r"texts holds no image \(looked for .*jpg"):
        require_image(Source("s", tmp_path / "texts"), Settings())
    require_image(Source("s", photos), Settings())


def test_source_that_the_lake_does_not_know_is_refused(lake):
    with pytest.raises(UnknownName, match="did you mean 's'"):
        diff(lake, ("ss",))


# -- diff and apply -----------------------------------------------------------------------------------------


def test_diff_writes_nothing_and_apply_does(lake):
    before = contents(lake.root)
    found = diff(lake)
    assert contents(lake.root) == before
    found.apply(lake)
    assert shards(lake) == {"s-0000": ["0.jpg", "1.jpg"], "s-0001": ["2.jpg", "3.jpg"], "s-0002": ["4.jpg"]}
    for manifest in found.manifests:
        path = lake.catalog_path(manifest.shard)
        assert lake.made_from(path) == {"shard": manifest.shard, "shard_version": manifest.version}
        assert lake.read_table(path).schema.remove_metadata() == MANIFEST


def test_second_scan_finds_nothing_to_do(lake):
    update(lake)
    assert diff(lake) == CatalogDiff(unchanged=5)


@pytest.mark.parametrize("change", ["mtime", "size"])
def test_changed_file_touches_its_own_shard_alone(lake, photos, change):
    versions = {manifest.shard: manifest.version for manifest in update(lake).manifests}
    status = (photos / "2.jpg").stat()
    if change == "size":
        (photos / "2.jpg").write_bytes(b"xy")
    os.utime(photos / "2.jpg", ns=(0, status.st_mtime_ns + (change == "mtime")))
    found = diff(lake)
    assert (found.new, found.changed, found.removed, found.unchanged) == (0, 1, 0, 4)
    (manifest,) = found.manifests
    assert manifest.shard == "s-0001"
    assert manifest.version != versions["s-0001"]
    assert manifest.table["path"].to_pylist() == ["2.jpg", "3.jpg"]


def test_new_images_fill_the_last_shard_and_then_open_another(lake, photos):
    update(lake)
    touch(photos, "0a.jpg", "0b.jpg")  # sorted among the old ones, and still they do not push them on
    found = update(lake)
    assert [manifest.shard for manifest in found.manifests] == ["s-0002", "s-0003"]
    assert shards(lake)["s-0002"] == ["0a.jpg", "4.jpg"]
    assert shards(lake)["s-0003"] == ["0b.jpg"]


def test_removed_image_leaves_its_manifest_and_its_place_stays_empty(lake, photos):
    update(lake)
    (photos / "0.jpg").unlink()
    (photos / "1.jpg").unlink()
    touch(photos, "5.jpg", "6.jpg")
    found = update(lake)
    assert (found.new, found.changed, found.removed, found.unchanged) == (2, 0, 2, 3)
    assert shards(lake) == {
        "s-0000": [],
        "s-0001": ["2.jpg", "3.jpg"],
        "s-0002": ["4.jpg", "5.jpg"],
        "s-0003": ["6.jpg"],
    }


def test_room_that_a_removed_image_leaves_in_the_last_shard_is_used(lake, photos):
    update(lake)
    (photos / "4.jpg").unlink()
    touch(photos, "5.jpg", "6.jpg")
    update(lake)
    assert shards(lake) == {"s-0000": ["0.jpg", "1.jpg"], "s-0001": ["2.jpg", "3.jpg"], "s-0002": ["5.jpg", "6.jpg"]}


def test_new_source_leaves_the_shards_of_the_old_one_alone(lake, photos, tmp_path):
    update(lake)
    before = contents(lake.root / "catalog")
    touch(tmp_path / "more", "0.jpg")
    lake.save_settings(lake.settings().with_folders([f"a={tmp_path / 'more'}"]))
    assert [manifest.shard for manifest in update(lake).manifests] == ["a-0000"]
    assert before.items() <= contents(lake.root / "catalog").items()


def test_sources_whose_names_begin_alike_do_not_mix(lake, photos, tmp_path):
    touch(tmp_path / "more", "0.jpg")
    lake.save_settings(replace(lake.settings(), sources={"s": photos, "s-0000": tmp_path / "more"}))
    update(lake)
    found = diff(lake)
    assert (found.unchanged, found.removed, found.manifests) == (6, 0, ())


def test_single_source_can_be_scanned(lake, photos, tmp_path):
    touch(tmp_path / "more", "0.jpg")
    lake.save_settings(replace(lake.settings(), sources={"s": photos, "t": tmp_path / "more"}))
    assert diff(lake, ("t",)).new == 1


# -- properties of sharding ---------------------------------------------------------------------------------

ONE_SOURCE = st.lists(
    st.dictionaries(st.integers(0, 25), st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20),
    min_size=1,
    max_size=6,
)  # what a folder holds in each round: number of an image → its size and time


def as_frame(folder: dict[int, tuple[int, int]]) -> pl.DataFrame:
    rows = [
        (image_id("s", f"{n:02}.jpg"), "s", f"{n:02}.jpg", *print_, n + 1, 0, None)
        for n, print_ in sorted(folder.items())
    ]
    return pl.DataFrame(rows, schema=pl.DataFrame(MANIFEST.empty_table()).schema, orient="row")


@given(rounds=ONE_SOURCE, shard_size=st.integers(1, 4))
@hypothesis_settings(max_examples=150, deadline=None)
def test_shards_partition_the_images_and_nobody_moves(rounds, shard_size):
    manifests: dict[str, pa.Table] = {}
    home: dict[str, str] = {}  # image → shard, while it stays
    before: dict[int, tuple[int, int]] = {}
    for folder in rounds:
        frames = [pl.DataFrame(t).with_columns(shard=pl.lit(s)) for s, t in manifests.items()]
        last = max((number_of(shard) for shard in manifests), default=0)
        empty = pl.DataFrame(schema={**pl.DataFrame(MANIFEST.empty_table()).schema, "shard": pl.String()})
        known, nothing = pl.concat([empty, *frames]), pl.Series([], dtype=pl.String)
        states = catalog._compare_states(as_frame(folder), known, nothing, is_comparable=True, again=pl.lit(False))
        found = catalog._compare("s", states, known, last, shard_size)

        both = before.keys() & folder.keys()
        changed = {n for n in both if before[n] != folder[n]}
        assert found.new == len(folder.keys() - both)
        assert found.changed == len(changed)
        assert found.unchanged == len(both) - len(changed)
        assert found.removed == len(before.keys() - both)

        touched = {manifest.shard for manifest in found.manifests}
        assert len(touched) == len(found.manifests)
        gone_or_changed = {home[image_id("s", f"{n:02}.jpg")] for n in changed | (before.keys() - both)}
        for manifest in found.manifests:
            old = manifests.get(manifest.shard)
            assert old is None or not old.equals(manifest.table)
            assert manifest.version == shard_version(manifest.table)
        assert gone_or_changed <= touched

        manifests |= {manifest.shard: manifest.table for manifest in found.manifests}
        rows = {s: t["image_id"].to_pylist() for s, t in manifests.items()}
        assert all(len(ids) <= shard_size for ids in rows.values())
        now = {identity: shard for shard, ids in rows.items() for identity in ids}
        assert sorted(identity for ids in rows.values() for identity in ids) == sorted(as_frame(folder)["image_id"])
        assert all(now[identity] == shard for identity, shard in home.items() if identity in now)
        assert pl.concat(map(pl.DataFrame, manifests.values())).sort("path").equals(as_frame(folder))
        home, before = now, folder


@given(one=ONE_SOURCE, other=ONE_SOURCE)
@hypothesis_settings(max_examples=50, deadline=None)
def test_shard_version_is_equal_exactly_where_ids_sizes_and_times_are(one, other):
    a, b = as_frame(one[0]), as_frame(other[0])
    assert (shard_version(a.to_arrow()) == shard_version(b.to_arrow())) == a.equals(b)


def test_shard_version_does_not_hang_on_what_is_no_fingerprint():
    table = as_frame({1: (1, 1), 2: (2, 2)}).to_arrow()
    renamed = table.set_column(2, "path", pa.array(["x", "y"]))
    assert shard_version(renamed) == shard_version(table)
    for name in ("byte_size", "mtime_ns"):
        at = table.schema.get_field_index(name)
        assert shard_version(table.set_column(at, name, pa.array([1, 3]))) != shard_version(table)
