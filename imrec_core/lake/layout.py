"""Where everything in a lake lies. No other module names a folder or a file below a lake's root.

What lies inside the folder of a generation, `generation` knows.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

LAKE_VERSION = 1  # goes up when an older imrec could no longer read the lake

GENERATION_FACTS = "generation.json"  # the file that makes a folder a generation
ROWS_FILE = "rows.parquet"  # of a generation

_TABLE = ".parquet"
_LOG = ".jsonl"


@dataclass(frozen=True)
class LakeLayout:
    """The paths of one lake, and the names that its folders list. No file is read or written.

    Attributes:
        root: A local folder, or a prefix in an object store. From a store, generations are fetched into a cache on
            this machine.
    """

    root: AnyPath

    @classmethod
    def at(cls, root: str | os.PathLike[str] | AnyPath) -> LakeLayout:
        """The layout of the lake at a path or URL; a relative local path is made absolute.

        Raises:
            LakeError: No library is known for this kind of URL.
        """
        found = files.place(root)
        return cls(found.absolute() if isinstance(found, Path) else found)

    @property
    def is_remote(self) -> bool:
        return files.is_remote(self.root)

    @property
    def cache_folder(self) -> Path:
        """The local folder for what can be fetched or made again; the root itself of a local lake."""
        return self._local(platformdirs.user_cache_dir)

    @property
    def data_folder(self) -> Path:
        """The local folder for what an object store cannot hold; the root itself of a local lake."""
        return self._local(platformdirs.user_data_dir)

    def _local(self, base: Callable[[str], str]) -> Path:
        return files.cache_folder(self.root, base("imrec")) if self.is_remote else Path(str(self.root))

    # -- settings and version ---------------------------------------------------------------------------

    @property
    def settings_path(self) -> AnyPath:
        return self.root / "lake.toml"

    @property
    def version_path(self) -> AnyPath:
        return self.root / "version.json"

    # -- tables -----------------------------------------------------------------------------------------

    @property
    def catalog_folder(self) -> AnyPath:
        return self.root / "catalog"

    def catalog_path(self, shard: str) -> AnyPath:
        return self.catalog_folder / f"{shard}{_TABLE}"

    def shards(self) -> list[str]:
        """Keys of all shards that have a manifest, sorted."""
        return [name.removesuffix(_TABLE) for name in _tables(self.catalog_folder) if name[0] != "."]

    def images_path(self, shard: str) -> AnyPath:
        return self.root / "images" / f"{shard}{_TABLE}"

    def feature_folder(self, feature: str) -> AnyPath:
        return self.root / "features" / feature

    def feature_path(self, feature: str, shard: str) -> AnyPath:
        return self.feature_folder(feature) / f"{shard}{_TABLE}"

    @property
    def maps_folder(self) -> AnyPath:
        return self.root / "maps"

    def map_path(self, name: str) -> AnyPath:
        return self.maps_folder / f"{name}{_TABLE}"

    def map_names(self) -> list[str]:
        """Names of all maps, sorted."""
        names = _tables(self.maps_folder)
        return sorted(name.removesuffix(_TABLE) for name in names if not files.is_temporary(name))

    # -- fits -------------------------------------------------------------------------------------------

    def fitted_path(self, name: str, version: str) -> AnyPath:
        """The arrays of a fit; what was noted about them lies beside, with the suffix `.json`."""
        return self._fitted_folder(name) / f"{version}.npz"

    def fitted_current_path(self, name: str) -> AnyPath:
        """The file that holds the version in use."""
        return self._fitted_folder(name) / "CURRENT"

    def _fitted_folder(self, name: str) -> AnyPath:
        return self.root / "fitted" / name

    def study_path(self, name: str) -> Path:
        """A local folder for what a fit keeps between tries, such as the trials of a search for parameters."""
        return self.data_folder / "fitted" / name / "study"

    # -- generations ------------------------------------------------------------------------------------

    @property
    def generations_folder(self) -> AnyPath:
        return self.root / "generations"

    def generation_path(self, generation: str) -> AnyPath:
        return self.generations_folder / generation

    @functools.cached_property
    def current_path(self) -> AnyPath:
        """The file that holds the id of the generation in use. Joined once: every search asks for it."""
        return self.generations_folder / "CURRENT"

    @property
    def local_generations_folder(self) -> Path:
        """Where generations are written and opened: that of the lake, or a cache of an object store."""
        return self.cache_folder / "generations"

    def local_generation_path(self, generation: str) -> Path:
        return self.local_generations_folder / generation

    # -- locks ------------------------------------------------------------------------------------------

    def lock_path(self, work: str) -> AnyPath:
        """The lock of some work in the lake, without a suffix."""
        return self.root / "locks" / work

    @property
    def fetch_lock_path(self) -> Path:
        """The lock of those on this machine that fetch a generation."""
        return self.cache_folder / "locks" / "fetching"

    # -- run log, decisions, thumbnails -----------------------------------------------------------------

    @property
    def runs_folder(self) -> AnyPath:
        return self.root / "runs"

    def runs_path(self, month: str, writer: str) -> AnyPath:
        """The run log of a month, such as `2026-11`; objects cannot be appended to, so each writer has its own."""
        return self.runs_folder / (f"{month}-{writer}{_LOG}" if self.is_remote else f"{month}{_LOG}")

    def run_logs(self) -> list[AnyPath]:
        """The logs of all months, oldest first."""
        folder = self.runs_folder
        return [folder / name for name in files.names(folder) if name.endswith(_LOG)]

    @property
    def decisions_path(self) -> AnyPath:
        """What a user decided about duplicates: the one file here that a build cannot make again."""
        return self.root / "decisions" / "duplicates.json"

    def thumbnail_folder(self, digits: str) -> Path:
        """The local folder of the thumbnails of contents whose hash begins with two digits."""
        return self.cache_folder / "thumbnails" / digits

    def thumbnail_path(self, content_hash: str, side: int) -> Path:
        """A thumbnail of some content, on this machine; `side` pixels at most."""
        return self.thumbnail_folder(content_hash[:2]) / f"{content_hash}-{side}.jpg"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own files, on this machine."""
        return self.data_folder / "dagster"


def _tables(folder: AnyPath) -> list[str]:
    return [name for name in files.names(folder) if name.endswith(_TABLE)]


def source_of(shard: str) -> str:
    """`holiday-0003` belongs to `holiday`."""
    return shard.rpartition("-")[0]


def number_of(shard: str) -> int:
    """`holiday-0003` is number 3 of its source."""
    return int(shard.rpartition("-")[2])
