"""Leases: exclusive locks between processes of several machines, each an object in their object store.

The holder creates the object, which the store allows once, and renews it regularly. A waiting process removes a lease
that has not changed for `_EXPIRY` seconds of its own clock; clocks of different machines are never compared.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from imrec_core.errors import StorageFault
from imrec_core.lake.storage import files, object_store

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_RENEWAL = 15.0  # seconds between renewals
_EXPIRY = 90.0  # seconds without a renewal after which the holder counts as dead
_POLL = 1.0  # seconds between reads while waiting


@contextmanager
def exclusive_lease(path: UPath) -> Iterator[None]:
    """Hold an exclusive lease between processes of all machines.

    If another process holds it, log a warning and wait.

    Args:
        path: Path of the lease without a suffix: `<lake>/<folder>/<work>`.

    Raises:
        StorageFault: The object store failed.
    """
    lease = path.with_name(f"{path.name}.json")
    me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    _acquire(lease, me)
    object_store.invalidate(path.parent.parent)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, me, ended), name=f"imrec-lease-{path.name}", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(StorageFault):  # others then wait until it expires
            if _holder(lease) == me:
                object_store.remove(lease)


def _acquire(lease: UPath, me: str) -> None:
    seen, since, has_warned = b"", time.monotonic(), False
    while not object_store.create(lease, _text(me, 0)):
        found = _read(lease)
        if found is None:
            continue  # released since
        holder = json.loads(found)["holder"]
        if holder == me:
            return  # it was created, but the response was lost
        if found != seen:
            seen, since = found, time.monotonic()
        if _is_dead(holder) or time.monotonic() - since > _EXPIRY:
            _remove_expired(lease, found)
            continue
        if not has_warned:
            where, work = lease.parent.parent, lease.stem
            log.warning("%s: waiting for process %s, which is at work on: %s", where, holder, work)
            has_warned = True
        time.sleep(_POLL)


def _remove_expired(lease: UPath, found: bytes) -> None:
    """Remove the lease of a dead process, unless another process has replaced it."""
    if _read(lease) == found:
        object_store.remove(lease)


def _renew(lease: UPath, me: str, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(_RENEWAL):
        beat += 1
        with suppress(StorageFault):  # the next renewal may succeed
            if _holder(lease) == me:
                files.write_bytes(lease, _text(me, beat))


def _is_dead(holder: str) -> bool:
    """Return whether the holder is a process of this machine that no longer runs. Unknown for other machines."""
    host, pid, _ = holder.rsplit(":", 2)
    return host == socket.gethostname() and not files.is_running(int(pid))


def _text(me: str, beat: int) -> bytes:
    return json.dumps({"holder": me, "beat": beat}).encode()


def _holder(lease: UPath) -> str | None:
    found = _read(lease)
    return None if found is None else str(json.loads(found)["holder"])


def _read(lease: UPath) -> bytes | None:
    try:
        return object_store.read(lease)
    except FileNotFoundError:
        return None
