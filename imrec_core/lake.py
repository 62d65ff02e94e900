"""Where things live in a lake, how they are written whole or not at all, and how they are read back.

No other module joins a path below the lake's root.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core import locks
from imrec_core import settings as settings_module
from imrec_core.errors import LakeError, MissingTable, SchemaMismatch, StorageFull
from imrec_core.settings import Settings

LAKE_VERSION = 1  # goes up when an older imrec could no longer read the lake

GENERATION_FACTS = "generation.json"  # the file that makes a folder a generation

_TEMPORARY = ".writing-"


class Lake:
    """A folder with the layout of `data_lake/README.md`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        if "://" in str(root):
            raise LakeError(f"{root} is a URL; a lake must be a local folder in this version")
        self.root = Path(root).absolute()
        self._current = str(self.current_path)

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    # -- settings ---------------------------------------------------------------------------------------

    @property
    def settings_path(self) -> Path:
        return self.root / "lake.toml"

    def settings(self) -> Settings:
        """The settings in `lake.toml`; the defaults where there is none yet.

        Raises:
            BadSettings: `lake.toml` is not valid.
        """
        if not self.settings_path.exists():
            return Settings()
        return settings_module.parse(self.settings_path.read_text("utf-8"), self.root)

    def save_settings(self, settings: Settings) -> None:
        """Write `lake.toml`, keeping the comments that are in it."""
        previous = self.settings_path.read_text("utf-8") if self.settings_path.exists() else ""
        text = settings_module.render(settings, previous, self.root)
        if text != previous:
            self._write_text(self.settings_path, text)

    def live_shards(self) -> list[str]:
        """Keys of the shards whose source is in `lake.toml`, sorted."""
        sources = self.settings().sources
        return [shard for shard in self.shards() if source_of(shard) in sources]

    # -- layout -----------------------------------------------------------------------------------------

    def catalog_path(self, shard: str) -> Path:
        return self.root / "catalog" / f"{shard}.parquet"

    def images_path(self, shard: str) -> Path:
        return self.root / "images" / f"{shard}.parquet"

    def feature_path(self, feature: str, shard: str) -> Path:
        return self.root / "features" / feature / f"{shard}.parquet"

    def fitted_path(self, name: str, version: str) -> Path:
        return self.root / "fitted" / name / f"{version}.npz"

    def _fitted_current(self, name: str) -> Path:
        return self.root / "fitted" / name / "CURRENT"

    def study_path(self, name: str) -> Path:
        """A folder for what a fit keeps between tries, such as the trials of a search for parameters."""
        return self.root / "fitted" / name / "study"

    def generation_path(self, generation: str) -> Path:
        return self.root / "generations" / generation

    @property
    def current_path(self) -> Path:
        return self.root / "generations" / "CURRENT"

    def runs_path(self, month: str) -> Path:
        """What was done in a month, such as `2026-11`."""
        return self.root / "runs" / f"{month}.jsonl"

    def run_logs(self) -> list[Path]:
        """The logs of all months, oldest first."""
        return sorted((self.root / "runs").glob("*.jsonl"))

    @property
    def decisions_path(self) -> Path:
        """What a person decided about duplicates: the one thing here that a build cannot make again."""
        return self.root / "decisions" / "duplicates.json"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    def shards(self) -> list[str]:
        """Keys of all shards that have a manifest, sorted."""
        return sorted(path.stem for path in (self.root / "catalog").glob("*.parquet"))

    def generations(self) -> list[str]:
        """Ids of the complete generations, oldest first."""
        paths = (self.root / "generations").glob(f"*/{GENERATION_FACTS}")
        return sorted(path.parent.name for path in paths if not path.parent.name.startswith(_TEMPORARY))

    def current_generation(self) -> str | None:
        """The id of the generation in use; None before the first. Every search asks, so it is read when it changes."""
        try:
            stat = os.stat(self._current)
        except FileNotFoundError:
            return None
        return _first_line(self._current, stat.st_ino, stat.st_mtime_ns)

    # -- tables -----------------------------------------------------------------------------------------

    def write_table(self, path: Path, table: pa.Table, made_from: Mapping[str, str]) -> int:
        """Write a Parquet file whose metadata says what it was `made_from`; returns its size in bytes.

        Raises:
            StorageFull: The disk took no more; the file that stood there before is untouched.
        """
        metadata = {**(table.schema.metadata or {}), b"imrec": json.dumps(dict(made_from)).encode()}
        # No dictionary and no statistics of vectors: they say nothing, and took half of the time to write and read.
        words = [column.name for column in table.schema if not pa.types.is_fixed_size_list(column.type)]
        with _moved_into_place(path) as temporary:
            pq.write_table(
                table.replace_schema_metadata(metadata),
                temporary,
                compression="zstd",
                use_dictionary=words,
                write_statistics=words,
            )
            return temporary.stat().st_size

    def read_table(self, path: Path, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file of the lake.

        Raises:
            MissingTable: There is no such file.
            SchemaMismatch: It is damaged, or lacks a column.
        """
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except FileNotFoundError as error:
            raise MissingTable(f"{path} is missing; run: imrec build") from error
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise _damaged(path, error) from error

    def made_from(self, path: Path) -> dict[str, str] | None:
        """What a Parquet file says it was made from; None where it is missing, damaged or not ours."""
        try:
            stat = path.stat()
        except OSError:
            return None
        made_from = _made_from(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return None if made_from is None else dict(made_from)

    def row_count(self, path: Path) -> int:
        """Rows of a Parquet file, from its footer; 0 where there is no such file.

        Raises:
            SchemaMismatch: It is damaged.
        """
        try:
            return int(pq.read_metadata(path).num_rows)
        except FileNotFoundError:
            return 0
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from error

    # -- fitted -----------------------------------------------------------------------------------------

    def save_fitted(self, name: str, version: str, arrays: Mapping[str, NDArray[np.generic]], facts: object) -> None:
        """Store what was learnt from a sample and make it the one in use."""
        path = self.fitted_path(name, version)
        with _moved_into_place(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # stubs take the arrays for the flag
        self._write_text(path.with_suffix(".json"), json.dumps(facts, indent=2))
        self._write_text(self._fitted_current(name), version)

    def fitted_version(self, name: str) -> str | None:
        """The version in use; None where nothing was fitted yet or its file is gone."""
        pointer = self._fitted_current(name)
        version = pointer.read_text().strip() if pointer.exists() else ""
        return version if version and self.fitted_path(name, version).exists() else None

    def fitted_facts(self, name: str, version: str) -> dict[str, object]:
        """What was noted about a fit when it was stored."""
        return dict(json.loads(self.fitted_path(name, version).with_suffix(".json").read_text()))

    def load_fitted(self, name: str, version: str) -> dict[str, NDArray[np.generic]]:
        """The arrays stored under that version.

        Raises:
            MissingTable: It is not there.
        """
        path = self.fitted_path(name, version)
        if not path.exists():
            raise MissingTable(f"{path} is missing; run: imrec build")
        with np.load(path) as arrays:
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
            return json.loads(self.decisions_path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SchemaMismatch(f"{self.decisions_path} cannot be read ({error}); mend it, or move it away") from error

    # -- generations ------------------------------------------------------------------------------------

    @contextmanager
    def new_generation(self, generation: str) -> Iterator[Path]:
        """A folder to write a generation into; it appears under its name when the block ends well."""
        with _moved_into_place(self.generation_path(generation)) as temporary:
            temporary.mkdir()
            yield temporary

    def publish(self, generation: str, *, keep: int = 2) -> None:
        """Make a generation the one in use; remove all but the newest `keep` complete ones, and those that are read."""
        self._write_text(self.current_path, generation)
        kept = {generation, *self.generations()[-keep:]}
        for path in (self.root / "generations").iterdir():
            old = path.is_dir() and path.name not in kept and not path.name.startswith(_TEMPORARY)
            if old:
                locks.remove_unless_held(path, GENERATION_FACTS)

    # -- one at a time ----------------------------------------------------------------------------------

    def alone(self, work: str) -> AbstractContextManager[None]:
        """Do some work that no other process does in this lake meanwhile; see `locks.alone`."""
        return locks.alone(self.root / "locks" / work)

    # -- upkeep -----------------------------------------------------------------------------------------

    def open_for_writing(self) -> Lake:
        """Make the folder where it is missing, check its version, sweep what a killed run left.

        Raises:
            LakeError: The folder cannot be made, or a newer imrec wrote the lake.
        """
        marker = self.root / "version.json"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"cannot make the lake {self.root}: {error.strerror}") from error
        if not marker.exists():
            self._write_text(marker, json.dumps({"lake": LAKE_VERSION}))
        self.check_version()
        self._sweep()
        return self

    def _sweep(self) -> None:
        """Remove what processes that no longer run left half written."""
        for left in self.root.rglob(f"{_TEMPORARY}*"):
            pid = left.name.removeprefix(_TEMPORARY).partition("-")[0]
            if pid.isdecimal() and not is_running(int(pid)):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def check_version(self) -> None:
        """Refuse a folder that is no lake, or one of a newer imrec.

        Raises:
            MissingTable: The lake was never built.
            LakeError: A newer imrec wrote it.
        """
        marker = self.root / "version.json"
        if not marker.exists():
            raise MissingTable(f"there is no lake at {self.root}; make one with: imrec build FOLDER")
        found = json.loads(marker.read_text())["lake"]
        if found > LAKE_VERSION:
            raise LakeError(f"{self.root} is a lake of version {found}, this imrec reads {LAKE_VERSION}; update imrec")

    def _write_text(self, path: Path, text: str) -> None:
        with _moved_into_place(path) as temporary:
            temporary.write_text(text, "utf-8")


@functools.lru_cache(maxsize=1 << 16)
def _made_from(path: Path, inode: int, size: int, mtime_ns: int) -> dict[str, str] | None:
    """Read once for each state of the file: with derived features a plan asks for the same footers many times."""
    try:
        return made_from_of(pq.read_schema(path))
    except (OSError, pa.ArrowInvalid):
        return None


def made_from_of(table: pa.Table | pa.Schema) -> dict[str, str] | None:
    """What a table that was read, or its schema, says it was made from; None where it is not ours."""
    schema = table.schema if isinstance(table, pa.Table) else table
    try:
        return dict(json.loads((schema.metadata or {})[b"imrec"]))
    except (KeyError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def _first_line(path: str, inode: int, mtime_ns: int) -> str:
    """Read once for each state of a file that is always replaced whole."""
    return Path(path).read_text().strip()


def source_of(shard: str) -> str:
    """`holiday-0003` belongs to `holiday`."""
    return shard.rpartition("-")[0]


def number_of(shard: str) -> int:
    """`holiday-0003` is number 3 of its source."""
    return int(shard.rpartition("-")[2])


def _damaged(path: Path, error: Exception) -> SchemaMismatch:
    reason = " ".join(str(error).split())  # Arrow's complaints have several lines
    return SchemaMismatch(f"{path} cannot be read ({reason}); delete it and run: imrec build")


@contextmanager
def _moved_into_place(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well."""
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no space left on the disk of {path.parent}; free some and run: imrec build (what is done is kept)"
            ) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
