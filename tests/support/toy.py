"""Small lakes for tests: of generated images, or of given vectors without images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.catalog import manifests
from imrec_core.catalog.ids import image_ids
from imrec_core.extraction.extract import extract_shards
from imrec_core.extraction.fit import fit
from imrec_core.extraction.project import project_shard
from imrec_core.extraction.report import ShardReport
from imrec_core.extraction.staleness import feature_made_from, images_made_from, manifest_version
from imrec_core.features import FEATURES, chosen_features, find_feature
from imrec_core.index.build import GenerationReport, IndexParams, build_generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import GENERATION_FACTS, Lake
from imrec_core.lake.settings import DEFAULT_FEATURES, Settings
from imrec_core.lake.storage.files import is_temporary
from imrec_core.search.hits import Hit
from tests.support.pictures import disc, encode, gradient, noise, stripes

# Features that need no weights except those that imrec contains.
AT_HAND = [
    name
    for name, feature in FEATURES.items()
    if all(f.model is None or f.name == "efficientnet_lite0" for f in (feature, *feature.bases))
]
CHEAP = ("rgb_histogram", "hsv_histogram", "ahash", "dhash", "phash")


def photo(seed: int, width: int = 160, height: int = 120, specks: int = 0) -> NDArray[np.uint8]:
    """Draw a photo-like image of one of four kinds: blots, tinted blots, a hazy disc, faded stripes.

    The images are smooth and have few keypoints; each of the `specks` adds one.
    """
    blots = noise(width, height, seed=seed).astype(np.float64)
    tint = np.random.default_rng(seed).uniform(0.3, 1.0, 3)
    kinds = (
        blots,
        blots * tint,
        blots * 0.3 + disc(width, height) * 0.7 * tint,
        blots * 0.5 + stripes(width, height) * 0.25 + gradient(width, height) * 0.25,
    )
    picture = kinds[seed % 4].clip(0, 255).astype(np.uint8)
    rng = np.random.default_rng(seed)
    for x, y, side, value in rng.integers((4, 4, 3, 0), (width - 12, height - 12, 8, 256), (specks, 4)):
        picture[y : y + side, x : x + side] = value
    return picture


def write_photos(folder: Path, seeds: Iterable[int], *, specks: int = 0) -> None:
    """Write a JPEG `photo_<seed>.jpg` for each seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"photo_{seed:03d}.jpg").write_bytes(encode(photo(seed, specks=specks), "JPEG", quality=90))


def new_lake(root: Path, features: Iterable[str] = CHEAP, **settings: Any) -> Lake:
    """Create an empty lake with small shards and the source `photos` next to it."""
    lake = Lake(root).open_for_writing()
    sources = settings.pop("sources", {"photos": root.parent / "photos"})
    lake.save_settings(Settings(sources=sources, features=tuple(features), **{"shard_size": 16, **settings}))
    return lake


def copy_lake(folder: Path, to: Path) -> Lake:
    """Copy a folder that holds a `lake` and its sources, as folders of their names; return the copy of the lake."""
    shutil.copytree(folder, to)
    copied = Lake(to / "lake")
    set_to(copied, sources={name: to / name for name in copied.settings().sources})
    return copied


def set_to(lake: Lake, **changes: Any) -> None:
    """Change settings in `lake.toml`."""
    lake.save_settings(replace(lake.settings(), **changes))


def extract(lake: Lake, shards: Sequence[str] | None = None, **options: Any) -> list[ShardReport]:
    """Extract the features that the lake is configured for, without a scan; None for all shards."""
    chosen = [feature for feature in chosen_features(lake) if not feature.projection]
    for feature in chosen:
        if feature.learnt:
            fit(lake, feature)
    return list(extract_shards(lake, lake.live_shards() if shards is None else shards, chosen, **options))


def derive(lake: Lake) -> None:
    """Fit and project the derived features that the lake is configured for."""
    for feature in sorted(chosen_features(lake), key=lambda feature: feature.depth):
        if feature.projection:
            fit(lake, feature)
            for shard in lake.live_shards():
                project_shard(lake, shard, feature)


def build(lake: Lake, params: IndexParams | None = None) -> GenerationReport:
    """Run all steps: scan, extract, fit, project, index."""
    manifests.update(lake)
    extract(lake)
    derive(lake)
    return build_generation(lake, params or IndexParams())


def edit_manifest(lake: Lake, generation: str, changes: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the manifest of a generation, and publish the generation with it."""
    path = lake.local_generation(generation) / GENERATION_FACTS
    path.write_text(json.dumps(changes(json.loads(path.read_text()))))
    lake.publish(generation)


def toy_lake(folder: Path) -> Lake:
    """Build a lake of all generated images and 40 photos, with all features that need no download."""
    from tests.support.pictures import write_pictures

    write_pictures(folder / "photos" / "drawn")
    write_photos(folder / "photos", range(40), specks=20)  # enough keypoints for a codebook
    lake = new_lake(folder / "lake", (*DEFAULT_FEATURES, *(f for f in AT_HAND if f not in DEFAULT_FEATURES)))
    build(lake)
    return lake


def vector_lake(
    root: Path, vectors: Mapping[str, NDArray[Any]], *, shard_size: int = 1000, names: Sequence[str] = ()
) -> Lake:
    """Build a lake of given vectors, by feature, for images that do not exist.

    Their files are called `000000.jpg` and so on, or have the given names.
    """
    count = len(next(iter(vectors.values())))
    features = tuple(vectors)
    lake = new_lake(root, features, shard_size=shard_size)
    for number, first in enumerate(range(0, count, shard_size)):
        rows = range(first, min(first + shard_size, count))
        paths = [names[i] if names else f"{i:06d}.jpg" for i in rows]
        some = {name: matrix[rows.start : rows.stop] for name, matrix in vectors.items()}
        write_shard(lake, f"photos-{number:04d}", paths, some)
    derive(lake)
    return lake


def write_shard(lake: Lake, shard: str, paths: Sequence[str], vectors: Mapping[str, NDArray[Any]]) -> None:
    """Write the manifest and the tables of a shard of the source `photos`, whose images do not exist."""
    ids = image_ids("photos", paths)
    ones = pa.array([1] * len(paths), pa.int64())
    columns = [pa.array(ids), pa.array(["photos"] * len(paths)), pa.array(paths), ones, ones]
    manifest = pa.table(columns, schema=schemas.CATALOG)
    manifests.CatalogDiff(
        (manifests.ShardManifest(shard, manifest, manifests.shard_version(manifest)),), len(paths)
    ).apply(lake)
    write_tables(lake, shard, ids, vectors)


def two_generations(root: Path, vectors: Mapping[str, NDArray[Any]], *, shard_size: int) -> Lake:
    """Build a lake as `vector_lake` does, with a generation that lacks the last shard and one that extends it."""
    lake = vector_lake(root, vectors, shard_size=shard_size)
    last = lake.catalog_path(lake.shards()[-1])
    hidden = last.rename(last.with_suffix(".hidden"))
    build_generation(lake)
    hidden.rename(last)
    build_generation(lake)
    return lake


def write_tables(
    lake: Lake, shard: str, hashes: Sequence[str], vectors: Mapping[str, NDArray[Any]], **known: Sequence[Any]
) -> None:
    """Write the tables of a shard whose images need not exist: `known` columns and vectors."""
    version, count = manifest_version(lake, shard), len(hashes)
    ids = lake.read_table(lake.catalog_path(shard))["image_id"].combine_chunks()
    every = {"content_hash": hashes, "format": ["JPEG"] * count, "status": ["ok"] * count}
    every |= {name: [1] * count for name in ("width", "height", "orientation")} | known
    arrays = {name: pa.array(values, schemas.IMAGES.field(name).type) for name, values in every.items()}
    arrays["image_id"] = ids
    for name, matrix in vectors.items():
        feature = find_feature(name)
        ones = pa.array([1] * count)
        beside = [ones.cast(feature.schema.field(other).type) for other in feature.columns]
        table = pa.table([ids, schemas.to_vectors(matrix.astype(feature.dtype)), *beside], schema=feature.schema)
        lake.write_table(lake.feature_path(name, shard), table, feature_made_from(shard, version, feature))
    columns = [arrays.get(field.name, pa.nulls(count, field.type)) for field in schemas.IMAGES]
    images = pa.table(columns, schema=schemas.IMAGES)
    lake.write_table(lake.images_path(shard), images, images_made_from(shard, version))


def tables_of(lake: Lake, *folders: str) -> dict[str, pa.Table]:
    """Read every Parquet table below some folders of a lake, with its metadata; not those half written."""
    paths = (path for folder in folders for path in (lake.root / folder).rglob("*.parquet"))
    whole = (path for path in paths if not is_temporary(path.name))
    return {path.relative_to(lake.root).as_posix(): lake.read_table(path) for path in whole}


def times(lake: Lake, *folders: str) -> dict[str, int]:
    """Return the modification time of each file below some folders of a lake."""
    paths = (path for folder in folders for path in (lake.root / folder).rglob("*") if path.is_file())
    return {path.relative_to(lake.root).as_posix(): path.stat().st_mtime_ns for path in paths}


def rewritten(before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
    """Return the files that are new or were rewritten."""
    return {path for path, when in after.items() if before.get(path) != when}


def ids(hits: Iterable[Hit]) -> list[str]:
    """List the image ids of a result, best first."""
    return [hit.image_id for hit in hits]
