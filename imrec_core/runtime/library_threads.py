"""Threads of the libraries that imrec calls from threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from threadpoolctl import threadpool_limits

_lock = threading.Lock()
_restore: list[Callable[[], None]] = []  # what sets the numbers of threads back; empty without a user
_users = 0


@contextmanager
def single_threaded_libraries() -> Iterator[None]:
    """Limit OpenBLAS and OpenCV to one thread per call, for work on many small arrays.

    Products of some hundred descriptors take 10 times the CPU time with two threads of OpenBLAS, and the comparison of
    blank pages 1.4 times with two threads of OpenCV (2026-11). The limits hold for the process, until the last user is
    done.
    """
    global _users
    with _lock:
        if not _users:
            _limit()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            while not _users and _restore:
                _restore.pop()()


def _limit() -> None:
    import cv2

    _restore.append(partial(cv2.setNumThreads, cv2.getNumThreads()))
    _restore.append(threadpool_limits(1, user_api="blas").restore_original_limits)
    cv2.setNumThreads(1)
