"""The Dagster instance of a lake: where its files are, and errors of its storage.

Each lake has an instance of its own, by default in its folder `dagster`. Two lakes in one instance would show and run
each other's partitions, so a folder that `DAGSTER_HOME` names belongs to the first lake that uses it.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from imrec_core.errors import LakeError, StorageDenied, StorageFull
from imrec_core.lake.lake import Lake

OWNER_FILE = "imrec-lake"
"""Name of the file in the folder of an instance that holds the path of its lake."""

# nux: a dialog that offers a newsletter. Runs that were killed are retried, runs that failed are not.
_INSTANCE_CONFIG = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
"""


def dagster_home(lake: Lake, home: str | Path | None = None) -> Path:
    """Return the folder of a lake's Dagster instance: `home`, else `DAGSTER_HOME`, else the lake's own.

    Raises:
        LakeError: The folder belongs to another lake.
    """
    path = Path(home or os.environ.get("DAGSTER_HOME") or lake.dagster_home).absolute()
    owner = _owner(path)
    if owner is not None and owner != _name(lake) and _is_lake(owner):
        raise LakeError(
            f"DAGSTER_HOME {path} belongs to the lake {owner}, not to {_name(lake)}; unset it, or name another folder"
        )
    return path


@contextmanager
def open_instance(home: str | Path, lake: Lake | None = None) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder; create it if it is missing, and note its lake.

    Raises:
        LakeError: The storage of the instance cannot be read or written; also for the block.
    """
    home = Path(home).absolute()
    with _translate_storage_errors(home):
        try:
            _prepare(home, lake)
        except OSError as error:
            raise _unusable(home, error.strerror or str(error), is_full=error.errno == errno.ENOSPC) from error
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance


def _prepare(home: Path, lake: Lake | None) -> None:
    """Create the folder with a configuration, and note its lake."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_INSTANCE_CONFIG)
    if lake is not None and home != Path(lake.dagster_home).absolute() and _owner(home) != _name(lake):
        (home / OWNER_FILE).write_text(_name(lake))


def _name(lake: Lake) -> str:
    return os.path.realpath(lake.root) if isinstance(lake.root, Path) else str(lake.root)


def _owner(home: Path) -> str | None:
    try:
        return (home / OWNER_FILE).read_text().strip() or None
    except OSError:
        return None


def _is_lake(name: str) -> bool:
    """Return whether the lake is still there; if it has moved, its instance may be used by another."""
    return "://" in name or Path(name, "version.json").exists()


@contextmanager
def _translate_storage_errors(home: Path) -> Iterator[None]:
    """Raise a `LakeError` with advice for an error of Dagster's database."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0] or type(error).__name__
        raise _unusable(home, reason, is_full="full" in reason) from error


def _unusable(home: Path, reason: str, *, is_full: bool) -> LakeError:
    if is_full:
        return StorageFull(
            f"no space left for Dagster's files in {home}; free some, or set DAGSTER_HOME to another disk"
        )
    return StorageDenied(
        f"Dagster's files in {home} cannot be read and written ({reason}); make the folder writable, or set "
        "DAGSTER_HOME to another one"
    )
