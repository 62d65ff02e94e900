"""Two lakes of the same photos, for tests of crashes: runs on one are killed, runs on the other are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imrec_core import Lake
from imrec_core.extraction.staleness import has_fresh_images, stale_features
from imrec_core.features import chosen_features
from tests.support import toy
from tests.support.pictures import BROKEN

FEATURES = ("rgb_histogram", "phash")
SHARD_SIZE = 6


class Twins:
    """Two lakes, built once; then photos change in rounds, and both lakes must become up to date.

    Attributes:
        struck: Lake whose runs are killed.
        whole: Lake whose runs end normally.
    """

    def __init__(self, folder: Path, *, photos: int = 16, seed: int = 0) -> None:
        self.photos = folder / "photos"
        toy.write_photos(self.photos, range(photos))
        settings = {"sources": {"photos": self.photos}, "shard_size": SHARD_SIZE}
        self.struck, self.whole = (toy.new_lake(folder / name, FEATURES, **settings) for name in ("struck", "whole"))
        for lake in (self.struck, self.whole):
            toy.build(lake)
        self._rng = np.random.default_rng(seed)
        self._next = photos

    def up_to(self, seconds: float) -> float:
        return float(self._rng.uniform(0, seconds))

    def either(self) -> bool:
        return bool(self._rng.random() < 0.5)

    def change(self) -> None:
        """Replace four photos, add two, break one and remove one."""
        names = sorted(path.name for path in self.photos.iterdir())
        changed = self._rng.choice(names, 6, replace=False)
        for name in changed[:4]:
            toy.write_photos(self.photos, [self._next])
            (self.photos / f"photo_{self._next:03d}.jpg").replace(self.photos / name)
            self._next += 1
        toy.write_photos(self.photos, [self._next, self._next + 1])
        self._next += 2
        (self.photos / changed[4]).write_bytes(BROKEN["truncated.jpg"]())
        (self.photos / changed[5]).unlink()

    def stale(self) -> list[str]:
        """List the shards of the struck lake that are not up to date."""
        features = chosen_features(self.struck)
        return [
            shard
            for shard in self.struck.live_shards()
            if not has_fresh_images(self.struck, shard) or stale_features(self.struck, shard, features)
        ]

    def assert_same(self) -> None:
        """Require that tables, metadata and generation of both lakes are equal, and that no image is missing."""
        assert self.stale() == []
        self.struck.open_for_writing()
        assert not list(self.struck.root.rglob(".writing-*"))
        assert_accounted_for(self.struck)
        struck, whole = (contents(lake) for lake in (self.struck, self.whole))
        assert struck.keys() == whole.keys()
        assert [name for name in struck if struck[name] != whole[name]] == []


def contents(lake: Lake) -> dict[str, Any]:
    """Read the tables with their metadata, and the files of the current generation by name."""
    tables = toy.tables_of(lake, "catalog", "images", "features")
    generation = lake.generation_path(str(lake.current_generation()))
    rows = lake.read_table(generation / "rows.parquet")
    matrices = {path.name: path.read_bytes() for path in generation.glob("*.npy")}
    assert matrices
    return {name: (table, table.schema.metadata) for name, table in tables.items()} | {"rows": rows} | matrices


def assert_accounted_for(lake: Lake) -> None:
    """Require that catalog rows = ok rows + failed rows, and that each ok row has its vectors."""
    for shard in lake.live_shards():
        statuses = lake.read_table(lake.images_path(shard))["status"].to_pylist()
        assert lake.row_count(lake.catalog_path(shard)) == statuses.count("ok") + statuses.count("failed")
        for name in FEATURES:
            assert lake.row_count(lake.feature_path(name, shard)) == statuses.count("ok")
