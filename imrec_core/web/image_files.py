"""Files of images, found by image id and only within the sources of the lake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath
from imrec_core.web.responses import ApiError
from imrec_core.web.state import AppState

_COLUMNS = ("source", "path", "content_hash", "byte_size", "mtime_ns")


def file_info(state: AppState, image_id: str) -> dict[str, Any]:
    """Return source, path, content hash, size and modification time of an image's file.

    Raises:
        ApiError: 404, there is no such image.
    """
    generation = state.generation
    row = state.row_of(generation, image_id)
    return {name: column[row].as_py() for name, column in _columns(generation).items()}


def _columns(generation: Generation) -> dict[str, Any]:
    table = generation.columns(*_COLUMNS)
    return {name: table[name] for name in _COLUMNS}


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
