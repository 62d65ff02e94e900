"""Retries of requests to disks and object stores after transient faults."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES = 6
FIRST_WAIT = 0.2  # seconds; each further wait is twice as long


def retry(request: Callable[[], T], is_transient: Callable[[Exception], bool], *, patience: float = math.inf) -> T:
    """Call `request` until it succeeds, at most `TRIES` times.

    Args:
        is_transient: Whether another call may succeed after this error.
        patience: Seconds; a call that took longer before it failed is not repeated.

    Raises:
        Exception: What the last call raised.
    """
    for tries in range(1, TRIES):
        started = time.monotonic()
        try:
            return request()
        except Exception as error:  # every store has its own classes
            if not is_transient(error) or time.monotonic() - started > patience:
                raise
        time.sleep(FIRST_WAIT * 2 ** (tries - 1))
    return request()
