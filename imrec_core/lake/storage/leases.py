"""What processes of several machines keep from each other, by an object in the store that they share.

Who works puts the object, which the store lets only one do, and writes it anew now and then. One that stays as it is
for longer is that of a process that died, by the clock of whoever waits: clocks of machines are never compared.
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

_RENEWED = 15.0  # seconds after which a lease is written anew
_DEAD = 90.0  # seconds without that, after which its process is taken for dead
_LOOK = 1.0  # seconds between looks while waiting


@contextmanager
def exclusive_lease(path: UPath) -> Iterator[None]:
    """Do some work that no other process does meanwhile, on whatever machine; waits for one that does, and says so.

    Args:
        path: Of the lease, without an ending; its name says what is done, its folder's folder where.

    Raises:
        StorageFault: The object store failed.
    """
    lease = path.with_name(f"{path.name}.json")
    me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    _acquire(lease, me)
    object_store.forget(path.parent.parent)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, me, ended), name=f"imrec-lease-{path.name}", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(StorageFault):  # then the others wait until it is taken for dead
            if _holder(lease) == me:
                object_store.remove(lease)


def _acquire(lease: UPath, me: str) -> None:
    seen, since, said = b"", time.monotonic(), False
    while not object_store.create(lease, _text(me, 0)):
        found = _read(lease)
        if found is None:
            continue  # given back meanwhile
        holder = json.loads(found)["holder"]
        if holder == me:
            return  # it was put, and only the answer was lost
        if found != seen:
            seen, since = found, time.monotonic()
        if _is_dead(holder) or time.monotonic() - since > _DEAD:
            _take_away(lease, found)
            continue
        if not said:
            where, work = lease.parent.parent, lease.stem
            log.warning("%s: waiting for process %s, which is at work on: %s", where, holder, work)
            said = True
        time.sleep(_LOOK)


def _take_away(lease: UPath, found: bytes) -> None:
    """Remove a dead process's lease, unless another did, and has its own there by now."""
    if _read(lease) == found:
        object_store.remove(lease)


def _renew(lease: UPath, me: str, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(_RENEWED):
        beat += 1
        with suppress(StorageFault):  # the next time, perhaps
            if _holder(lease) == me:
                files.write_bytes(lease, _text(me, beat))


def _is_dead(holder: str) -> bool:
    """Whether it is a process of this machine that no longer runs; of others only time can tell."""
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
