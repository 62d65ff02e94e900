"""A lake: one object that reads and writes its settings, tables, fits, decisions and generations."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import BadSettings, DamagedTable, LakeError, SchemaMismatch, StorageDenied
from imrec_core.lake import parquet, settings_file, version
from imrec_core.lake.fits import FitStore
from imrec_core.lake.generations import GenerationStore
from imrec_core.lake.layout import GENERATION_FACTS, LAKE_VERSION, ROWS_FILE, LakeLayout, number_of, source_of
from imrec_core.lake.parquet import made_from_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_template import NEW_LAKES, settings_template
from imrec_core.lake.storage import file_locks, files, leases, unfinished_writes
from imrec_core.lake.storage.files import AnyPath

__all__ = ["GENERATION_FACTS", "LAKE_VERSION", "ROWS_FILE", "Lake", "made_from_of", "number_of", "source_of"]


log = logging.getLogger(__name__)


class Lake:
    """A folder with the layout of `docs/reference/files.md`, on a disk or in an object store such as `s3://bucket/lake`.

    Generations in an object store are downloaded to a cache on this machine before they are opened.

    Attributes:
        layout: Paths of all files in the lake.
    """

    def __init__(self, root: str | os.PathLike[str] | AnyPath) -> None:
        self.layout = LakeLayout.at(root)
        self.root = self.layout.root
        self.is_remote = self.layout.is_remote
        self._is_writable = False
        self._fits = FitStore(self.layout)
        self._generations = GenerationStore(self.layout)

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    # -- settings ---------------------------------------------------------------------------------------

    @property
    def settings_path(self) -> AnyPath:
        return self.layout.settings_path

    def settings(self) -> Settings:
        """Read the settings from `lake.toml`; return those of a new lake if there is no such file.

        Raises:
            BadSettings: `lake.toml` is not valid.
        """
        path = self.settings_path
        status = files.status(path)
        return Settings(**NEW_LAKES) if status is None else _parse_settings(path, status, self.root)

    def save_settings(self, settings: Settings) -> None:
        """Write `lake.toml` and keep its comments; a new one explains the common settings."""
        previous = files.read_text(self.settings_path) or ""
        text = settings_file.render(settings, previous or settings_template(), self.root)
        if text != previous:
            files.write_text(self.settings_path, text)

    def live_shards(self) -> list[str]:
        """List the keys of the shards whose source is in `lake.toml`, sorted."""
        sources = self.settings().sources
        return [shard for shard in self.shards() if source_of(shard) in sources]

    def save_scan(self, source: str, report: str) -> None:
        """Write the report of the last scan of a source, as JSON."""
        files.write_text(self.layout.scan_path(source), report)

    def load_scan(self, source: str) -> str | None:
        """Read the report of the last scan of a source, as JSON; None if there is none."""
        return files.read_text(self.layout.scan_path(source))

    # -- layout, see `LakeLayout` -----------------------------------------------------------------------

    def catalog_path(self, shard: str) -> AnyPath:
        return self.layout.catalog_path(shard)

    def images_path(self, shard: str) -> AnyPath:
        return self.layout.images_path(shard)

    def feature_path(self, feature: str, shard: str) -> AnyPath:
        return self.layout.feature_path(feature, shard)

    def fitted_path(self, name: str, version: str) -> AnyPath:
        return self.layout.fitted_path(name, version)

    def study_path(self, name: str) -> Path:
        """Return a local folder for files that a fit keeps between runs."""
        return self.layout.study_path(name)

    def generation_path(self, generation: str) -> AnyPath:
        return self.layout.generation_path(generation)

    @property
    def current_path(self) -> AnyPath:
        return self.layout.current_path

    def runs_path(self, month: str, writer: str) -> AnyPath:
        """Return the run log of a month, such as `2026-11`."""
        return self.layout.runs_path(month, writer)

    def run_logs(self) -> list[AnyPath]:
        """List the run logs of all months, oldest first."""
        return self.layout.run_logs()

    def thumbnail_path(self, content_hash: str, side: int) -> Path:
        """Return the local path of a thumbnail with no side longer than `side` pixels."""
        return self.layout.thumbnail_path(content_hash, side)

    def thumbnail_folder(self, digits: str) -> Path:
        """Return the local folder of the thumbnails whose content hash begins with two hex digits."""
        return self.layout.thumbnail_folder(digits)

    @property
    def decisions_path(self) -> AnyPath:
        """Decisions of a user about duplicates."""
        return self.layout.decisions_path

    def map_path(self, name: str) -> AnyPath:
        return self.layout.map_path(name)

    def map_names(self) -> list[str]:
        """List the names of all maps, sorted."""
        return self.layout.map_names()

    @property
    def dagster_home(self) -> Path:
        """Local folder for the files of Dagster."""
        return self.layout.dagster_home

    def shards(self) -> list[str]:
        """List the keys of all shards with a manifest, sorted."""
        return self.layout.shards()

    def known_shards(self) -> list[str]:
        """List the keys of all shards with a manifest or an images table, sorted."""
        return self.layout.known_shards()

    # -- tables, see `parquet` --------------------------------------------------------------------------

    def write_table(self, path: AnyPath, table: pa.Table, made_from: Mapping[str, str]) -> int:
        """Write a Parquet file with `made_from` in its metadata; return its size in bytes."""
        return parquet.write_table(path, table, made_from)

    def read_table(
        self, path: AnyPath, columns: list[str] | None = None, *, optional: Collection[str] = ()
    ) -> pa.Table:
        """Read a Parquet file of the lake; see `parquet.read_table`.

        A damaged one is moved aside if the lake is open for writing, so that the build makes it again.

        Raises:
            MissingTable: There is no such file.
            DamagedTable: The file is damaged.
        """
        with self._setting_damage_aside():
            return parquet.read_table(path, columns, optional=optional)

    @contextmanager
    def _setting_damage_aside(self) -> Iterator[None]:
        try:
            yield
        except DamagedTable as error:
            if self._is_writable:
                self.set_aside(error.path)
            raise

    def made_from(self, path: AnyPath) -> dict[str, str] | None:
        """Read what a Parquet file was made from; None if it is missing, damaged or not written by imrec."""
        return parquet.made_from(path)

    def row_count(self, path: AnyPath) -> int:
        """Read the number of rows from the footer of a Parquet file; 0 if there is no such file."""
        return parquet.row_count(path)

    # -- fits, see `FitStore` ---------------------------------------------------------------------------

    def save_fitted(self, name: str, version: str, arrays: Mapping[str, NDArray[np.generic]], facts: object) -> None:
        """Store a fit and make it the version in use."""
        self._fits.save(name, version, arrays, facts)

    def fitted_version(self, name: str) -> str | None:
        """Return the version in use; None if there is no fit or its file is missing."""
        return self._fits.current_version(name)

    def fitted_facts(self, name: str, version: str) -> dict[str, object]:
        """Read the facts that were stored with a fit."""
        with self._setting_damage_aside():
            return self._fits.facts(name, version)

    def load_fitted(self, name: str, version: str) -> dict[str, NDArray[np.generic]]:
        """Read the arrays of a fit."""
        with self._setting_damage_aside():
            return self._fits.load(name, version)

    # -- decisions --------------------------------------------------------------------------------------

    def save_decisions(self, decisions: object) -> None:
        """Store the decisions of a user."""
        files.write_text(self.decisions_path, json.dumps(decisions, indent=1))

    def load_decisions(self) -> object:
        """Read the decisions of a user; None if there are none.

        Raises:
            SchemaMismatch: The file is damaged.
        """
        try:
            return json.loads(files.read_bytes(self.decisions_path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SchemaMismatch(
                f"{self.decisions_path} cannot be read ({error}); correct it, or move it away"
            ) from error

    # -- generations, see `GenerationStore` -------------------------------------------------------------

    def generations(self) -> list[str]:
        """List the ids of the complete generations, oldest first."""
        return self._generations.ids()

    def current_generation(self) -> str | None:
        """Return the id of the generation in use; None before the first build."""
        return self._generations.current()

    def manifest_checksum(self, generation: str) -> str | None:
        """Return the checksum of a generation's manifest by `CURRENT`; None if it is not known."""
        return self._generations.manifest_checksum(generation)

    def is_published(self, generation: str) -> bool:
        """Return whether `CURRENT` names a generation as the one in use."""
        return self._generations.is_published(generation)

    def new_generation(self, generation: str) -> AbstractContextManager[Path]:
        """Yield a temporary local folder that becomes the generation when the block ends without an error."""
        return self._generations.create(generation)

    def local_generation(self, generation: str) -> Path:
        """Return the local folder of a generation; download it first if the lake is in an object store."""
        return self._generations.fetch(generation)

    def publish(self, generation: str, *, keep: int = 2) -> None:
        """Make a generation the one in use; remove all but the newest `keep` complete ones, and those being read."""
        self._generations.publish(generation, keep=keep)

    def withdraw_generation(self) -> None:
        """Use no generation any more, because the lake has no images left."""
        self._generations.withdraw()

    # -- locks ------------------------------------------------------------------------------------------

    def exclusive_lock(self, work: str) -> AbstractContextManager[None]:
        """Hold the lock for a kind of work in this lake between processes, of all machines if it is remote."""
        path = self.layout.lock_path(work)
        return file_locks.exclusive_lock(path) if isinstance(path, Path) else leases.exclusive_lease(path)

    def being_built(self) -> AbstractContextManager[None]:
        """Mark the lake as being built on this machine, so that nothing else starts what the build is about to do.

        Where the disk refuses, the lake stays unmarked; a build that writes says why.
        """
        return file_locks.marked(self.layout.build_marker)

    def is_being_built(self) -> bool:
        """Return whether this machine builds the lake, by a build or by a run of any Dagster instance."""
        marker = self.layout.build_marker
        return file_locks.is_held(marker.parent, marker.name)

    # -- upkeep -----------------------------------------------------------------------------------------

    def set_aside(self, path: AnyPath) -> bool:
        """Move a damaged file to the folder `damaged`, so that nothing reads it and the next build makes it again.

        A file in an object store, or in the cache of one, is deleted.

        Returns:
            False if the disk or its permissions do not allow it.
        """
        to = self.layout.damaged_path(path)
        try:
            files.set_aside(path, to)
        except (OSError, LakeError) as error:
            log.info("cannot move %s: %s", path, error)
            return False
        log.info("moved %s to %s", path, to or "nowhere: it is deleted")
        return True

    def open_for_writing(self) -> Lake:
        """Create the lake if it is missing, check its version, and remove temporary files of killed runs.

        Raises:
            LakeError: The folder cannot be created, or a newer imrec wrote the lake.
            StorageDenied: The folder may not be written.
            SchemaMismatch: `version.json` is damaged.
        """
        folder = self.layout.cache_folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"cannot make the lake {folder}: {error.strerror}") from error
        if not os.access(folder, os.W_OK):
            raise StorageDenied(f"the lake {folder} is read-only; change its permissions, or copy it and use the copy")
        files.invalidate_listings(self.root)
        self._create_if_missing()
        self.check_version()
        unfinished_writes.sweep(folder)
        self._is_writable = True
        return self

    def _create_if_missing(self) -> None:
        """Write settings that explain themselves, then the version, which makes the folder a lake."""
        if version.read_version(self.layout) is None:
            if not files.exists(self.settings_path):
                files.write_text(self.settings_path, settings_template())
            version.write_first_version(self.layout)

    def check_version(self) -> None:
        """Require a lake that this version of imrec can read; see `version.check_version`."""
        version.check_version(self.layout)


@functools.lru_cache(maxsize=64)
def _parse_settings(path: AnyPath, status: files.Status, root: AnyPath) -> Settings:
    """Parse the file once per status, because every access to a table needs the settings."""
    try:
        text = files.read_bytes(path, status.byte_size).decode()
    except UnicodeDecodeError as error:
        raise BadSettings(f"{path}: byte {error.start} is not UTF-8; correct it in an editor") from error
    return settings_file.parse(text, root)
