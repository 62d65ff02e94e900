"""What several test modules share: one lake for reading, and a way to make small ones for changing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imrec_core import Lake, Recommender
from imrec_core.index.build import build_generation
from imrec_core.search import candidates
from imrec_dagster.cli.main import main
from tests import browser as browsers
from tests import real, s3, toy

with suppress(ImportError):  # OpenVINO loads it where it is installed; whoever sets up logging then closes its stream,
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)  # which shall not be pytest's own


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.json anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def toy_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Every drawn picture and forty photos with all features, in shards of 16. For reading only."""
    return toy.toy_lake(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def recommender(toy_lake: Lake) -> Recommender:
    return Recommender.open(toy_lake)


@pytest.fixture(scope="session")
def photos(toy_lake: Lake) -> Path:
    """The folder with the pictures of the toy lake."""
    return toy_lake.root.parent / "photos"


@pytest.fixture(scope="session")
def large_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Histograms and hashes of 700 pictures that never were: enough for graphs to be asked. For reading only."""
    rng = np.random.default_rng(0)
    histograms = rng.dirichlet(np.full(512, 0.05), size=700)
    hashes = rng.integers(0, 2**64, (700, 1), dtype=np.uint64)
    root = tmp_path_factory.mktemp("large") / "lake"
    lake = toy.vector_lake(root, {"rgb_histogram": histograms, "phash": hashes})
    build_generation(lake)
    return lake


@pytest.fixture(scope="session")
def large(large_lake: Lake) -> Recommender:
    return Recommender.open(large_lake)


@pytest.fixture(scope="session")
def real_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The real photos, three copies of some and a map. For reading only; its photos are beside it."""
    return real.real_lake(tmp_path_factory.mktemp("real"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Faulty]:
    """An object store with the empty bucket `s3.BUCKET`, and nothing on this machine of any lake in it."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with s3.serving() as served:
        yield served


@pytest.fixture
def graphs_asked(monkeypatch) -> None:
    """Candidates come from graphs in lakes that are so small that a scan would be faster."""
    monkeypatch.setattr(candidates, "_ROWS_PER_FETCHED", 0)


@pytest.fixture
def new_lake(tmp_path: Path) -> Callable[..., Lake]:
    """Makes a lake of `photos` pictures (built unless `built=False`) that a test may change."""

    def make(
        photos: int = 20, features: tuple[str, ...] = toy.CHEAP, *, built: bool = True, **settings: object
    ) -> Lake:
        toy.write_photos(tmp_path / "photos", range(photos))
        lake = toy.new_lake(tmp_path / "lake", features, **settings)
        if built:
            toy.build(lake)
        return lake

    return make


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One for all tests of a module."""
    with browsers.chromium() as running:
        yield running


@pytest.fixture
def browser(chromium: Any) -> Iterator[browsers.Browser]:
    """Opens pages; fails at the end where one of them had an error or asked another host."""
    opened = browsers.Browser(chromium)
    yield opened
    opened.close()


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The single line on stderr; it is the only output."""
        assert self.out == ""
        (line,) = self.err.strip().splitlines()
        return line


@pytest.fixture
def imrec(monkeypatch, capsys, tmp_path) -> Callable[..., Outcome]:
    """Runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("IMREC_LAKE", raising=False)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["imrec", *map(str, arguments)])
        status, last_words = 0, ""
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):  # the interpreter prints it and exits with 1
                status, last_words = 1, end.code + "\n"
            else:
                status = end.code or 0
        out, err = capsys.readouterr()
        return Outcome(status, out, err + last_words)

    return run
