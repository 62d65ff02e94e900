"""Photos under several folders, and lakes that are thrown away."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter, process_time

from imrec_core.catalog import manifests
from imrec_core.errors import ImageError
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.fit import fit
from imrec_core.extraction.project import project_shard
from imrec_core.extraction.table_checks import check_rows, check_vectors
from imrec_core.features import Feature, chosen_features
from imrec_core.images.decode import decode
from imrec_core.images.sample_photos import prepare
from imrec_core.index.build import build_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import DEFAULT_FEATURES
from imrec_core.models.encoders import load_encoder
from tests.support.real import PHOTOS

PHASES = ("scan", "extract", "fit and project", "check", "generation")


@dataclass(frozen=True)
class Testbed:
    """Where a run of the benchmarks takes its photos from, and where it leaves what it makes.

    Attributes:
        folder: Temporary; whoever made it removes it.
        given: The photos; None for the shared ones or, without them, the demo photos.
        images: Files in the lake that is built for timing.
        rows: Images in the lake that is built whole, and extended.
        files: That are scanned.
    """

    folder: Path
    given: Path | None = None
    images: int = 5330
    rows: int = 100_000
    files: int = 500_000

    @cached_property
    def photos(self) -> Path:
        if self.given or PHOTOS.is_dir():
            return (self.given or PHOTOS).resolve()
        prepare(self.folder / "demo")
        return self.folder / "demo"

    @cached_property
    def many(self) -> Path:
        """The photos that can be decoded, copied under several folders, `images` files in all.

        Some bytes behind its end make each copy a file of its own: what is known by its bytes is not decoded again.
        """
        files = [path for path in sorted(self.photos.rglob("*")) if _is_photo(path)]
        files = spread(files, self.images)
        for i in range(self.images):
            file = files[i % len(files)]
            path = self.folder / "many" / f"copy-{i // len(files)}" / file.relative_to(self.photos)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read_bytes() + f"copy {i}".encode())
        return self.folder / "many"

    def sample(self, count: int) -> list[Path]:
        """Some of `many`, evenly spread over all kinds of photos."""
        return spread([path for path in sorted(self.many.rglob("*")) if path.is_file()], count)

    def new_lake(self, name: str, photos: Path) -> Lake:
        """An empty lake that has the photos as its source."""
        lake = Lake(self.folder / name).open_for_writing()
        lake.save_settings(lake.settings().with_folders([f"photos={photos}"]))
        return lake

    def built_lake(self, name: str, photos: Path, features: tuple[str, ...] = DEFAULT_FEATURES) -> Lake:
        lake = self.new_lake(name, photos)
        lake.save_settings(replace(lake.settings(), features=features))
        build_plainly(lake)
        return lake


def spread(files: list[Path], count: int) -> list[Path]:
    """Up to `count` of the files, as many of each kind."""
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def _is_photo(path: Path) -> bool:
    try:
        return path.is_file() and bool(decode(path.read_bytes(), min_side=256))
    except ImageError:
        return False


def build_plainly(lake: Lake) -> dict[str, float]:
    """Build a lake by a plain loop over the core functions; seconds of each phase, and of the cores in it."""
    features = chosen_features(lake)
    took: dict[str, float] = {}

    def clocked(phase: str, work: Callable[[], object]) -> None:
        started, cores_started = perf_counter(), process_time()
        work()
        took[phase] = perf_counter() - started
        took[f"{phase} core"] = process_time() - cores_started

    clocked("scan", lambda: manifests.update(lake))
    shards = lake.live_shards()
    pixel_features = [f for f in features if not f.projection]
    clocked("extract", lambda: _extract(lake, shards, pixel_features))
    derived = sorted((f for f in features if f.projection), key=lambda feature: feature.depth)
    clocked("fit and project", lambda: _project(lake, shards, derived))
    clocked("check", lambda: _check(lake, shards, features))
    clocked("generation", lambda: build_generation(lake))
    return took


def _extract(lake: Lake, shards: list[str], features: list[Feature]) -> None:
    for feature in features:
        if feature.learnt:
            fit(lake, feature)
    for _ in extract_shards(lake, shards, features):
        pass


def _project(lake: Lake, shards: list[str], derived: list[Feature]) -> None:
    for feature in derived:
        fit(lake, feature)
        for shard in shards:
            project_shard(lake, shard, feature)


def _check(lake: Lake, shards: list[str], features: list[Feature]) -> None:
    def problems(feature: Feature | None) -> list[str]:
        found = [p for shard in shards for p in check_rows(lake, shard, feature)]
        return found + [p for shard in shards for p in (check_vectors(lake, shard, feature) if feature else [])]

    with ThreadPoolExecutor() as pool:
        assert not any(pool.map(problems, [None, *features]))


def load_networks(lake: Lake) -> None:
    """Convert and load them as extraction does, so that no clock counts it."""
    settings = lake.settings()
    for feature in chosen_features(lake):
        if feature.model:
            load_encoder(feature.model, precision=settings.inference_precision, device="auto")
