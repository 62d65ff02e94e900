"""What several test modules share: one lake for reading, and a way to make small ones for changing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.support import browser as browsers

if TYPE_CHECKING:  # each worker and the process that waits for them load this file: what takes long is loaded by need
    from imrec_core import Lake, Recommender
    from tests.support import s3

with suppress(ImportError):  # OpenVINO loads it where it is installed; whoever sets up logging then closes its stream,
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)  # which shall not be pytest's own

MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.json anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def trusted_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let custom models run code, as `--trust-models` does."""
    monkeypatch.setenv("IMREC_TRUST_MODELS", "1")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every image that is decoded from now on, by the size of its file."""
    from imrec_core.extraction import read_ahead

    decode, found = read_ahead.decode, list[int]()

    def noted(data: bytes, **options: Any) -> object:
        found.append(len(data))
        return decode(data, **options)

    monkeypatch.setattr(read_ahead, "decode", noted)
    return found


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Keep the migrations of Dagster's storage: each run reads all of them several times, a fifth of a small build."""
    from alembic.script import ScriptDirectory

    read, known = ScriptDirectory.from_config, {}

    def from_config(config: Any) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in known:
            known[location] = read(config)
        return known[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Makes a folder of that name, once for all workers of a run; the others wait for it."""
    here = tmp_path_factory.getbasetemp()
    shared = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(folder.with_suffix(".lock")):
            done = folder.with_suffix(".done")
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that was interrupted
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def toy_lake(once: MakeOnce) -> Lake:
    """Every drawn picture and forty photos with all features, in shards of 16. For reading only."""
    from imrec_core import Lake
    from tests.support import toy

    return Lake(once("toy", toy.toy_lake) / "lake")


@pytest.fixture(scope="session")
def recommender(toy_lake: Lake) -> Recommender:
    from imrec_core import Recommender

    return Recommender.open(toy_lake)


@pytest.fixture(scope="session")
def photos(toy_lake: Lake) -> Path:
    """The folder with the pictures of the toy lake."""
    return toy_lake.root.parent / "photos"


@pytest.fixture(scope="session")
def large_lake(once: MakeOnce) -> Lake:
    """Histograms and hashes of 700 pictures that never were: enough for graphs to be asked. For reading only."""
    import numpy as np

    from imrec_core import Lake
    from imrec_core.index.build import build_generation
    from tests.support import toy

    def make(folder: Path) -> None:
        rng = np.random.default_rng(0)
        histograms = rng.dirichlet(np.full(512, 0.05), size=700)
        hashes = rng.integers(0, 2**64, (700, 1), dtype=np.uint64)
        build_generation(toy.vector_lake(folder / "lake", {"rgb_histogram": histograms, "phash": hashes}))

    return Lake(once("large", make) / "lake")


@pytest.fixture(scope="session")
def large(large_lake: Lake) -> Recommender:
    from imrec_core import Recommender

    return Recommender.open(large_lake)


@pytest.fixture(scope="session")
def real_lake(once: MakeOnce) -> Lake:
    """The real photos, three copies of some and a map. For reading only; its photos are beside it."""
    from imrec_core import Lake
    from tests.support import real

    return Lake(once("real", real.real_lake) / "lake")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Faulty]:
    """An object store with the empty bucket `s3.BUCKET`, and nothing on this machine of any lake in it."""
    from tests.support import s3

    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with s3.serving() as served:
        yield served


@pytest.fixture
def graphs_asked(monkeypatch) -> None:
    """Candidates come from graphs in lakes that are so small that a scan would be faster."""
    from imrec_core.search import candidates

    monkeypatch.setattr(candidates, "_ROWS_PER_FETCHED", 0)


@pytest.fixture
def blank_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are made but left blank, as drawing takes half of a small build; not where a test is marked `drawn`."""
    if request.node.get_closest_marker("drawn"):
        return
    from matplotlib.figure import Figure
    from PIL import Image

    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **how: Image.new("L", (8, 8)).save(file, how["format"]))


@pytest.fixture
def new_lake(tmp_path: Path) -> Callable[..., Lake]:
    """Makes a lake of `photos` pictures (built unless `built=False`) that a test may change."""
    from tests.support import toy

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
def browser(chromium: Any, request: pytest.FixtureRequest) -> Iterator[browsers.Browser]:
    """Opens pages; fails at the end where one of them had an error or asked another host."""
    opened = browsers.Browser(chromium, getattr(request, "param", browsers.DESKTOP))
    yield opened
    opened.close()


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


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
    from imrec_dagster.cli.main import main

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
