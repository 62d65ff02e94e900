"""Verify a whole lake: its tables, fits, generations and the files that say which of them are in use.

A damaged file that a build makes again is moved to `damaged/`, so that no search uses it and the next build sees that
it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imrec_core.catalog.manifests import shard_version
from imrec_core.errors import (
    DamagedGeneration,
    DamagedTable,
    ImrecError,
    LakeError,
    MissingTable,
    SchemaMismatch,
    StorageFault,
)
from imrec_core.extraction.incremental import contents_digest
from imrec_core.extraction.staleness import PIXELS, has_fresh_images, is_feature_fresh
from imrec_core.extraction.table_checks import check_rows, check_vectors
from imrec_core.features import Feature, known_features
from imrec_core.index.generation import Generation
from imrec_core.index.integrity import mark_damaged
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

_BUILD = "run: imrec build"
_IMAGES = ("image_id", "byte_size", "mtime_ns", "content_hash", "status", "error")  # that every version has


@dataclass(frozen=True)
class Damage:
    """A damaged file.

    Attributes:
        path: The file.
        problem: What is wrong with it.
        repair: What repairs it.
        moved: Whether it was moved to `damaged/`.
    """

    path: str
    problem: str
    repair: str
    moved: bool


@dataclass(frozen=True)
class CheckReport:
    """Result of the check of a lake.

    Attributes:
        files: Number of files that were read.
        byte_size: Their size in bytes.
    """

    root: str
    files: int
    byte_size: int
    seconds: float
    damaged: tuple[Damage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `imrec check --json` prints it."""
        return asdict(self)

    def summary(self) -> str:
        """Format the report as text: one line per damaged file, then the result."""
        lines = [f"{found.path}: {found.problem}; to repair it, {found.repair}" for found in self.damaged]
        size = f"{self.files} files, {self.byte_size / 1e6:.1f} MB, in {self.seconds:.1f} s"
        return "\n".join([*lines, f"{len(self.damaged)} damaged files of {size}"])


class _Check:
    """The check of one lake: the files that were read, and the damage that was found."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.files, self.byte_size = 0, 0
        self.damaged: dict[str, Damage] = {}

    def read(self, path: AnyPath) -> None:
        """Count a file."""
        status = files.status(path)
        self.files += status is not None
        self.byte_size += status.byte_size if status else 0

    def add(self, path: AnyPath, problem: str, repair: str = _BUILD, *, move: bool = True) -> None:
        """Record a damaged file once, and move it aside if a build makes it again."""
        if str(path) in self.damaged:
            return
        if move and isinstance(path, Path):
            mark_damaged(path)
        moved = move and (self.lake.set_aside(path) if files.exists(path) else self._was_moved(path))
        self.damaged[str(path)] = Damage(str(path), " ".join(problem.split()), repair, moved)

    def _was_moved(self, path: AnyPath) -> bool:
        """Return whether reading a file of a lake that is open for writing has moved it aside."""
        to = self.lake.layout.damaged_path(path)
        return to is not None and to.exists()

    def attempt(self, path: AnyPath, work: Callable[[], object], repair: str = _BUILD, *, move: bool = True) -> bool:
        """Do work that raises an `ImrecError` if a file is damaged; return whether it did not."""
        self.read(path)
        try:
            work()
        except StorageFault:  # says nothing about the file
            raise
        except MissingTable:
            return False
        except ImrecError as error:
            is_damage = isinstance(error, SchemaMismatch) or (isinstance(error, DamagedGeneration) and error.is_certain)
            self.add(getattr(error, "path", path), str(error), repair, move=move and is_damage)
            return False
        return True


def check_lake(lake: Lake) -> CheckReport:
    """Read every file of a lake that searches and builds rely on, and compare it with its checksums.

    Raises:
        MissingTable: There is no lake.
        StorageFault: The object store failed.
    """
    started, check = time.perf_counter(), _Check(lake)
    if not files.exists(lake.root):
        lake.check_version()
    version = lake.layout.version_path
    check.attempt(version, lake.check_version, "delete the file and run: imrec build", move=False)
    has_settings = check.attempt(lake.settings_path, lambda: known_features(lake), "correct it", move=False)
    check.attempt(lake.decisions_path, lake.load_decisions, "correct it, or move it away", move=False)
    features = known_features(lake) if has_settings else {}
    for shard in lake.known_shards():
        _check_shard(check, shard, [*features.values()], is_live=has_settings and shard in lake.live_shards())
    for name in lake.map_names():
        _check_table(check, lake.map_path(name), f"run: imrec map --name {name}")
    for feature in features.values():
        _check_fit(check, feature)
    _check_generations(check)
    seconds = time.perf_counter() - started
    return CheckReport(str(lake.root), check.files, check.byte_size, round(seconds, 3), (*check.damaged.values(),))


def _check_table(check: _Check, path: AnyPath, repair: str = _BUILD, columns: Sequence[str] = ()) -> bool:
    """Read a table; page checksums do not cover the footer, so that a column may have another name."""
    if not files.exists(path):
        return False
    if not check.attempt(path, lambda: check.lake.read_table(path), repair):
        return False
    if columns and not check.attempt(path, lambda: check.lake.read_table(path, list(columns)), repair):
        return False
    if check.lake.made_from(path) is None:
        check.add(path, "its metadata is damaged", repair)
        return False
    return True


def _check_shard(check: _Check, shard: str, features: list[Feature], *, is_live: bool) -> None:
    """Check the tables of a shard; those of a live one are compared with each other, too."""
    lake = check.lake
    is_whole = _check_table(check, lake.catalog_path(shard), columns=schemas.CATALOG.names)
    if is_whole:
        manifest = lake.read_table(lake.catalog_path(shard))
        if (lake.made_from(lake.catalog_path(shard)) or {}).get("shard_version") != shard_version(manifest):
            check.add(lake.catalog_path(shard), "differs from its checksum")
            is_whole = False
    is_whole = _check_table(check, lake.images_path(shard), columns=_IMAGES) and is_whole
    if is_whole and is_live and has_fresh_images(lake, shard):
        for problem in _image_problems(lake, shard):
            check.add(lake.images_path(shard), problem)
            is_whole = False
    for feature in features:
        path = lake.feature_path(feature.name, shard)
        if _check_table(check, path) and is_whole and is_live and is_feature_fresh(lake, shard, feature):
            try:
                problems = [*check_rows(lake, shard, feature), *check_vectors(lake, shard, feature)]
            except DamagedTable as error:  # since it was read above
                check.add(error.path, str(error))
                continue
            for problem in problems:
                check.add(path, problem)


def _image_problems(lake: Lake, shard: str) -> Iterator[str]:
    yield from check_rows(lake, shard)
    images, made_from = lake.read_table(lake.images_path(shard)), lake.made_from(lake.images_path(shard)) or {}
    columns = images.select(["image_id", "content_hash", "status"]).to_pylist()
    if made_from.get("contents", "") not in ("", contents_digest(columns, made_from.get(PIXELS, ""))):
        yield "differs from its checksum"


def _check_fit(check: _Check, feature: Feature) -> None:
    lake = check.lake
    version = lake.fitted_version(feature.name) if feature.is_fitted else None
    if version is not None:
        path = lake.fitted_path(feature.name, version)
        check.attempt(path, lambda: lake.load_fitted(feature.name, version))
        if files.exists(path.with_suffix(".json")):
            check.attempt(path.with_suffix(".json"), lambda: lake.fitted_facts(feature.name, version))


def _check_generations(check: _Check) -> None:
    lake = check.lake
    check.read(lake.current_path)
    current = lake.current_generation()
    if files.exists(lake.current_path) and not (current and lake.is_published(current)):
        check.add(lake.current_path, "is damaged", move=False)
    for name in lake.generations():
        _check_generation(check, name, is_current=name == current)
    if current is not None and current not in lake.generations():
        check.add(lake.generation_path(current), "is missing or damaged", move=False)


def _check_generation(check: _Check, name: str, *, is_current: bool) -> None:
    """Check all files of a generation; damaged files of one that is not in use need no repair."""
    lake = check.lake
    repair = _BUILD if is_current else "nothing is needed: it is not in use"
    folder = lake.local_generation(name)
    try:
        generation = Generation(folder, known_features(lake), checksum=lake.manifest_checksum(name))
    except DamagedGeneration as error:
        if is_current or error.path.exists():  # otherwise it was moved aside before
            check.add(error.path, str(error), repair, move=error.is_certain)
        return
    except LakeError as error:
        check.add(folder, str(error), repair, move=False)
        return
    for lost in generation.damaged if is_current else ():
        check.add(lost.path, str(lost), repair)
    for file_name in sorted(generation.files.whole):
        if not (is_current or files.exists(folder / file_name)):
            continue
        check.attempt(folder / file_name, lambda: generation.files.require_whole(file_name), repair)  # noqa: B023
    for file_name, vectors in generation.files.vectors.items():
        check.read(vectors.path)
        if not (all(generation.files.check_blocks(file_name)) and vectors.has_header()):
            check.add(vectors.path, f"generation {name}: {file_name} differs from its checksum", repair)
