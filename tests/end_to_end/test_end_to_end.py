"""What a person does from the first folder on, by the command: on a disk, and in an object store that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from imrec_core import Lake
from imrec_core.lake.storage import files, object_store, retry
from imrec_core.lake.storage.files import AnyPath
from tests.support import s3, toy
from tests.support.pictures import BROKEN, encode

FEATURES = "rgb_histogram,phash,small"
SETTINGS = """
shard_size = 8
[projections.small]
base = "rgb_histogram"
dims = 8
"""
FAULTS = 0.05


@dataclass
class World:
    """Where the pictures and the lake lie.

    Attributes:
        store: None on a disk.
    """

    photos: AnyPath
    lake: AnyPath
    store: s3.Faulty | None

    def write(self, name: str, data: bytes) -> None:
        if isinstance(self.photos, Path):
            (self.photos / name).write_bytes(data)
        elif self.store:
            self.store.share = 0.0  # the writer tries again
            s3.put(f"photos/{name}", data)
            self.store.share = FAULTS

    def remove(self, name: str) -> bytes:
        data = files.read_bytes(self.photos / name)
        if isinstance(self.photos, Path):
            (self.photos / name).unlink()
        else:
            object_store.remove(self.photos / name)
        return data


@pytest.fixture(params=["disk", "object store"])
def world(request, tmp_path, monkeypatch) -> Iterator[World]:
    toy.write_photos(tmp_path / "photos", range(30))
    (tmp_path / "photos" / "broken.jpg").write_bytes(BROKEN["truncated.jpg"]())
    if request.param == "disk":
        yield World(tmp_path / "photos", tmp_path / "lake", None)
        return
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    store: s3.Faulty = request.getfixturevalue("store")
    s3.put_folder(tmp_path / "photos", "photos")
    store.share = FAULTS
    yield World(s3.path("photos"), s3.path("lake"), store)
    assert sum(store.faults.values()) > 20, "the store has not failed"
    assert set(store.faults) == set(s3.KINDS)


def picture(seed: int) -> bytes:
    return encode(toy.photo(seed), "JPEG", quality=90)


def test_from_the_first_folder_on(world, imrec, tmp_path, monkeypatch):
    monkeypatch.setenv("IMREC_LAKE", str(world.lake))
    Lake(world.lake).open_for_writing()
    files.write_bytes(world.lake / "lake.toml", SETTINGS.encode())

    def ran(*arguments: object) -> str:
        outcome = imrec(*arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def sql(query: str) -> list[list[object]]:
        return [list(row.values()) for row in json.loads(ran("sql", query, "--json"))]

    def search(*arguments: object) -> list[str]:
        hits = json.loads(ran("search", *arguments, "--with-self", "--json"))["hits"]
        return [Path(hit["path"]).name for hit in hits]

    said = ran("build", world.photos, "--features", FEATURES)
    assert "31 new, 0 changed, 0 removed, 0 unchanged images" in said
    assert "generation 000001: 30 images" in said
    assert sql("SELECT status, count(*) FROM images GROUP BY status ORDER BY status") == [["failed", 1], ["ok", 30]]
    (failure,) = json.loads(ran("failures", "--json"))
    assert (failure["path"], failure["error"].partition(":")[0]) == ("broken.jpg", "TruncatedImage")
    for feature in FEATURES.split(","):
        assert search(world.photos / "photo_007.jpg", "--by", feature, "-k", 3)[0] == "photo_007.jpg"
    assert (
        search(tmp_path / "photos" / "photo_007.jpg", "--by", "phash", "--by", "small=2", "-k", 3)[0] == "photo_007.jpg"
    )
    assert search(world.photos / "photo_007.jpg", "--where", "path < 'photo_005'", "-k", 9)[5:] == []

    content = world.remove("photo_003.jpg")
    world.write("renamed.jpg", content)
    world.remove("photo_004.jpg")
    world.write("photo_005.jpg", picture(105))
    world.write("new.jpg", picture(130))
    world.write("twice.jpg", picture(130))
    world.write("broken.jpg", picture(131))
    said = ran("build")
    assert "3 new, 2 changed, 2 removed, 27 unchanged images" in said
    assert "3 decoded at" in said  # the new one, once, and those that have changed; no more
    assert "generation 000002: 32 images" in said
    assert "extends 000001" in said
    assert sql("SELECT count(*) FROM images WHERE status = 'failed'") == [[0]]
    assert sql("SELECT (SELECT count(*) FROM catalog) - (SELECT count(*) FROM images)") == [[0]]
    for name in ("renamed.jpg", "photo_005.jpg", "broken.jpg"):
        assert search(world.photos / name, "--by", "phash", "-k", 1) == [name]
    assert set(search(world.photos / "new.jpg", "--by", "phash", "-k", 2)) == {"new.jpg", "twice.jpg"}

    assert "nothing to do: generation 000002 is up to date" in ran("build")
    assert "all that the last scan found is searchable" in ran("status")
    duplicates = json.loads(ran("duplicates", "--tier", "identical", "--json"))
    assert [len(group["copies"]) for group in duplicates["groups"]] == [2]
    ran("export", tmp_path / "out", "--to", "parquet")
    kinds = dict(sql("SELECT what, count(*) FROM runs GROUP BY what"))
    assert kinds["scan"] == 3
    assert kinds["generation"] == 2

    expected = toy.new_lake(tmp_path / "again", ("rgb_histogram", "phash"), sources={"photos": world.photos})
    toy.build(expected)
    assert vectors(Lake(world.lake)) == vectors(expected)


def vectors(lake: Lake) -> dict[tuple[str, str], bytes]:
    """Of each image its vectors, as bytes."""
    found = {}
    for shard in lake.shards():
        for feature in ("rgb_histogram", "phash"):
            table = lake.read_table(lake.feature_path(feature, shard))
            for row in table.to_pylist():
                found[feature, row["image_id"]] = str(row["vector"]).encode()
    return found


def test_lake_that_cannot_be_reached_is_one_line(store, imrec, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    store.share, store.kinds = 1.0, ("slow down",)
    assert "s3://pictures/lake" in imrec("status", "--lake", "s3://pictures/lake").complaint
    assert "run the command again" in imrec("search", "x.jpg", "--lake", "s3://pictures/lake").complaint
