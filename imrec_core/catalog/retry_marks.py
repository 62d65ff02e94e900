"""Marks on images that could not be read: the next scan asks the build to read their files again."""

from __future__ import annotations

import json
from collections.abc import Collection

from imrec_core.errors import LakeError, SchemaMismatch
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files

_FORMAT = 1


def load(lake: Lake) -> frozenset[str]:
    """Return the ids of the marked images; none without a file.

    Raises:
        SchemaMismatch: The file is damaged, or a newer version of imrec wrote it.
    """
    path = lake.layout.retry_path
    try:
        stored = json.loads(files.read_bytes(path))
        if not isinstance(stored, dict) or stored["format"] != _FORMAT:
            raise ValueError(f"it is not of format {_FORMAT}")
        return frozenset(map(str, stored["images"]))
    except FileNotFoundError:
        return frozenset()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SchemaMismatch(f"{path} cannot be read ({error}); move it away") from error


def change(lake: Lake, images: Collection[str], *, remove: bool = False) -> int:
    """Mark images by id, or remove their marks; return how many marks have changed.

    Raises:
        SchemaMismatch: The file of the marks is damaged, or a newer version of imrec wrote it.
        LakeError: It cannot be written.
    """
    path = lake.layout.retry_path
    try:
        with lake.exclusive_lock("retry"):
            before = load(lake)
            after = before - frozenset(images) if remove else before | frozenset(images)
            if not after:
                files.remove(path)
            elif after != before:
                files.write_text(path, json.dumps({"format": _FORMAT, "images": sorted(after)}, indent=1))
    except OSError as error:
        raise LakeError(f"cannot write {path}: {error.strerror or error}") from error
    return len(before ^ after)
