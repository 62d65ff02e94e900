"""Image ids, and how paths that are not UTF-8 are written."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def image_id(source: str, path: str) -> str:
    """Identity of a place: the first 64 bits of BLAKE2b over source name, NUL and relative POSIX path, in hex.

    `path` may hold surrogate escapes for bytes that are no UTF-8, as the `os` module gives them.
    """
    key = source.encode() + b"\0" + os.fsencode(path)
    return hashlib.blake2b(key, digest_size=64).hexdigest()[:16]


def is_escaped(source: str, path: str, identity: str) -> bool:
    """Whether a stored path is an escaped one, under which no file can be opened."""
    return image_id(source, path) != identity
