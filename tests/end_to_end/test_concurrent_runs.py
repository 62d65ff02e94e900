"""Several processes at one lake: readers see one generation or the next, and what is done by one is not done again."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

import imrec_core
from imrec_core import Lake
from imrec_core.catalog import ids, manifests
from imrec_core.errors import StaleIndex
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.storage import file_locks
from imrec_core.sql.policy import SqlPolicy
from tests.support import toy

ROOT = Path(imrec_core.__file__).parent.parent
TWO = ("rgb_histogram", "phash")
RGB = "rgb_histogram:hellinger"

READER = """
import json, sys
from imrec_core import ImageId, Recommender

recommender = Recommender.open(sys.argv[1])
wanted = recommender.generation.rows["image_id"][0].as_py()
for line in sys.stdin:  # until the other end is closed
    for _ in range(3):
        hits = recommender.search(ImageId(wanted), k=999, by=["rgb_histogram", "phash"], where="width > 1")
        graph = recommender.search(ImageId(wanted), k=1)
        print(json.dumps([hits.generation, sorted(hit.image_id for hit in hits)]), flush=True)
"""
HOLDER = """
import sys
from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.index import build
from imrec_core.lake.settings import IndexParams

lake, work = Lake(sys.argv[1]), sys.argv[2]
with lake.exclusive_lock(work):
    print("held", flush=True)
    sys.stdin.readline()
    if work == "catalog":
        manifests.diff(lake).apply(lake)
    else:
        build._build_and_publish(lake, IndexParams())
"""
EXTRACTOR = """
import json, sys
from imrec_core import Lake
from tests.support import toy

lake = Lake(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
reports = toy.extract(lake)
print(json.dumps([sum(report.decoded for report in reports), sum(report.rows for report in reports)]), flush=True)
"""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Python code as a process of its own; it does not outlive the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str], line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def images_of(lake: Lake) -> tuple[str, list[str]]:
    generation = open_generation(lake)
    return generation.id, sorted(generation.live_table(["image_id"])["image_id"].to_pylist())


# -- readers ------------------------------------------------------------------------------------------------


def test_readers_of_other_processes_see_one_generation_after_another(new_lake):
    lake = new_lake(30, TWO)
    photos = lake.root.parent / "photos"
    asked = ids.image_id("photos", "photo_000.jpg")
    published = dict([images_of(lake)])
    answers: list[tuple[str, list[str]]] = []
    with ExitStack() as stack:
        readers = [stack.enter_context(running(READER, lake.root)) for _ in range(2)]
        for number in range(5):
            (photos / f"photo_{number + 1:03d}.jpg").unlink()
            toy.write_photos(photos, [100 + number])
            manifests.update(lake)
            toy.extract(lake)
            for reader in readers:
                say(reader)  # and while it searches, the next one is published
            assert build_generation(lake).why.startswith(f"extends {number + 1:06d} ")
            identity, images = images_of(lake)
            published[identity] = images
            answers += [tuple(json.loads(heard(reader))) for reader in readers for _ in range(3)]
        for reader in readers:
            say(reader)
            answers += [tuple(json.loads(heard(reader))) for _ in range(3)]
            assert answers[-1][0] == "000006"
            reader.stdin.close()
            assert reader.wait(60) == 0
    assert len(published) == 6 and len(answers) == 36
    for identity, images in answers:
        assert images == [image for image in published[identity] if image != asked]


def test_generation_stays_until_its_last_reader_closes_it(new_lake):
    lake = new_lake(20, TWO)
    old = open_generation(lake)
    folder = old.folder
    for m in (5, 6, 7):
        build_generation(lake, IndexParams(m=m))
    assert lake.generations() == ["000001", "000003", "000004"]
    assert len(old.graph_nearest(RGB, np.asarray(old.matrix("rgb_histogram")[0]), 5)) == 5  # loaded only now
    assert len(old.filter.rows("true", SqlPolicy.TRUSTED)) == 20
    del old
    gc.collect()
    build_generation(lake, IndexParams(m=8))
    assert lake.generations() == ["000004", "000005"] and not folder.exists()


def test_disk_without_locks_is_read_and_swept_all_the_same(new_lake, monkeypatch):
    lake = new_lake(3, TWO)

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_locks.fcntl, "flock", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "exclusive_lock", lambda work: nullcontext())
        for m in (5, 6):
            build_generation(lake, IndexParams(m=m))
    assert lake.generations() == ["000002", "000003"] and len(open_generation(lake)) == 3


def test_generation_opened_during_its_removal_is_missing(new_lake, monkeypatch):
    lake = new_lake(3, TWO)
    build_generation(lake, IndexParams(m=5))
    gc.collect()
    refused = []

    def remove(folder, **options):
        with (folder / "generation.json").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(folder.name)
        rmtree(folder, **options)

    rmtree = shutil.rmtree
    monkeypatch.setattr(file_locks.shutil, "rmtree", remove)
    build_generation(lake, IndexParams(m=6))
    assert refused == ["000001"] and lake.generations() == ["000002", "000003"]
    with pytest.raises(StaleIndex, match=r"generation 000001: generation\.json cannot be read"):
        Generation(lake.generation_path("000001"))


def test_reader_that_is_overtaken_opens_the_newest_without_a_word(new_lake, monkeypatch, caplog):
    lake = new_lake(3, TWO)
    for m in (5, 6):
        build_generation(lake, IndexParams(m=m))
    now = iter(["000001"])
    current = lake.current_generation
    monkeypatch.setattr(lake, "current_generation", lambda: next(now, None) or current())
    assert open_generation(lake).id == "000003" and not caplog.records


# -- one at a time ------------------------------------------------------------------------------------------


class Warned(logging.Handler):
    """Waits for a warning, and keeps it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text, self._came = "", threading.Event()
        logging.getLogger("imrec_core.lake.storage.file_locks").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
        self._came.set()

    def wait(self) -> str:
        assert self._came.wait(60), "no warning after a minute"
        logging.getLogger("imrec_core.lake.storage.file_locks").removeHandler(self)
        return self.text


WORKS: dict[str, Callable[[Lake], object]] = {"catalog": manifests.update, "generation": build_generation}


@pytest.mark.parametrize("work", WORKS)
def test_second_process_waits_says_so_and_does_nothing_twice(new_lake, work):
    lake = new_lake(5, TWO)
    toy.write_photos(lake.root.parent / "photos", [77])
    if work == "generation":
        manifests.update(lake)
        toy.extract(lake)
    with running(HOLDER, lake.root, work) as holder:
        assert heard(holder) == "held"
        warned, found = Warned(), []
        waiting = threading.Thread(target=lambda: found.append(WORKS[work](lake)))
        waiting.start()
        text = warned.wait()
        assert f"{lake.root}: waiting for process {holder.pid} on " in text and text.endswith(f"at work on: {work}")
        assert not found and len(images_of(lake)[1]) == 5
        before = toy.times(lake, "catalog")
        say(holder)
        waiting.join(60)
        assert holder.wait(60) == 0
    if work == "generation":
        assert (found[0].id, found[0].built, found[0].rows) == ("000002", False, 6)
        assert lake.generations() == ["000001", "000002"]
    else:
        assert (found[0].manifests, found[0].new, found[0].unchanged) == ((), 0, 6)
        assert len(toy.rewritten(before, toy.times(lake, "catalog"))) == 1


@pytest.mark.parametrize("work", WORKS)
def test_lock_of_a_killed_process_is_free(new_lake, work, caplog):
    lake = new_lake(5, TWO)
    with running(HOLDER, lake.root, work) as holder:
        assert heard(holder) == "held"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(60)
    WORKS[work](lake)
    assert not caplog.records


def test_two_builds_at_once_read_every_picture_once(new_lake):
    lake = new_lake(48, TWO, built=False)
    manifests.update(lake)
    with running(EXTRACTOR, lake.root) as one, running(EXTRACTOR, lake.root) as other:
        assert (heard(one), heard(other)) == ("ready", "ready")
        say(one)
        say(other)
        decoded, rows = zip(json.loads(heard(one)), json.loads(heard(other)), strict=True)
    assert sum(decoded) == 48
    assert rows == (48, 48)


def test_other_work_and_other_lakes_do_not_wait(new_lake, tmp_path, caplog):
    lake = new_lake(3, TWO)
    with lake.exclusive_lock("catalog"), Lake(tmp_path / "other").open_for_writing().exclusive_lock("catalog"):
        assert not build_generation(lake).built
    assert not caplog.records


def test_full_disk_does_not_keep_the_lock_from_working(new_lake, monkeypatch):
    lake = new_lake(3, TWO)

    def full(path, *args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert not build_generation(lake).built
