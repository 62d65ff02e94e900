"""Photos under several folders, and lakes that are thrown away."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imrec_core import catalog
from imrec_core.demo import prepare
from imrec_core.extract import extract_shards
from imrec_core.features import find_feature
from imrec_core.fit import fit, project_shard
from imrec_core.index import build_generation
from imrec_core.lake import Lake

REPOSITORY = Path(__file__).parents[2]
_SHARED = REPOSITORY / "../shared/data/photos/images"


@dataclass(frozen=True)
class Workplace:
    """Where a run of the benchmarks takes its photos from and leaves what it makes.

    Attributes:
        folder: Temporary; whoever made it removes it.
        given: The photos; None for the shared ones or, without them, the demo photos.
        images: Files that a lake for timing holds.
    """

    folder: Path
    given: Path | None = None
    images: int = 5330

    @cached_property
    def photos(self) -> Path:
        """The folder with the photos as they are."""
        if self.given or _SHARED.is_dir():
            return (self.given or _SHARED).resolve()
        prepare(self.folder / "demo")
        return self.folder / "demo"

    @cached_property
    def many(self) -> Path:
        """The same photos linked under several folders, `images` files in all."""
        files = sorted(path for path in self.photos.rglob("*") if path.is_file())
        for i in range(self.images):
            path = self.folder / "many" / f"copy-{i // len(files)}" / files[i % len(files)].relative_to(self.photos)
            path.parent.mkdir(parents=True, exist_ok=True)
            _link(files[i % len(files)], path)
        return self.folder / "many"

    def spread(self, count: int) -> list[Path]:
        """Some of `many`, evenly spread over all kinds of photos."""
        files = sorted(path for path in self.many.rglob("*") if path.is_file())
        return files[:: max(len(files) // count, 1)][:count]

    def new_lake(self, name: str, photos: Path) -> Lake:
        """An empty lake that has the photos as its source."""
        lake = Lake(self.folder / name).open_for_writing()
        lake.save_settings(lake.settings().with_folders([f"photos={photos}"]))
        return lake

    @cached_property
    def lake(self) -> Lake:
        """A lake of `many`, built."""
        return self._built("lake-many", self.many)

    @cached_property
    def labelled_lake(self) -> Lake:
        """A lake of `photos`, each of them once, built."""
        return self._built("lake-photos", self.photos)

    def _built(self, name: str, photos: Path) -> Lake:
        lake = self.new_lake(name, photos)
        build_plainly(lake)
        return lake


def _link(file: Path, path: Path) -> None:
    try:
        os.link(file, path)
    except OSError:  # another disk
        shutil.copy2(file, path)


def build_plainly(lake: Lake) -> dict[str, float]:
    """Build a lake by a plain loop over the core functions; seconds of each phase."""
    clock = [time.perf_counter()]
    catalog.update(lake)
    shards, features = lake.live_shards(), [find_feature(name) for name in lake.settings().features]
    clock.append(time.perf_counter())
    for _ in extract_shards(lake, shards, [f for f in features if not f.projection]):
        pass
    clock.append(time.perf_counter())
    for feature in features:
        if feature.projection:
            fit(lake, feature)
            for shard in shards:
                project_shard(lake, shard, feature)
    clock.append(time.perf_counter())
    build_generation(lake)
    clock.append(time.perf_counter())
    phases = dict(zip(("scan", "extract", "fit and project", "generation"), (b - a for a, b in zip(clock, clock[1:]))))
    return phases | {"all": clock[-1] - clock[0]}
