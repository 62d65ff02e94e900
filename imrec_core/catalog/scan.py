"""Scans of sources: the image files of a folder or bucket, with size and modification time. Opens no file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imrec_core.catalog.file_kinds import accepted_extensions, describe, summarize
from imrec_core.catalog.ids import image_ids
from imrec_core.catalog.scan_report import ScanReport
from imrec_core.catalog.walk import LATEST, UNKNOWN, Found, SourceWalk
from imrec_core.errors import BadSource, StorageFault
from imrec_core.lake.schemas import MANIFEST, empty_table
from imrec_core.lake.settings import Settings, Source
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.memory import cycle_collection_paused
from imrec_core.runtime.text import escaped

_CHUNK = 10_000  # files held as Python tuples at a time, which take five times the memory of a frame


@dataclass(frozen=True)
class SourceScan:
    """What a scan found in a source.

    Attributes:
        images: Image files with the columns of `schemas.MANIFEST`, sorted by path, also those beyond the limit.
        unsupported: Files of formats whose optional library is not installed, in the same columns.
        report: Entries that could not be read, and files that are not read.
    """

    images: pl.DataFrame
    unsupported: pl.DataFrame
    report: ScanReport

    @classmethod
    def of(cls, source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> SourceScan:
        """Scan a source.

        Args:
            leave_out: Folder to skip: the lake itself, if it is inside the source.

        Raises:
            BadSource: The root is missing, is not a folder, or cannot be listed.
            BadSettings: A pattern of `exclude` is not valid.
        """
        walk = SourceWalk(source, settings, leave_out)
        with cycle_collection_paused():
            images = _frame(source, _images_of(walk, source))
        failures = tuple(sorted(walk.failures, key=lambda failure: failure.path))
        report = ScanReport(failures, dict(walk.not_read.most_common()), walk.root_inode)
        return cls(images, _frame(source, walk.unsupported), report)


def scan_source(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> pl.DataFrame:
    """List the image files below the root of a source, up to the limit, sorted, with the columns of `schemas.MANIFEST`.

    Raises:
        BadSource, BadSettings: As for `SourceScan.of`.
    """
    return up_to_limit(SourceScan.of(source, settings, leave_out=leave_out).images, settings)


def up_to_limit(images: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Return the images of one source, sorted by path, that the setting `limit` takes."""
    return images.head(settings.limit) if settings.limit else images


def _frame(source: Source, files: Iterable[Found]) -> pl.DataFrame:
    """Make a table of files, sorted by path."""
    empty = pl.DataFrame(empty_table(MANIFEST))
    frames = [empty.select("image_id", "path", "byte_size", "mtime_ns", "inode", "ctime_ns")]
    remaining = iter(files)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        paths, sizes, times, inodes, changes = zip(*chunk)
        columns = {
            "image_id": image_ids(source.name, paths),
            "path": paths if "".join(paths).isascii() else [escaped(path) for path in paths],
            "byte_size": np.array(sizes, np.int64),
            "mtime_ns": np.array(times, np.int64),
            "inode": np.array(inodes, np.uint64),
            "ctime_ns": _within_range(changes),
        }
        frames.append(pl.DataFrame(columns))
    found = pl.concat(frames).with_columns(
        pl.lit(source.name).alias("source"),
        pl.lit(None, pl.Int64).alias("reread_ns"),
        *(pl.when(pl.col(name) != UNKNOWN).then(name).alias(name) for name in ("inode", "ctime_ns")),
    )
    return found.select(empty.columns).sort("path", "image_id")


def _within_range(times: Sequence[int]) -> NDArray[np.int64]:
    """Make an array of times; those that a table cannot hold are unknown."""
    try:
        return np.array(times, np.int64)
    except OverflowError:
        return np.array([time if -LATEST <= time < LATEST else UNKNOWN for time in times], np.int64)


def require_image(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> None:
    """Require that a source has an image file; stop at the first.

    Raises:
        BadSource, BadSettings: As for `SourceScan.of`, or there is no image.
    """
    walk = SourceWalk(source, settings, leave_out)
    if next(_images_of(walk, source), None) is None:
        endings = ", ".join(sorted(accepted_extensions(settings)))
        others = [f"{failure.path}: {failure.error.partition(': ')[2]}" for failure in walk.failures[:1]]
        others += [found] if (found := summarize(describe(walk.not_read))) else []
        what = "".join(f"; {one}" for one in others)
        raise BadSource(f"source {source.name!r}: {source.root} holds no image (looked for {endings}){what}")


def find_images(folder: Path, settings: Settings) -> list[Path]:
    """List the image files below a folder that is not a source, sorted, as a scan does.

    Raises:
        BadSource, BadSettings: As for `SourceScan.of`.
    """
    source = Source("", folder)
    return sorted(folder / path for path, *_ in _images_of(SourceWalk(source, settings), source))


def _images_of(walk: SourceWalk, source: Source) -> Iterator[Found]:
    """Yield each image file of a walk.

    Raises:
        BadSource: As for `SourceScan.of`.
    """
    try:
        if isinstance(source.root, Path) and source.root.exists() and not source.root.is_dir():
            raise BadSource(f"source {source.name!r}: {source.root} is a file; give a folder with images")
        yield from walk.images()
    except FileNotFoundError as error:
        raise BadSource(f"source {source.name!r}: {source.root} does not exist; give a folder with images") from error
    except OSError as error:
        where = error.filename or source.root
        raise BadSource(f"source {source.name!r}: cannot list {where}: {error.strerror or error}") from error
    except StorageFault as error:
        raise BadSource(f"source {source.name!r}: cannot be listed: {error}") from error
