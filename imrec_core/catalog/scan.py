"""Scan a source: walk its folder or bucket and list the image files with size and modification time."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from imrec_core.catalog.ids import image_id
from imrec_core.errors import BadSource, StorageFault
from imrec_core.lake.schemas import CATALOG
from imrec_core.lake.settings import Settings, Source
from imrec_core.lake.storage import object_store
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.text import escaped

if TYPE_CHECKING:
    from upath import UPath


_HEIC = {"heic", "heif"}


_TOGETHER = 10_000  # files of a scan that are held as Python objects


def scan_source(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> pl.DataFrame:
    """All image files below a source's root, sorted by path; the columns of `tables.CATALOG`.

    Links to folders are followed until they lead back to a folder they came from. `leave_out` is a folder that
    is not entered (the lake itself, where it lies among the pictures).

    Raises:
        BadSource: The root is missing, no folder, or cannot be listed.
    """
    found = (
        (image_id(source.name, path), source.name, escaped(path), size, mtime_ns)
        for path, size, mtime_ns in _image_files(source, settings, leave_out)
    )
    schema = pl.DataFrame(CATALOG.empty_table()).schema
    frames = [pl.DataFrame(schema=schema)]
    while some := list(itertools.islice(found, _TOGETHER)):  # as Python tuples they take five times the room
        frames.append(pl.DataFrame(some, schema=schema, orient="row"))
    return pl.concat(frames).sort("path", "image_id")


def require_image(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> None:
    """Refuse a source without a single image file; looks no further than the first.

    Raises:
        BadSource: As `scan_source`, or there is no image.
    """
    if next(_image_files(source, settings, leave_out), None) is None:
        endings = ", ".join(sorted(_wanted_extensions(settings)))
        raise BadSource(f"source {source.name!r}: {source.root} holds no image (looked for {endings})")


def find_images(folder: Path, settings: Settings) -> list[Path]:
    """All image files below a folder that is no source, as a scan takes them; sorted.

    Raises:
        BadSource: It is missing, no folder, or cannot be listed.
    """
    return sorted(folder / path for path, _, _ in _image_files(Source("", folder), settings, None))


def _image_files(source: Source, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Relative path, size and mtime of each file that is to be taken."""
    if isinstance(source.root, Path) and not source.root.is_dir():
        found = "is a file" if source.root.exists() else "does not exist"
        raise BadSource(f"source {source.name!r}: {source.root} {found}; give a folder with pictures")
    wanted = _wanted_extensions(settings)
    try:
        for path, size, mtime_ns in _walk(source.root, settings, leave_out):
            if "*" in wanted or os.path.splitext(path)[1][1:].lower() in wanted:
                yield path, size, mtime_ns
    except OSError as error:
        raise BadSource(f"source {source.name!r}: cannot list {error.filename}: {error.strerror}") from error
    except StorageFault as error:
        raise BadSource(f"source {source.name!r}: cannot be listed: {error}") from error


def _wanted_extensions(settings: Settings) -> set[str]:
    wanted = {e.lower().lstrip(".") for e in settings.extensions}
    return wanted if importlib.util.find_spec("pillow_heif") else wanted - _HEIC


def _walk(root: AnyPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Relative POSIX path, size and mtime of every file below `root`."""
    return _walk_disk(root, settings, leave_out) if isinstance(root, Path) else _walk_objects(root, settings, leave_out)


def _walk_disk(root: Path, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    stack: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(str(root), "", ())]
    while stack:
        folder, prefix, above = stack.pop()
        stat = os.stat(folder)
        here = (stat.st_dev, stat.st_ino)
        if here in above or (leave_out and folder == str(leave_out)):
            continue  # a link that leads back up, or the lake
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        if settings.scan_hidden or not entry.name.startswith("."):
                            stack.append((entry.path, f"{prefix}{entry.name}/", (*above, here)))
                    elif entry.is_file():
                        status = entry.stat()
                        yield prefix + entry.name, status.st_size, status.st_mtime_ns
                    elif entry.is_symlink():  # a link to nothing is listed, and fails when it is read
                        status = entry.stat(follow_symlinks=False)
                        yield prefix + entry.name, status.st_size, status.st_mtime_ns
                except FileNotFoundError:
                    continue  # gone since the folder was listed


def _walk_objects(root: UPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """As `_walk` of a prefix of an object store. fsspec's own walk passes over folders that it fails to list."""
    stack = [(root, "")]
    while stack:
        folder, prefix = stack.pop()
        if str(folder) == str(leave_out):
            continue
        for entry in object_store.listing(folder):
            name = object_store.name_of(entry)
            if entry["type"] != "directory":
                yield prefix + name, object_store.size_of(entry), object_store.time_of(entry)
            elif settings.scan_hidden or not name.startswith("."):
                stack.append((folder / name, f"{prefix}{name}/"))
