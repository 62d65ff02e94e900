"""Sizes of the files of a lake by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from imrec_core.extraction.kept_shards import kept_shards
from imrec_core.images.thumbnails import kept_mb
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath
from imrec_core.upkeep.shard_files import table_paths

KINDS = {
    "images": "images table",
    "features": "features",
    "lost": "images that are gone",
    "fits": "fits",
    "generations": "generations",
    "thumbnails": "thumbnails",
    "duplicates": "summaries and verified pairs",
    "runs": "runs",
    "other": "other",
}
"""Name of each kind of files, as `imrec status` prints it."""


def lake_sizes(lake: Lake) -> dict[str, int]:
    """Return the bytes of each of `KINDS`; hard links count once, and thumbnails are estimated from a sample.

    `images` has the manifests too, `lost` what is kept of images that were gone at once, and `runs` Dagster's history.
    """
    layout = lake.layout
    folders: dict[str, list[AnyPath]] = {
        "images": [layout.catalog_folder, layout.images_folder],
        "features": [layout.features_folder],
        "fits": _both(layout.fitted_folder, layout.data_folder / layout.fitted_folder.name),
        "generations": _both(layout.generations_folder, layout.local_generations_folder),
        "duplicates": [layout.duplicates_folder],
        "runs": [layout.runs_folder, layout.dagster_home],
    }
    size = _sizer(lake)
    found = {kind: sum(map(size, paths)) for kind, paths in folders.items()}
    lost = {kind: sum(map(size, paths)) for kind, paths in _lost_paths(lake).items()}
    for kind, byte_size in lost.items():
        found[kind] -= byte_size
    found |= {"lost": sum(lost.values()), "thumbnails": kept_mb(lake) * 1_000_000, "other": _other(lake, folders, size)}
    return {kind: found[kind] for kind in KINDS}


def _both(in_lake: AnyPath, local: Path) -> list[AnyPath]:
    """Return the two folders of a lake in an object store; they are the same in a local lake."""
    return [in_lake] if in_lake == local else [in_lake, local]


def _sizer(lake: Lake) -> Callable[[AnyPath], int]:
    """Return a function that sums the bytes below a path; it lists an object store once for all paths."""
    objects = {} if isinstance(lake.root, Path) else {str(name): size for name, size in files.sizes(lake.root).items()}

    def size(path: AnyPath) -> int:
        if isinstance(path, Path):
            return sum(files.sizes(path).values())
        return sum(size for name, size in objects.items() if f"{name}/".startswith(f"{path.path}/"))

    return size


def _lost_paths(lake: Lake) -> dict[str, list[AnyPath]]:
    paths: dict[str, list[AnyPath]] = {"images": [], "features": []}
    for key in kept_shards(lake):
        _, images, *features = table_paths(lake, key)
        paths["images"].append(images)
        paths["features"] += features
    return paths


def _other(lake: Lake, folders: Mapping[str, list[AnyPath]], size: Callable[[AnyPath], int]) -> int:
    """Return the bytes of everything else directly in the lake: settings, decisions, maps, locks."""
    known = {lake.layout.thumbnails_folder, *(path for paths in folders.values() for path in paths)}
    if not isinstance(lake.root, Path):
        return size(lake.root) - sum(size(path) for path in known if not isinstance(path, Path))
    return sum(size(path) for name in files.list_names(lake.root) if (path := lake.root / name) not in known)


def summary(sizes: Mapping[str, int]) -> str:
    """Format sizes as one line, the largest kind first."""
    parts = sorted(((byte_size, kind) for kind, byte_size in sizes.items() if byte_size), reverse=True)
    listed = ", ".join(f"{KINDS[kind]} {byte_size / 1e6:.1f} MB" for byte_size, kind in parts)
    return f"size {sum(sizes.values()) / 1e6:.1f} MB: {listed}"
