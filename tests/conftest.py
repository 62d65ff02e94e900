"""What several test modules share: one lake for reading, and a way to make small ones for changing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imrec_core import Lake, Recommender
from imrec_core.index import build_generation
from tests import toy


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
def large_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Histograms and hashes of 700 pictures that never were: enough for graphs to be asked. For reading only."""
    rng = np.random.default_rng(0)
    histograms = rng.dirichlet(np.full(512, 0.05), size=700)
    hashes = rng.integers(0, 2**64, (700, 1), dtype=np.uint64)
    root = tmp_path_factory.mktemp("large") / "lake"
    lake = toy.vector_lake(root, {"rgb_histogram": histograms, "phash": hashes})
    build_generation(lake)
    return lake


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
