"""Errors of the operating system, at each call that reads or writes a lake: they become `ImrecError`s."""

from __future__ import annotations

import builtins
import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_core.errors import ImrecError, LakeError, StorageDenied, StorageFault, StorageFull
from imrec_core.lake.storage import retry
from imrec_core.lake.storage.os_errors import to_lake_error, translate_os_errors
from imrec_dagster import retries
from imrec_dagster.cli.build import run_build
from tests.support import toy

ERRNOS = (
    errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT, errno.EMFILE, errno.EPERM, errno.EDQUOT,
    errno.ESTALE, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENODEV,
)  # fmt: skip
CALLS = (
    *((Path, name) for name in ("open", "read_bytes", "read_text", "write_bytes", "write_text", "mkdir", "unlink")),
    *((os, name) for name in ("replace", "listdir", "scandir", "link", "open")),
    (builtins, "open"),
    (pa, "OSFile"),
)


class Faults:
    """Calls with a path below a folder: they are counted, and one of them fails."""

    def __init__(self, folder: Path, fails_at: int = -1, number: int = 0) -> None:
        self._folder, self._fails_at, self._number = str(folder), fails_at, number
        self.count = 0

    def call(self, real: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if arguments and str(arguments[0]).startswith(self._folder) and "/dagster" not in str(arguments[0]):
            self.count += 1
            if self.count == self._fails_at:
                raise OSError(self._number, os.strerror(self._number), str(arguments[0]))
        return real(*arguments, **named)


class Bound:
    """A function that also works as a method, as those of `Path` do."""

    def __init__(self, faults: Faults, real: Callable[..., Any]) -> None:
        self._call = partial(faults.call, real)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._call(*arguments, **named)

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., Any]:
        return self if instance is None else partial(self._call, instance)


@contextmanager
def failing(faults: Faults) -> Iterator[Faults]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "FIRST_WAIT", 0.0)
        patch.setattr(retries, "TRIES", 1)
        for owner, name in CALLS:
            patch.setattr(owner, name, Bound(faults, getattr(owner, name)))
        yield faults


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faults")
    toy.write_photos(root / "photos", range(4))
    (root / "photos" / "copy.jpg").write_bytes((root / "photos" / "photo_000.jpg").read_bytes())
    lake = toy.new_lake(root / "lake", ("phash",), sources={"photos": root / "photos"})
    run_build(lake, (), None, "cpu")
    return root


def search(folder: Path) -> None:
    recommender = Recommender.open(folder / "lake")
    recommender.search(ImageId(recommender.generation.rows["image_id"][0].as_py()), where="width > 0")
    recommender.search(folder / "photos" / "photo_001.jpg")


def duplicates(folder: Path) -> None:
    Recommender.open(folder / "lake").duplicates(tier="near")


def build(folder: Path) -> None:
    toy.write_photos(folder / "photos", [9])
    run_build(Lake(folder / "lake"), (), None, "cpu")


def attempts(action: Callable[[Path], None], prepared: Path, folder: Path, cases: int | None) -> None:
    """Run an action again and again, each time with another failing call; None for all calls and errors."""

    def fresh() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepared, folder)
        settings = folder / "lake" / "lake.toml"
        settings.write_text(settings.read_text().replace(str(prepared), str(folder)))
        return folder

    with failing(Faults(fresh() / "lake")) as counted:
        action(folder)
    assert counted.count >= 10
    every = [(call, number) for call in range(1, counted.count + 1) for number in ERRNOS]
    for call, number in every if cases is None else random.Random(15).sample(every, min(cases, len(every))):
        with failing(Faults(fresh() / "lake", call, number)):
            try:
                action(folder)
            except ImrecError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000
            except OSError as error:
                raise AssertionError(f"call {call} with {errno.errorcode[number]} reached the caller") from error
        action(folder)  # the next run is not disturbed by what the failed one left


@pytest.mark.parametrize("action", [search, duplicates])
def test_errors_of_the_disk_are_imrec_errors(prepared, tmp_path, action):
    attempts(action, prepared, tmp_path / "copy", 25)


def test_errors_of_the_disk_during_a_build_are_imrec_errors(prepared, tmp_path):
    attempts(build, prepared, tmp_path / "copy", 3)


@pytest.mark.slow
@pytest.mark.parametrize("action", [search, duplicates, build])
def test_many_errors_of_the_disk_are_imrec_errors(prepared, tmp_path, action):
    attempts(action, prepared, tmp_path / "copy", 50)


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, StorageFull, "no space left on the disk of /lake; free some"),
        (errno.EDQUOT, StorageFull, "free some"),
        (errno.EACCES, StorageDenied, "change its permissions"),
        (errno.EROFS, StorageDenied, "/lake/a: Read-only file system; change its permissions, or use a folder"),
        (errno.EMFILE, LakeError, "ulimit -n"),
        (errno.EIO, StorageFault, "run the command again"),
        (errno.ENOENT, LakeError, "/lake/a: No such file or directory; check the disk"),
    ],
)
def test_each_error_says_what_to_do(number, kind, advice):
    error = to_lake_error(OSError(number, os.strerror(number), "/lake/a"), Path("/lake"))
    assert type(error) is kind and advice in str(error)


def test_error_without_a_number_keeps_its_words():
    assert str(to_lake_error(OSError("two\nlines"))).startswith("two lines; check the disk")


def test_closed_pipe_stays_what_it_is():
    with pytest.raises(BrokenPipeError), translate_os_errors():
        raise BrokenPipeError(errno.EPIPE, "x")
