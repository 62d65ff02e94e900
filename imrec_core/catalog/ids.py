"""Image ids, and detection of escaped paths that were not UTF-8."""

from __future__ import annotations

import hashlib
import os


def image_id(source: str, path: str) -> str:
    """Compute the id of an image: the first 64 bits of BLAKE2b over source name, NUL and relative POSIX path, in hex.

    Args:
        path: May contain surrogate escapes for bytes that are not UTF-8, as from the `os` module.
    """
    key = source.encode() + b"\0" + os.fsencode(path)
    return hashlib.blake2b(key, digest_size=64).hexdigest()[:16]


def is_escaped(source: str, path: str, identity: str) -> bool:
    """Return whether a stored path is escaped, so that no file can be opened by it."""
    return image_id(source, path) != identity
