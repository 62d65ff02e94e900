"""The Dagster instance of a lake: where its files are, the lake it belongs to, and errors of its storage.

Each lake has an instance of its own, by default in its folder `dagster`. Two lakes in one instance would show and run
each other's partitions, so a folder that `DAGSTER_HOME` names belongs to the first lake that uses it.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from imrec_core.errors import ImrecError, LakeError, StorageDenied, StorageFull
from imrec_core.lake.lake import Lake, source_of
from imrec_dagster.home_files import write_home_files
from imrec_dagster.partitions import DECODE_POOL, SHARDS
from imrec_dagster.sqlite_connections import kept_open

OWNER_FILE = "imrec-lake"
"""Name of the file in the folder of an instance that holds the path of its lake."""


def dagster_home(lake: Lake, home: str | Path | None = None) -> Path:
    """Return the folder of a lake's Dagster instance: `home`, else `DAGSTER_HOME`, else the lake's own.

    Raises:
        LakeError: The folder belongs to another lake.
    """
    path = Path(home or os.environ.get("DAGSTER_HOME") or lake.dagster_home).absolute()
    owner = None if _is_own(path, lake) else _owner(path)
    if owner is not None and _is_other_lake(owner, lake):
        raise LakeError(
            f"DAGSTER_HOME {path} belongs to the lake {owner}, not to {_name(lake)}; unset it, or name another folder"
        )
    return path


@contextmanager
def open_instance(home: str | Path, lake: Lake | None = None) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder; create it if it is missing, and note its lake.

    Raises:
        LakeError: The storage of the instance cannot be read or written; also for the block. Or it has the partitions
            of another lake.
    """
    home = Path(home).absolute()
    with _translate_storage_errors(home):
        with _translate_os_errors(home):
            write_home_files(home)
        with kept_open(home), dg.DagsterInstance.from_config(str(home)) as instance:
            if lake is not None:
                claim_home(home, lake, instance)
            _apply_default_limit(instance)
            yield instance


def _apply_default_limit(instance: dg.DagsterInstance) -> None:
    """Give the pool of the extraction its limit; Dagster 1.13 does so only after it has started the first runs."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits and DECODE_POOL not in storage.get_concurrency_keys():
        storage.initialize_concurrency_limit_to_default(DECODE_POOL)


def claim_home(home: Path, lake: Lake, instance: dg.DagsterInstance) -> None:
    """Note in the folder of an instance that it belongs to a lake.

    Raises:
        LakeError: No lake is noted, and the instance has the partitions of another one; or the disk refuses.
    """
    noted = _noted(home)
    if noted == _name(lake):
        return
    if noted is None and not _is_own(home, lake) and _has_partitions_of_another(lake, instance):
        raise LakeError(
            f"DAGSTER_HOME {home} has partitions, none of the lake {_name(lake)}; unset it, or name another folder. If "
            f"they are of this lake, run: echo '{_name(lake)}' > '{home / OWNER_FILE}'"
        )
    with _translate_os_errors(home):
        (home / OWNER_FILE).write_text(_name(lake))


def claim_current_home(lake: Lake) -> None:
    """Check the instance that `DAGSTER_HOME` names, and note its lake if none is noted and the disk allows it.

    Raises:
        LakeError: The instance belongs to another lake, or has its partitions.
    """
    home = dagster_home(lake)
    if os.environ.get("DAGSTER_HOME") and home.is_dir() and _noted(home) != _name(lake):
        with dg.DagsterInstance.get() as instance, suppress(StorageDenied, StorageFull):
            claim_home(home, lake, instance)


def _has_partitions_of_another(lake: Lake, instance: dg.DagsterInstance) -> bool:
    """Return whether the instance has shards, and none whose source the lake has or had."""
    found = set(map(source_of, instance.get_dynamic_partitions(str(SHARDS.name))))
    return bool(found) and not found & {*map(source_of, lake.known_shards()), *_source_names(lake)}


def _source_names(lake: Lake) -> Iterable[str]:
    """Return the names of the sources, also former ones; none if `lake.toml` is not valid, which a run reports."""
    try:
        return lake.settings().roots
    except ImrecError:
        return ()


def _is_own(home: Path, lake: Lake) -> bool:
    """Return whether the folder is in the lake itself. It is the lake's even if the lake was copied or moved."""
    return home.resolve() == Path(lake.dagster_home).resolve()


def _owner(home: Path) -> str | None:
    """Return the lake of a folder: the one whose folder `dagster` it is, else the one that is noted in it."""
    parent = home.resolve().parent
    if home.name == "dagster" and (parent / "version.json").exists():
        return str(parent)
    return _noted(home)


def _noted(home: Path) -> str | None:
    try:
        return (home / OWNER_FILE).read_text().strip() or None
    except OSError:
        return None


def _name(lake: Lake) -> str:
    return os.path.realpath(lake.root) if isinstance(lake.root, Path) else str(lake.root)


def _is_other_lake(owner: str, lake: Lake) -> bool:
    """Return whether the owner is another lake that is still there; one that was moved is not."""
    if owner == _name(lake) or "://" in owner:
        return owner != _name(lake)
    try:
        return not os.path.samefile(Path(owner, "version.json"), Path(_name(lake), "version.json"))
    except OSError:  # one of the two is not there
        return Path(owner, "version.json").exists()


@contextmanager
def _translate_storage_errors(home: Path) -> Iterator[None]:
    """Raise a `LakeError` with advice for an error of Dagster's database."""
    try:
        yield
    except Exception as error:
        from sqlalchemy.exc import DBAPIError  # here, as the definitions import this module

        if not isinstance(error, DBAPIError):
            raise
        reason = str(error.orig).partition("\n")[0] or type(error).__name__
        raise _unusable(home, reason, is_full="full" in reason) from error


@contextmanager
def _translate_os_errors(home: Path) -> Iterator[None]:
    """Raise a `LakeError` with advice for an error of the disk."""
    try:
        yield
    except OSError as error:
        raise _unusable(home, error.strerror or str(error), is_full=error.errno == errno.ENOSPC) from error


def _unusable(home: Path, reason: str, *, is_full: bool) -> LakeError:
    if is_full:
        return StorageFull(
            f"no space left for Dagster's files in {home}; free some, or set DAGSTER_HOME to another disk"
        )
    return StorageDenied(
        f"Dagster's files in {home} cannot be read and written ({reason}); make the folder writable, or set "
        "DAGSTER_HOME to another one"
    )
