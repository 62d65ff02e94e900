"""Requests to an object store: what is tried again, what is told, and that nothing short is taken for whole."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from s3fs import S3FileSystem

from imrec_core.errors import LakeError, MissingDependency, StorageFault
from imrec_core.lake.storage import files, object_store, retry
from tests.support import s3


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)  # it waits for seconds


@pytest.mark.parametrize("kind", s3.KINDS)
def test_requests_that_fail_now_and_then_give_what_there_is(store, kind):
    path = s3.put("folder/file", bytes(range(256)) * 40)
    store.share, store.kinds = 0.2, (kind,)
    for _ in range(10):
        assert files.read_bytes(path) == bytes(range(256)) * 40
        assert files.read_bytes(path, 10240) == bytes(range(256)) * 40
        assert object_store.read_part(path, 10, 20) == bytes(range(10, 20))
        assert [object_store.name_of(entry) for entry in object_store.listing(path.parent)] == ["file"]
        files.write_bytes(path.parent / "other", b"written")
        assert object_store.read(path.parent / "other") == b"written"
        object_store.remove(path.parent / "other")
    assert sum(store.faults.values()) > 5


def test_store_that_is_down_is_told_with_the_file_and_what_to_do(store):
    path = s3.put("folder/file")
    store.share, store.kinds = 1.0, ("slow down",)
    for request in (object_store.read, object_store.listing, object_store.entry, object_store.remove):
        with pytest.raises(
            StorageFault, match=r"s3://pictures/folder.*; completed shards are kept, run the command again"
        ):
            request(path)
    with pytest.raises(StorageFault):
        files.write_bytes(path, b"other")
    assert files.is_away(path.parent)
    store.share = 0.0
    assert files.read_bytes(path) == b"something"
    assert not files.is_away(path.parent)


@pytest.mark.parametrize(
    ("seconds", "tries"),
    [(0, retry.TRIES), (5.1, retry.TRIES), (15.1, retry.TRIES), (30, 1)],
    ids=["at once", "connect timeout", "read timeout", "retried by s3fs"],
)
def test_request_is_given_up_after_so_many_tries(store, monkeypatch, seconds, tries):
    path, now = s3.put("file"), [0.0]
    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: now[-1], sleep=lambda _: None))

    def fails() -> None:
        now.append(now[-1] + seconds)
        raise RuntimeError("a fault")

    with pytest.raises(StorageFault, match="a fault"):
        object_store.send(path, fails)
    assert len(now) - 1 == tries


def test_object_that_is_always_short_is_a_fault_and_one_that_has_changed_is_not(store):
    path = s3.put("file", bytes(1000))
    store.share, store.kinds = 1.0, ("short",)
    with pytest.raises(StorageFault):
        files.read_bytes(path, 1000)
    store.share = 0.0
    assert len(files.read_bytes(path, 5)) == 1000  # a listing of long ago said 5


def test_missing_object_is_missing_at_once(store):
    path = s3.path("folder/none")
    with pytest.raises(FileNotFoundError):
        files.read_bytes(path)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(s3.path().with_segments("s3://no-such-bucket/file"))
    assert files.status(path) is None
    assert files.fingerprint(path) is None
    assert files.list_names(path.parent) == []
    object_store.remove(path)


def test_folders_are_listed_by_name_and_seen_anew_after_writing(store):
    folder = s3.path("folder")
    assert files.list_names(folder) == []
    files.write_bytes(folder / "b.txt", b"12")
    s3.put("folder/below/c.txt")
    assert files.list_names(folder) == ["b.txt", "below"]
    assert files.status(folder / "b.txt").byte_size == 2
    assert files.exists(folder / "below")
    s3.put("folder/a.txt")  # by somebody else
    assert files.list_names(folder) == ["b.txt", "below"]
    files.invalidate_listings(folder)
    assert files.list_names(folder) == ["a.txt", "b.txt", "below"]
    object_store.remove(folder / "below")
    assert files.list_names(folder) == ["a.txt", "b.txt"]


def test_listing_is_kept_for_two_seconds(store, monkeypatch):
    assert object_store._MAX_AGE == 2.0
    monkeypatch.setattr(object_store, "_MAX_AGE", 60.0)  # a busy machine may take longer than two seconds
    s3.put("folder/a")
    folder = s3.path("folder")
    assert files.list_names(folder) == ["a"]
    before = store.requests.total()
    assert all(files.exists(folder / "a") and not files.exists(folder / "b") for _ in range(50))
    assert store.requests.total() == before
    s3.put("folder/b")
    monkeypatch.setattr(object_store, "_MAX_AGE", 0.0)
    assert files.exists(folder / "b")


def test_only_one_creates_an_object(store):
    path = s3.path("lease")
    assert object_store.create(path, b"mine")
    assert not object_store.create(path, b"yours")
    assert object_store.read(path) == b"mine"


def test_time_tells_apart_what_was_written_twice_in_a_second(store):
    path = s3.put("file", b"one")
    assert files.fingerprint(path) == files.fingerprint(path)
    entry = object_store.entry(path)
    first, second = (object_store.time_of({**entry, "ETag": tag}) for tag in ("one", "two"))
    assert first != second
    assert first // 1_000_000_000 == second // 1_000_000_000 == int(entry["LastModified"].timestamp())


def test_library_that_is_not_installed_is_named(monkeypatch):
    path = files.place("gs://bucket/lake")
    with pytest.raises(MissingDependency, match="gcsfs"):
        files.read_bytes(path)


def test_s3_without_its_library_names_the_extra(store):
    def request() -> None:
        raise ImportError("Install s3fs to access S3")

    with pytest.raises(MissingDependency, match=r"pip install 'imrec\[s3\]'"):
        object_store.send(s3.path("x"), request)


def test_credentials_that_are_missing_are_told_at_once(store):
    from botocore.exceptions import NoCredentialsError

    tries = []

    def request() -> None:
        tries.append(1)
        raise NoCredentialsError

    with pytest.raises(LakeError, match="give credentials in the environment"):
        object_store.send(s3.path("x"), request)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b", "base/a/b"), ("/a", "/a"), ("s3://bucket/a/", "s3://bucket/a"), ("file:///a", "/a")],
)
def test_paths_in_a_file_are_taken_from_its_folder(text, expected):
    assert str(files.below(files.place("base"), text)) == expected
    if not expected.startswith("base"):
        assert str(files.below(s3.path("lake"), text)) == expected
    else:
        assert str(files.below(s3.path("lake"), text)) == "s3://pictures/lake/a/b"
