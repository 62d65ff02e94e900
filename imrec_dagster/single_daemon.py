"""One Dagster daemon for an instance: two of them launch runs twice, and fail each other's.

`imrec ui` holds a file lock while it runs. A daemon that another command started, or that outlived a killed `imrec ui`,
is known by its heartbeats alone. A heartbeat tells no process, so a recent one is watched until the next one is due.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from imrec_core.errors import ImrecError

log = logging.getLogger(__name__)

_LOCK_FILE = "imrec-ui.lock"
_INTERVAL = 30.0  # seconds between two heartbeats of each of the daemon's threads
_LATE = 5.0  # seconds that a heartbeat may be late


@contextmanager
def only_daemon(home: Path, instance: dg.DagsterInstance) -> Iterator[None]:
    """Hold the place of the one daemon of an instance; forget its heartbeats at the end.

    Raises:
        ImrecError: Another daemon runs over this instance. After a daemon was killed, waits up to 35 seconds to tell.
    """
    lock = FileLock(home / _LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ImrecError(f"imrec ui runs over {home} already; use its page, or stop it first") from error
    try:
        if _beats(instance):
            raise ImrecError(
                f"a Dagster daemon runs over {home} already; stop it first (to find it: pgrep -af 'dagster.*daemon')"
            )
        yield
        instance.wipe_daemon_heartbeats()  # else the next start would have to watch them
    finally:
        lock.release()


def _beats(instance: dg.DagsterInstance) -> bool:
    """Watch a recent heartbeat until it is renewed or overdue; return whether it was renewed."""
    first = _last_heartbeat(instance)
    overdue = min(first, time.time()) + _INTERVAL + _LATE  # the clock of another machine may be ahead
    if (wait := overdue - time.time()) > 0:
        log.warning("a Dagster daemon ran a moment ago; watching for up to %.0f s whether it still does", wait)
    while (left := overdue - time.time()) > 0:
        time.sleep(min(left, 0.5))
        if _last_heartbeat(instance) > first:
            return True
    return False


def _last_heartbeat(instance: dg.DagsterInstance) -> float:
    return max((beat.timestamp for beat in instance.get_daemon_heartbeats().values()), default=0.0)
