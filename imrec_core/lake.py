"""Where things live in a lake, how they are written whole or not at all, and how they are read back.

No other module joins a path below the lake's root.
"""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core import leases, locks, objects, settings_file, storage, transfers
from imrec_core.errors import LakeError, MissingTable, SchemaMismatch
from imrec_core.settings import Settings
from imrec_core.storage import AnyPath

if TYPE_CHECKING:
    from upath import UPath

LAKE_VERSION = 1  # goes up when an older imrec could no longer read the lake

GENERATION_FACTS = "generation.json"  # the file that makes a folder a generation

_FOOTER = 1 << 16  # bytes in which the end of a Parquet file is looked for first


class Lake:
    """A folder with the layout of `data_lake/README.md`, on a disk or in an object store such as `s3://bucket/lake`.

    From an object store a generation is fetched before it is opened, into a cache on this machine.
    """

    def __init__(self, root: str | os.PathLike[str] | AnyPath) -> None:
        found = storage.place(root)
        self.root: AnyPath = found.absolute() if isinstance(found, Path) else found
        self.is_remote = storage.is_remote(self.root)

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    def _local(self, kind: str) -> Path:
        """A folder on this machine for what cannot lie in an object store."""
        base = platformdirs.user_cache_dir("imrec") if kind == "cache" else platformdirs.user_data_dir("imrec")
        return storage.cache_folder(self.root, base) if self.is_remote else Path(str(self.root))

    # -- settings ---------------------------------------------------------------------------------------

    @property
    def settings_path(self) -> AnyPath:
        return self.root / "lake.toml"

    def settings(self) -> Settings:
        """The settings in `lake.toml`; the defaults where there is none yet.

        Raises:
            BadSettings: `lake.toml` is not valid.
        """
        status = storage.status(self.settings_path)
        return Settings() if status is None else _parsed(self.settings_path, status, self.root)

    def save_settings(self, settings: Settings) -> None:
        """Write `lake.toml`, keeping the comments that are in it."""
        previous = self._read_text(self.settings_path) or ""
        text = settings_file.render(settings, previous, self.root)
        if text != previous:
            self._write_text(self.settings_path, text)

    def live_shards(self) -> list[str]:
        """Keys of the shards whose source is in `lake.toml`, sorted."""
        sources = self.settings().sources
        return [shard for shard in self.shards() if source_of(shard) in sources]

    # -- layout -----------------------------------------------------------------------------------------

    def catalog_path(self, shard: str) -> AnyPath:
        return self.root / "catalog" / f"{shard}.parquet"

    def images_path(self, shard: str) -> AnyPath:
        return self.root / "images" / f"{shard}.parquet"

    def feature_path(self, feature: str, shard: str) -> AnyPath:
        return self.root / "features" / feature / f"{shard}.parquet"

    def fitted_path(self, name: str, version: str) -> AnyPath:
        return self.root / "fitted" / name / f"{version}.npz"

    def _fitted_current(self, name: str) -> AnyPath:
        return self.root / "fitted" / name / "CURRENT"

    def study_path(self, name: str) -> Path:
        """A folder for what a fit keeps between tries, such as the trials of a search for parameters."""
        return self._local("data") / "fitted" / name / "study"

    def generation_path(self, generation: str) -> AnyPath:
        return self.root / "generations" / generation

    @property
    def current_path(self) -> AnyPath:
        return self.root / "generations" / "CURRENT"

    def runs_path(self, month: str, writer: str) -> AnyPath:
        """What was done in a month, such as `2026-11`; an object takes no more lines, so each writer has its own."""
        return self.root / "runs" / (f"{month}-{writer}.jsonl" if self.is_remote else f"{month}.jsonl")

    def run_logs(self) -> list[AnyPath]:
        """The logs of all months, oldest first."""
        folder = self.root / "runs"
        return [folder / name for name in storage.names(folder) if name.endswith(".jsonl")]

    def thumbnail_path(self, content_hash: str, side: int) -> Path:
        """A small picture of some content, on this machine; `side` pixels at most."""
        return self.thumbnail_folder(content_hash[:2]) / f"{content_hash}-{side}.jpg"

    def thumbnail_folder(self, digits: str) -> Path:
        """Where the small pictures of contents are whose hash begins with two digits."""
        return self._local("cache") / "thumbnails" / digits

    @property
    def decisions_path(self) -> AnyPath:
        """What a person decided about duplicates: the one thing here that a build cannot make again."""
        return self.root / "decisions" / "duplicates.json"

    def map_path(self, name: str) -> AnyPath:
        """Where the images lie on a map, see `explore`."""
        return self.root / "maps" / f"{name}.parquet"

    def map_names(self) -> list[str]:
        """Names of all maps, sorted."""
        found = (name for name in storage.names(self.root / "maps") if not storage.is_temporary(name))
        return sorted(name.removesuffix(".parquet") for name in found if name.endswith(".parquet"))

    @property
    def dagster_home(self) -> Path:
        """Dagster's own files, on this machine."""
        return self._local("data") / "dagster"

    def shards(self) -> list[str]:
        """Keys of all shards that have a manifest, sorted."""
        found = storage.names(self.root / "catalog")
        return [name.removesuffix(".parquet") for name in found if name.endswith(".parquet") and name[0] != "."]

    def generations(self) -> list[str]:
        """Ids of the complete generations, oldest first."""
        found = (name for name in storage.names(self.root / "generations") if not storage.is_temporary(name))
        return [name for name in found if storage.exists(self.generation_path(name) / GENERATION_FACTS)]

    def current_generation(self) -> str | None:
        """The id of the generation in use; None before the first. Every search asks, so it is read when it changes."""
        status = storage.status(self._current)
        return None if status is None else _first_line(self._current, status)

    @functools.cached_property
    def _current(self) -> AnyPath:
        return self.current_path

    # -- tables -----------------------------------------------------------------------------------------

    def write_table(self, path: AnyPath, table: pa.Table, made_from: Mapping[str, str]) -> int:
        """Write a Parquet file whose metadata says what it was `made_from`; returns its size in bytes.

        Raises:
            StorageFull: The disk took no more; the file that stood there before is untouched.
        """
        metadata = {**(table.schema.metadata or {}), b"imrec": json.dumps(dict(made_from)).encode()}
        # No dictionary and no statistics of vectors: they say nothing, and took half of the time to write and read.
        words = [column.name for column in table.schema if not pa.types.is_fixed_size_list(column.type)]
        with storage.replacing(path) as temporary:
            pq.write_table(
                table.replace_schema_metadata(metadata),
                temporary,
                compression="zstd",
                use_dictionary=words,
                write_statistics=words,
            )
            return temporary.stat().st_size

    def read_table(self, path: AnyPath, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file of the lake.

        Raises:
            MissingTable: There is no such file.
            SchemaMismatch: It is damaged, or lacks a column.
            StorageFault: The object store failed.
        """
        try:
            # Opened once: given a path, Arrow opens it twice, and another process may replace the file in between.
            file = pa.BufferReader(self._read_bytes(path)) if self.is_remote else pa.OSFile(str(path))
            return pq.read_table(file, columns=columns, partitioning=None)
        except FileNotFoundError as error:
            raise MissingTable(f"{path} is missing; run: imrec build") from error
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise _damaged(path, error) from error

    def made_from(self, path: AnyPath) -> dict[str, str] | None:
        """What a Parquet file says it was made from; None where it is missing, damaged or not ours."""
        status = storage.status(path)
        noted = None if status is None else _noted(path, status)
        return None if noted is None or noted[1] is None else dict(noted[1])

    def row_count(self, path: AnyPath) -> int:
        """Rows of a Parquet file, from its footer; 0 where there is no such file.

        Raises:
            SchemaMismatch: It is damaged.
        """
        status = storage.status(path)
        noted = None if status is None else _noted(path, status)
        if status is not None and noted is None:
            raise _damaged(path, ValueError("it is no Parquet file"))
        return noted[0] if noted else 0

    # -- fitted -----------------------------------------------------------------------------------------

    def save_fitted(self, name: str, version: str, arrays: Mapping[str, NDArray[np.generic]], facts: object) -> None:
        """Store what was learnt from a sample and make it the one in use."""
        path = self.fitted_path(name, version)
        with storage.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # stubs take the arrays for the flag
        self._write_text(path.with_suffix(".json"), json.dumps(facts, indent=2))
        self._write_text(self._fitted_current(name), version)

    def fitted_version(self, name: str) -> str | None:
        """The version in use; None where nothing was fitted yet or its file is gone."""
        version = (self._read_text(self._fitted_current(name)) or "").strip()
        return version if version and storage.exists(self.fitted_path(name, version)) else None

    def fitted_facts(self, name: str, version: str) -> dict[str, object]:
        """What was noted about a fit when it was stored."""
        return dict(json.loads(storage.read_bytes(self.fitted_path(name, version).with_suffix(".json"))))

    def load_fitted(self, name: str, version: str) -> dict[str, NDArray[np.generic]]:
        """The arrays stored under that version.

        Raises:
            MissingTable: It is not there.
        """
        path = self.fitted_path(name, version)
        try:
            file = io.BytesIO(self._read_bytes(path))
        except FileNotFoundError as error:
            raise MissingTable(f"{path} is missing; run: imrec build") from error
        with np.load(file) as arrays:
            return dict(arrays)

    # -- decisions --------------------------------------------------------------------------------------

    def save_decisions(self, decisions: object) -> None:
        """Store what a person decided."""
        self._write_text(self.decisions_path, json.dumps(decisions, indent=1))

    def load_decisions(self) -> object:
        """What was stored; None where nothing was decided yet.

        Raises:
            SchemaMismatch: The file is damaged.
        """
        try:
            return json.loads(storage.read_bytes(self.decisions_path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SchemaMismatch(f"{self.decisions_path} cannot be read ({error}); mend it, or move it away") from error

    # -- generations ------------------------------------------------------------------------------------

    @contextmanager
    def new_generation(self, generation: str) -> Iterator[Path]:
        """A local folder to write a generation into; it appears under its name when the block ends well."""
        with self._cleared(generation) as temporary:
            yield temporary
            if self.is_remote:
                transfers.put(temporary, self._remote_generation(generation), last=GENERATION_FACTS)

    @contextmanager
    def _cleared(self, generation: str) -> Iterator[Path]:
        """A local folder for a generation that takes its place; one fetched from a lake that stood here before goes."""
        folder = self._opened_path(generation)
        with storage.replacing(folder) as temporary:
            temporary.mkdir()
            yield temporary
            if self.is_remote:
                locks.remove_unless_held(folder, GENERATION_FACTS)

    def local_generation(self, generation: str) -> Path:
        """The folder in which a generation can be opened; fetched from an object store if it is not there yet.

        Raises:
            StaleIndex: It is not in the object store, or not as it was put there.
            StorageFault: The object store failed.
        """
        folder = self._opened_path(generation)
        if self.is_remote:
            at = self._remote_generation(generation)
            checksums = transfers.checksums_of(at)
            with locks.alone(folder.parent.parent / "locks" / "fetching"):
                if not transfers.is_fetched(folder, checksums):
                    with self._cleared(generation) as empty:
                        transfers.fetch(at, empty, checksums)
        return folder

    def _opened_path(self, generation: str) -> Path:
        return self._local("cache") / "generations" / generation

    def _remote_generation(self, generation: str) -> UPath:
        path = self.generation_path(generation)
        assert not isinstance(path, Path)
        return path

    def publish(self, generation: str, *, keep: int = 2) -> None:
        """Make a generation the one in use; remove all but the newest `keep` complete ones, and those that are read."""
        self._write_text(self.current_path, generation)
        kept = {generation, *self.generations()[-keep:]}
        for folder in {self.root / "generations", self._local("cache") / "generations"}:
            for name in storage.names(folder):
                path = folder / name
                if name in kept or storage.is_temporary(name) or name == self.current_path.name:
                    continue
                if isinstance(path, Path):
                    locks.remove_unless_held(path, GENERATION_FACTS)
                else:
                    objects.remove(path)  # readers have it on their own machines

    # -- one at a time ----------------------------------------------------------------------------------

    def alone(self, work: str) -> AbstractContextManager[None]:
        """Do some work that no other process does in this lake meanwhile; see `locks.alone` and `leases.alone`."""
        path = self.root / "locks" / work
        return locks.alone(path) if isinstance(path, Path) else leases.alone(path)

    # -- upkeep -----------------------------------------------------------------------------------------

    def open_for_writing(self) -> Lake:
        """Make the folder where it is missing, check its version, sweep what a killed run left.

        Raises:
            LakeError: The folder cannot be made, or a newer imrec wrote the lake.
        """
        folder = self._local("cache")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"cannot make the lake {folder}: {error.strerror}") from error
        storage.forget_listings(self.root)
        if self._version() is None:
            self._write_text(self._version_path, json.dumps({"lake": LAKE_VERSION}))
        self.check_version()
        storage.sweep(folder)
        return self

    def check_version(self) -> None:
        """Refuse a folder that is no lake, or one of a newer imrec.

        Raises:
            MissingTable: The lake was never built.
            LakeError: A newer imrec wrote it.
        """
        found = self._version()
        if found is None:
            raise MissingTable(
                f"there is no lake at {self.root}; make one with: imrec build FOLDER, or name another (--lake)"
            )
        if found > LAKE_VERSION:
            raise LakeError(f"{self.root} is a lake of version {found}, this imrec reads {LAKE_VERSION}; update imrec")

    @property
    def _version_path(self) -> AnyPath:
        return self.root / "version.json"

    def _version(self) -> int | None:
        text = self._read_text(self._version_path)
        return None if text is None else int(json.loads(text)["lake"])

    def _read_bytes(self, path: AnyPath) -> bytes:
        status = storage.status(path) if self.is_remote else None
        return storage.read_bytes(path, status.byte_size if status else None)

    def _read_text(self, path: AnyPath) -> str | None:
        """The text of a file; None where there is none."""
        try:
            return self._read_bytes(path).decode()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write_text(self, path: AnyPath, text: str) -> None:
        storage.write_bytes(path, text.encode())


@functools.lru_cache(maxsize=1 << 16)
def _noted(path: AnyPath, status: storage.Status) -> tuple[int, dict[str, str] | None] | None:
    """Rows of a Parquet file and what it was made from; None where it is none.

    Read once for each state of the file: with derived features a plan asks for the same footers many times.
    """
    try:
        footer = _footer(path, status.byte_size)
    except (OSError, pa.ArrowInvalid):
        return None
    return int(footer.num_rows), _made_from(footer.metadata)


def _footer(path: AnyPath, byte_size: int) -> pq.FileMetaData:
    if isinstance(path, Path):
        return pq.read_metadata(path)
    try:
        return pq.read_metadata(pa.BufferReader(objects.read_part(path, max(byte_size - _FOOTER, 0), byte_size)))
    except pa.ArrowInvalid:  # a longer one
        if byte_size <= _FOOTER:
            raise
        return pq.read_metadata(pa.BufferReader(storage.read_bytes(path)))


def made_from_of(table: pa.Table | pa.Schema) -> dict[str, str] | None:
    """What a table that was read, or its schema, says it was made from; None where it is not ours."""
    schema = table.schema if isinstance(table, pa.Table) else table
    return _made_from(schema.metadata)


def _made_from(metadata: Mapping[bytes, bytes] | None) -> dict[str, str] | None:
    try:
        return dict(json.loads((metadata or {})[b"imrec"]))
    except (KeyError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def _parsed(path: AnyPath, status: storage.Status, root: AnyPath) -> Settings:
    """Read once for each state of the file: every table that is looked at asks for the settings."""
    return settings_file.parse(storage.read_bytes(path, status.byte_size).decode(), root)


@functools.lru_cache(maxsize=64)
def _first_line(path: AnyPath, status: storage.Status) -> str:
    """Read once for each state of a file that is always replaced whole."""
    return storage.read_bytes(path).decode().strip()


def source_of(shard: str) -> str:
    """`holiday-0003` belongs to `holiday`."""
    return shard.rpartition("-")[0]


def number_of(shard: str) -> int:
    """`holiday-0003` is number 3 of its source."""
    return int(shard.rpartition("-")[2])


def _damaged(path: AnyPath, error: Exception) -> SchemaMismatch:
    reason = " ".join(str(error).split())  # Arrow's complaints have several lines
    return SchemaMismatch(f"{path} cannot be read ({reason}); delete it and run: imrec build")
