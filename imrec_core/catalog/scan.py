"""Scans of sources: the image files of a folder or bucket, with size and modification time. Opens no file."""

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
_CHUNK = 10_000  # files held as Python tuples at a time, which take five times the memory of a frame


def scan_source(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> pl.DataFrame:
    """List all image files below the root of a source, sorted by path.

    Links to folders are followed, except back to a folder that contains them.

    Args:
        leave_out: Folder to skip: the lake itself, if it is inside the source.

    Returns:
        The columns of `schemas.CATALOG`.

    Raises:
        BadSource: The root is missing, is not a folder, or cannot be listed.
    """
    found = (
        (image_id(source.name, path), source.name, escaped(path), size, mtime_ns)
        for path, size, mtime_ns in _image_files(source, settings, leave_out)
    )
    schema = pl.DataFrame(CATALOG.empty_table()).schema
    frames = [pl.DataFrame(schema=schema)]
    while chunk := list(itertools.islice(found, _CHUNK)):
        frames.append(pl.DataFrame(chunk, schema=schema, orient="row"))
    return pl.concat(frames).sort("path", "image_id")


def require_image(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> None:
    """Require that a source has an image file; stop at the first.

    Raises:
        BadSource: As for `scan_source`, or there is no image.
    """
    if next(_image_files(source, settings, leave_out), None) is None:
        endings = ", ".join(sorted(_extensions(settings)))
        raise BadSource(f"source {source.name!r}: {source.root} holds no image (looked for {endings})")


def find_images(folder: Path, settings: Settings) -> list[Path]:
    """List the image files below a folder that is not a source, sorted, as a scan does.

    Raises:
        BadSource: The folder is missing, is not a folder, or cannot be listed.
    """
    return sorted(folder / path for path, _, _ in _image_files(Source("", folder), settings, None))


def _image_files(source: Source, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Yield relative path, size and modification time of each image file."""
    if isinstance(source.root, Path) and not source.root.is_dir():
        found = "is a file" if source.root.exists() else "does not exist"
        raise BadSource(f"source {source.name!r}: {source.root} {found}; give a folder with images")
    extensions = _extensions(settings)
    try:
        for path, size, mtime_ns in _walk(source.root, settings, leave_out):
            if "*" in extensions or os.path.splitext(path)[1][1:].lower() in extensions:
                yield path, size, mtime_ns
    except OSError as error:
        raise BadSource(f"source {source.name!r}: cannot list {error.filename}: {error.strerror}") from error
    except StorageFault as error:
        raise BadSource(f"source {source.name!r}: cannot be listed: {error}") from error


def _extensions(settings: Settings) -> set[str]:
    extensions = {e.lower().lstrip(".") for e in settings.extensions}
    return extensions if importlib.util.find_spec("pillow_heif") else extensions - _HEIC


def _walk(root: AnyPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Yield relative POSIX path, size and modification time of every file below `root`."""
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
                    elif entry.is_symlink():  # a broken link is listed, and fails when it is read
                        status = entry.stat(follow_symlinks=False)
                        yield prefix + entry.name, status.st_size, status.st_mtime_ns
                except FileNotFoundError:
                    continue  # removed since the folder was listed


def _walk_objects(root: UPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Walk a prefix of an object store. The walk of fsspec skips folders that it cannot list."""
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
