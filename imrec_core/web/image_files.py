"""Files of images, found by image id and only within the sources of the lake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath
from imrec_core.web.responses import ApiError
from imrec_core.web.state import AppState

FILE_COLUMNS = ("source", "path", "content_hash", "byte_size", "mtime_ns")
"""Columns that tell where the file of an image is, and what it was when it was scanned."""


def file_info(state: AppState, image_id: str) -> dict[str, Any]:
    """Return source, path, content hash, size and modification time of an image's file.

    Raises:
        ApiError: 404, there is no such image.
    """
    generation = state.generation
    row = state.row_of(generation, image_id)
    return {name: column[row].as_py() for name, column in _columns(generation).items()}


def _columns(generation: Generation) -> dict[str, Any]:
    table = generation.columns(*FILE_COLUMNS)
    return {name: table[name] for name in FILE_COLUMNS}


def absolute_path(state: AppState, info: dict[str, Any]) -> str | None:
    """Return the path of an image's file on this machine; None in an object store, and for a source that is gone."""
    root = state.lake.settings().roots.get(info["source"])
    return os.path.abspath(root / info["path"]) if isinstance(root, Path) else None


def resolve_path(state: AppState, info: dict[str, Any]) -> AnyPath:
    """Return the path of an image's file, with symbolic links resolved.

    Raises:
        ApiError: 404, the path is not within a source of the lake.
    """
    roots = state.lake.settings().roots
    root = roots.get(info["source"])
    if root is None:
        raise ApiError(404, "UnknownImage", f"source {info['source']!r} is no longer in this lake")
    path: AnyPath = root / info["path"]
    if isinstance(path, Path):
        real = os.path.realpath(path)
        folders = (os.path.realpath(root) for root in roots.values() if isinstance(root, Path))
        if not any(os.path.commonpath([real, folder]) == folder for folder in folders):
            raise ApiError(404, "UnknownImage", "the file is a symbolic link to outside the sources of this lake")
        return Path(real)
    return path
