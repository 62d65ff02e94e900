"""Photos under several folders, and lakes that are thrown away."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter

from imrec_core import catalog
from imrec_core.check import check_rows, check_vectors
from imrec_core.decode import decode
from imrec_core.demo import prepare
from imrec_core.encoders import load_encoder
from imrec_core.errors import ImageError
from imrec_core.extract import extract_shards
from imrec_core.features import Feature, find_feature
from imrec_core.fit import fit, project_shard
from imrec_core.index import build_generation
from imrec_core.lake import Lake

PHASES = ("scan", "extract", "fit and project", "check", "generation")

_SHARED = Path(__file__).parents[2] / "../shared/data/photos/images"


@dataclass(frozen=True)
class Workplace:
    """Where a run of the benchmarks takes its photos from, and where it leaves what it makes.

    Attributes:
        folder: Temporary; whoever made it removes it.
        given: The photos; None for the shared ones or, without them, the demo photos.
        images: Files in the lake that is built for timing.
    """

    folder: Path
    given: Path | None = None
    images: int = 5330

    @cached_property
    def photos(self) -> Path:
        if self.given or _SHARED.is_dir():
            return (self.given or _SHARED).resolve()
        prepare(self.folder / "demo")
        return self.folder / "demo"

    @cached_property
    def many(self) -> Path:
        """The photos that can be decoded, linked under several folders, `images` files in all."""
        files = [path for path in sorted(self.photos.rglob("*")) if _is_photo(path)]
        files = _spread(files, self.images)
        for i in range(self.images):
            file = files[i % len(files)]
            path = self.folder / "many" / f"copy-{i // len(files)}" / file.relative_to(self.photos)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.hardlink_to(file)
            except OSError:  # another disk
                shutil.copy2(file, path)
        return self.folder / "many"

    def sample(self, count: int) -> list[Path]:
        """Some of `many`, evenly spread over all kinds of photos."""
        return _spread([path for path in sorted(self.many.rglob("*")) if path.is_file()], count)

    def new_lake(self, name: str, photos: Path) -> Lake:
        """An empty lake that has the photos as its source."""
        lake = Lake(self.folder / name).open_for_writing()
        lake.save_settings(lake.settings().with_folders([f"photos={photos}"]))
        return lake

    def built_lake(self, name: str, photos: Path) -> Lake:
        lake = self.new_lake(name, photos)
        build_plainly(lake)
        return lake


def _spread(files: list[Path], count: int) -> list[Path]:
    """Up to `count` of the files, as many of each kind."""
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def _is_photo(path: Path) -> bool:
    try:
        return path.is_file() and bool(decode(path.read_bytes(), min_side=256))
    except ImageError:
        return False


def build_plainly(lake: Lake) -> dict[str, float]:
    """Build a lake by a plain loop over the core functions; seconds of each phase."""
    features = [find_feature(name) for name in lake.settings().features]
    clock = [perf_counter()]
    catalog.update(lake)
    shards = lake.live_shards()
    clock.append(perf_counter())
    list(extract_shards(lake, shards, [f for f in features if not f.projection]))
    clock.append(perf_counter())
    for feature in [f for f in features if f.projection]:
        fit(lake, feature)
        for shard in shards:
            project_shard(lake, shard, feature)
    clock.append(perf_counter())
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_check, lake, shards), [None, *features]))
    clock.append(perf_counter())
    build_generation(lake)
    clock.append(perf_counter())
    return dict(zip(PHASES, (b - a for a, b in pairwise(clock))))


def _check(lake: Lake, shards: list[str], feature: Feature | None) -> None:
    for shard in shards:
        problems = check_rows(lake, shard, feature) + (check_vectors(lake, shard, feature) if feature else [])
        assert not problems


def load_networks(lake: Lake) -> None:
    """Convert and load them as extraction does, so that no clock counts it."""
    settings = lake.settings()
    for feature in map(find_feature, settings.features):
        if feature.model:
            load_encoder(feature.name, precision=settings.precision, device="auto")
