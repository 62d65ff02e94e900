"""Files of a lake that nothing uses: which there are, and their removal.

Removal holds the locks of the scan and of the generation, and that of each shard whose tables go. So it waits for a
running build where they meet. Everything that is removed can be computed again, except the tables of images whose files
are gone.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from imrec_core.errors import BadSettings, LakeError
from imrec_core.extraction.kept_shards import kept_shards
from imrec_core.extraction.lost_content import expired_shards
from imrec_core.features import chosen_features
from imrec_core.images.thumbnails import SIDES
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import GENERATION_FACTS, Lake, source_of
from imrec_core.lake.storage import file_locks, files, unfinished_writes
from imrec_core.lake.storage.files import AnyPath
from imrec_core.upkeep.shard_files import table_paths

KINDS = {
    "features": "tables of features that lake.toml does not list",
    "sources": "tables of sources that lake.toml does not list",
    "lost": "tables of images that were gone longer than keep_lost_days",
    "fits": "fits that no feature and no generation uses",
    "generations": "generations that are not in use",
    "thumbnails": "thumbnails of images that are gone",
    "unfinished": "unfinished writes of processes that have ended",
}
"""Kinds of unused files, in words."""

_LEAST_AGE = 3600.0  # seconds; a younger fit may not be in use yet


@dataclass(frozen=True)
class UnusedFile:
    """A file or folder that nothing uses.

    Attributes:
        kind: One of `KINDS`.
        byte_size: Bytes that its removal frees, without those of hard links elsewhere.
    """

    kind: str
    path: AnyPath
    byte_size: int


def find_unused(lake: Lake) -> list[UnusedFile]:
    """Find the files that nothing uses; change nothing.

    Raises:
        MissingTable: There is no lake.
        BadSettings: `lake.toml` lists no source, but there are tables: all of them would count as unused.
    """
    lake.check_version()
    if lake.shards() and not lake.settings().sources:
        names = ", ".join(sorted({source_of(shard) for shard in lake.shards()}))
        raise BadSettings(
            f"lake.toml lists no source, but the lake has tables of {names}; restore it, or add a source, before "
            "unused files are removed"
        )
    finders: dict[str, Callable[[Lake], Iterable[AnyPath]]] = {
        "features": _feature_tables,
        "sources": _source_tables,
        "lost": _lost_tables,
        "fits": _fits,
        "generations": _generations,
        "thumbnails": _thumbnails,
        "unfinished": lambda lake: unfinished_writes.unfinished(lake.layout.cache_folder),
    }
    found = {path: kind for kind, find in finders.items() for path in find(lake) if files.exists(path)}
    return [UnusedFile(kind, path, _freed(path)) for path, kind in found.items()]


def remove_unused(lake: Lake) -> list[UnusedFile]:
    """Remove the files that nothing uses; return them.

    Raises:
        MissingTable, BadSettings: As for `find_unused`.
        LakeError: A file cannot be removed.
    """
    lake.check_version()
    try:
        with lake.exclusive_lock("catalog"), lake.exclusive_lock("generation"):
            unused = find_unused(lake)
            tables = defaultdict(list)
            for file in unused:
                if file.kind in ("features", "sources"):
                    tables[_shard_of(file.path)].append(file.path)
                else:
                    _remove(file)
            for shard, paths in tables.items():
                with lake.exclusive_lock(f"extract-{shard}"):
                    for path in paths:
                        files.remove(path)
            _remove_empty_folders(lake)
    except OSError as error:
        raise LakeError(f"{error.filename or lake.root} cannot be removed: {error.strerror or error}") from error
    return unused


def _remove(file: UnusedFile) -> None:
    if file.kind == "generations" and isinstance(file.path, Path):
        file_locks.remove_unless_held(file.path, GENERATION_FACTS)
    else:
        files.remove(file.path)


def _shard_of(path: AnyPath) -> str:
    return path.name.rpartition(".")[0]


def _remove_empty_folders(lake: Lake) -> None:
    """Remove folders of features without a table, and those without a fit."""
    for parent in (lake.layout.features_folder, lake.layout.fitted_folder):
        for folder in parent.iterdir() if isinstance(parent, Path) and parent.is_dir() else ():
            with suppress(OSError):  # not empty
                folder.rmdir()


def _freed(path: AnyPath) -> int:
    """Return the bytes of the files at or below a path that have no other hard link."""
    if not isinstance(path, Path):
        return sum(files.sizes(path).values())
    inside = path.rglob("*") if path.is_dir() else [path]
    with suppress(OSError):
        return sum(s.st_size for s in (p.lstat() for p in inside if not p.is_dir()) if s.st_nlink == 1)
    return 0


# -- tables -------------------------------------------------------------------------------------------------


def _feature_tables(lake: Lake) -> Iterator[AnyPath]:
    """Yield the tables of features that the lake does not compute, of shards and of lost images."""
    used = {feature.name for feature in chosen_features(lake)}
    layout = lake.layout
    for name in layout.stored_features():
        if name not in used:
            folder = layout.feature_folder(name)
            yield from (layout.feature_path(name, shard) for shard in layout.stored_shards(folder))


def _source_tables(lake: Lake) -> Iterator[AnyPath]:
    """Yield the tables of shards that the lake does not have: of sources that are not listed, or without a manifest."""
    layout = lake.layout
    live = {*lake.live_shards(), *kept_shards(lake)}
    folders = [layout.catalog_folder, layout.images_folder, *map(layout.feature_folder, layout.stored_features())]
    for folder in folders:
        for shard in layout.stored_shards(folder):
            if shard not in live:
                yield folder / layout.catalog_path(shard).name


def _lost_tables(lake: Lake) -> Iterator[AnyPath]:
    for key in expired_shards(lake):
        yield from table_paths(lake, key)


# -- fits and generations -----------------------------------------------------------------------------------


def _kept_generations(lake: Lake) -> set[str]:
    """Return the ids of the generation in use, and of the newest two: the one before replaces a damaged one."""
    newest = lake.generations()[-2:] if lake.live_shards() else []
    return {lake.current_generation() or "", *newest}


def _generations(lake: Lake) -> Iterator[AnyPath]:
    """Yield the folders of other generations that no process of this machine reads, complete or not."""
    layout, kept = lake.layout, {*_kept_generations(lake), lake.current_path.name}
    for folder in dict.fromkeys((layout.generations_folder, layout.local_generations_folder)):
        for name in files.list_names(folder):
            path = folder / name
            if name in kept or files.is_temporary(name):
                continue
            if not (isinstance(path, Path) and file_locks.is_held(path, GENERATION_FACTS)):
                yield path


def _fits(lake: Lake) -> Iterator[AnyPath]:
    """Yield the files of fits that are neither in use nor named by a generation."""
    layout = lake.layout
    chosen = {feature.name for feature in chosen_features(lake) if feature.is_fitted}
    used = _fits_of_generations(lake)
    for name in files.list_names(layout.fitted_folder):
        current = lake.fitted_version(name) if name in chosen else None
        for path in layout.fitted_files(name):
            is_version = path.name != layout.fitted_current_path(name).name
            version = path.name.rpartition(".")[0]
            is_used = (name, version) in used or version == current if is_version else name in chosen
            if not is_used and not _is_young(path):
                yield path
        if name not in chosen:
            yield layout.study_path(name)


def _fits_of_generations(lake: Lake) -> set[tuple[str, str]]:
    """Return name and version of the fits by which the vectors of the kept generations were computed."""
    used = set()
    for generation in _kept_generations(lake):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged, or there is none
            facts = json.loads(files.read_bytes(lake.generation_path(generation) / GENERATION_FACTS))
            used |= {(name, entry["fitted"]) for name, entry in facts["features"].items() if "fitted" in entry}
    return used


def _is_young(path: AnyPath) -> bool:
    found = files.fingerprint(path)
    return found is None or time.time() - found[1] / 1e9 < _LEAST_AGE


# -- thumbnails ---------------------------------------------------------------------------------------------


def _thumbnails(lake: Lake) -> Iterator[Path]:
    """Yield the thumbnails of contents that neither the tables nor the generation in use have."""
    folders = [folder for folder in sorted(lake.layout.thumbnails_folder.glob("*")) if folder.is_dir()]
    if not folders:
        return
    used = _contents(lake)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            content, _, side = path.stem.rpartition("-")
            if not files.is_temporary(path.name) and (content not in used or side not in map(str, SIDES)):
                yield path


def _contents(lake: Lake) -> set[str]:
    """Return the content hashes of all images of the lake."""
    tables = [lake.images_path(shard) for shard in lake.live_shards() if files.exists(lake.images_path(shard))]
    used: set[str] = set()
    for path in tables:
        used.update(pc.unique(lake.read_table(path, ["content_hash"])["content_hash"]).to_pylist())
    with suppress(LakeError):
        used.update(open_generation(lake).live_table(["content_hash"])["content_hash"].to_pylist())
    return used


def summary(unused: Iterable[UnusedFile], *, is_removed: bool) -> str:
    """Format unused files as one line per kind, and their total."""
    unused = list(unused)
    if not unused:
        return "nothing is unused"
    lines = []
    for kind, words in KINDS.items():
        some = [file for file in unused if file.kind == kind]
        if some:
            lines.append(f"{words}: {len(some)}, {sum(file.byte_size for file in some) / 1e6:.1f} MB")
    total = f"{sum(file.byte_size for file in unused) / 1e6:.1f} MB"
    return "\n".join([*lines, f"removed {total}" if is_removed else f"imrec gc would remove {total}"])
