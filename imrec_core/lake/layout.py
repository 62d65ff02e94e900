"""Paths of all files and folders in a lake. No other module joins a path below the root.

`index` names the files inside the folder of a generation.
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

LAKE_VERSION = 1  # increment it when older versions of imrec cannot read the lake

GENERATION_FACTS = "generation.json"  # written last: a folder with it is a complete generation
ROWS_FILE = "rows.parquet"  # of a generation
MAPPED_ROWS_FILE = "rows.arrow"  # the same rows, for memory mapping

_TABLE = ".parquet"
_LOG = ".jsonl"


@dataclass(frozen=True)
class LakeLayout:
    """The paths of one lake, and listings of its folders. Reads and writes no file.

    Attributes:
        root: A local folder, or a prefix in an object store, whose generations are cached on this machine.
    """

    root: AnyPath

    @classmethod
    def at(cls, root: str | os.PathLike[str] | AnyPath) -> LakeLayout:
        """Make the layout of the lake at a path or URL; relative local paths become absolute.

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
        """Local folder for files that can be downloaded or computed again; the root of a local lake."""
        return self._local(platformdirs.user_cache_dir)

    @property
    def data_folder(self) -> Path:
        """Local folder for files that an object store cannot hold; the root of a local lake."""
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

    @property
    def scan_times_path(self) -> AnyPath:
        return self.root / "scans.json"

    # -- tables -----------------------------------------------------------------------------------------

    @property
    def catalog_folder(self) -> AnyPath:
        return self.root / "catalog"

    def catalog_path(self, shard: str) -> AnyPath:
        return self.catalog_folder / f"{shard}{_TABLE}"

    def scan_path(self, source: str) -> AnyPath:
        """Return the path of the report of the last scan of a source."""
        return self.catalog_folder / f"{source}.json"

    def shards(self) -> list[str]:
        """List the keys of all shards with a manifest, sorted."""
        return [name.removesuffix(_TABLE) for name in _table_names(self.catalog_folder) if name[0] != "."]

    def known_shards(self) -> list[str]:
        """List the keys of all shards with a manifest or an images table, sorted."""
        images = (name.removesuffix(_TABLE) for name in _table_names(self.root / "images") if name[0] != ".")
        return sorted({*self.shards(), *images})

    def images_path(self, shard: str) -> AnyPath:
        return self.images_folder / f"{shard}{_TABLE}"

    @property
    def images_folder(self) -> AnyPath:
        return self.root / "images"

    @property
    def features_folder(self) -> AnyPath:
        return self.root / "features"

    def feature_folder(self, feature: str) -> AnyPath:
        return self.features_folder / feature

    def stored_features(self) -> list[str]:
        """List the names of all features with a folder of tables, sorted."""
        return [name for name in files.list_names(self.features_folder) if not files.is_temporary(name)]

    def stored_shards(self, folder: AnyPath) -> list[str]:
        """List the keys of the shards with a table in a folder, sorted; they need not have a manifest."""
        names = _table_names(folder)
        return [name.removesuffix(_TABLE) for name in names if not files.is_temporary(name)]

    def feature_path(self, feature: str, shard: str) -> AnyPath:
        return self.feature_folder(feature) / f"{shard}{_TABLE}"

    @property
    def maps_folder(self) -> AnyPath:
        return self.root / "maps"

    def map_path(self, name: str) -> AnyPath:
        return self.maps_folder / f"{name}{_TABLE}"

    def map_names(self) -> list[str]:
        """List the names of all maps, sorted."""
        names = _table_names(self.maps_folder)
        return sorted(name.removesuffix(_TABLE) for name in names if not files.is_temporary(name))

    # -- fits -------------------------------------------------------------------------------------------

    def fitted_path(self, name: str, version: str) -> AnyPath:
        """Return the path of the arrays of a fit; its facts are beside it, with the suffix `.json`."""
        return self._fitted_folder(name) / f"{version}.npz"

    def fitted_current_path(self, name: str) -> AnyPath:
        """Return the path of the file with the version in use."""
        return self._fitted_folder(name) / "CURRENT"

    def _fitted_folder(self, name: str) -> AnyPath:
        return self.fitted_folder / name

    @property
    def fitted_folder(self) -> AnyPath:
        return self.root / "fitted"

    def fitted_files(self, name: str) -> list[AnyPath]:
        """List the files of all fits of a feature: arrays and facts of each version, and the version in use."""
        folder = self._fitted_folder(name)
        names = [n for n in files.list_names(folder) if n.endswith((".npz", ".json")) or n == "CURRENT"]
        return [folder / n for n in names if not files.is_temporary(n)]

    def study_path(self, name: str) -> Path:
        """Return a local folder for files that a fit keeps between runs, such as the trials of a parameter search."""
        return self.data_folder / "fitted" / name / "study"

    # -- generations ------------------------------------------------------------------------------------

    @property
    def generations_folder(self) -> AnyPath:
        return self.root / "generations"

    def generation_path(self, generation: str) -> AnyPath:
        return self.generations_folder / generation

    @functools.cached_property
    def current_path(self) -> AnyPath:
        """File with the id of the generation in use. Cached, because every search needs it."""
        return self.generations_folder / "CURRENT"

    @property
    def local_generations_folder(self) -> Path:
        """Folder in which generations are written and opened: in the lake, or the cache of a remote lake."""
        return self.cache_folder / "generations"

    def local_generation_path(self, generation: str) -> Path:
        return self.local_generations_folder / generation

    # -- damaged files ----------------------------------------------------------------------------------

    @property
    def damaged_folder(self) -> Path:
        return self.cache_folder / "damaged"

    def damaged_path(self, path: AnyPath) -> Path | None:
        """Return the path to which a damaged file of a local lake is moved; None for files of a remote one."""
        if self.is_remote or not isinstance(path, Path):
            return None
        return self.damaged_folder / path.relative_to(self.cache_folder)

    # -- locks ------------------------------------------------------------------------------------------

    def lock_path(self, work: str) -> AnyPath:
        """Return the path of the lock for a kind of work, without a suffix."""
        return self.root / "locks" / work

    @property
    def fetch_lock_path(self) -> Path:
        """Lock of the processes of this machine that download a generation."""
        return self.cache_folder / "locks" / "fetching"

    @property
    def build_marker(self) -> Path:
        """File that the builds of this machine hold while they run."""
        return self.cache_folder / "locks" / "building"

    # -- run log, decisions, issues, thumbnails -----------------------------------------------------------------

    @property
    def runs_folder(self) -> AnyPath:
        return self.root / "runs"

    def runs_path(self, month: str, writer: str) -> AnyPath:
        """Return the run log of a month, such as `2026-11`; one per writer in object stores, which cannot append."""
        return self.runs_folder / (f"{month}-{writer}{_LOG}" if self.is_remote else f"{month}{_LOG}")

    def run_logs(self) -> list[AnyPath]:
        """List the logs of all months, oldest first."""
        folder = self.runs_folder
        return [folder / name for name in files.list_names(folder) if name.endswith(_LOG)]

    @property
    def decisions_path(self) -> AnyPath:
        """Decisions of a user about duplicates: a file that a build cannot make again."""
        return self.root / "decisions" / "duplicates.json"

    @property
    def duplicates_folder(self) -> Path:
        """Local folder of what a search for duplicates stores, and can make again."""
        return self.cache_folder / "duplicates"

    @property
    def verified_pairs_path(self) -> Path:
        """Local path of the results of comparisons of duplicates."""
        return self.duplicates_folder / f"pairs{_TABLE}"

    @property
    def hash_pairs_path(self) -> Path:
        """Local path of the pairs of similar hashes, candidates for duplicates."""
        return self.duplicates_folder / f"hashes{_TABLE}"

    def summaries_folder(self, *, with_keypoints: bool) -> Path:
        """Return the local folder of summaries of images, which a search for duplicates can make again."""
        return self.duplicates_folder / ("keypoints" if with_keypoints else "levels")

    @property
    def issues_path(self) -> Path:
        """Local path of the issues of the images of a generation, which can be found again."""
        return self.cache_folder / "curation" / f"issues{_TABLE}"

    @property
    def tags_path(self) -> AnyPath:
        """Tags of a user: as `decisions_path` a file that a build cannot make again."""
        return self.root / "decisions" / "tags.json"

    @property
    def retry_path(self) -> AnyPath:
        """Marks on images that failed, until the next build tries them again."""
        return self.root / "decisions" / "retry.json"

    @property
    def thumbnails_folder(self) -> Path:
        """Local folder of all thumbnails."""
        return self.cache_folder / "thumbnails"

    def thumbnail_folder(self, digits: str) -> Path:
        """Return the local folder of the thumbnails whose content hash begins with two hex digits."""
        return self.thumbnails_folder / digits

    def thumbnail_path(self, content_hash: str, side: int) -> Path:
        """Return the local path of a thumbnail with no side longer than `side` pixels."""
        return self.thumbnail_folder(content_hash[:2]) / f"{content_hash}-{side}.jpg"

    @property
    def dagster_home(self) -> Path:
        """Local folder for the files of Dagster."""
        return self.data_folder / "dagster"


def _table_names(folder: AnyPath) -> list[str]:
    return [name for name in files.list_names(folder) if name.endswith(_TABLE)]


def source_of(shard: str) -> str:
    """Return the source of a shard: `holiday` for `holiday-0003`."""
    return shard.rpartition("-")[0]


def number_of(shard: str) -> int:
    """Return the number of a shard within its source: 3 for `holiday-0003`."""
    return int(shard.rpartition("-")[2])
