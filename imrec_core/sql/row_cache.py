"""A cache of the rows that filters and orders have given, for SQL whose result does not change."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

_VOLATILE = re.compile(r"random|now|current|today|tomorrow|yesterday", re.IGNORECASE)


class RowCache:
    """The last results, each an array of rows `(n,)` that cannot be written to. Safe to use from several threads.

    Args:
        size: Number of results. Each takes 8 bytes a row.
    """

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._rows: OrderedDict[Hashable, NDArray[np.int64]] = OrderedDict()

    def get(self, key: Hashable) -> NDArray[np.int64] | None:
        """Return the rows of a key; None if they are not held."""
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
            return self._rows.get(key)

    def put(self, key: Hashable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Hold the rows of a key, in place of those used longest ago, and return them."""
        rows.setflags(write=False)
        with self._lock:
            self._rows[key] = rows
            self._rows.move_to_end(key)
            while len(self._rows) > self._size:
                self._rows.popitem(last=False)
        return rows

    def of(self, key: Hashable, compute: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the rows of a key, computed if they are not held."""
        held = self.get(key)
        return self.put(key, compute()) if held is None else held


def is_volatile(sql: str) -> bool:
    """Test whether SQL of an untrusted client may give other rows each time; some that do not are found volatile."""
    return _VOLATILE.search(sql) is not None
