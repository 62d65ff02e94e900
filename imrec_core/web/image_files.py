"""The file of an image: found by its id alone, in the generation, and only inside of a source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath
from imrec_core.web.responses import ApiError
from imrec_core.web.state import AppState

_COLUMNS = ("source", "path", "content_hash", "byte_size", "mtime_ns")


def facts_of(serving: AppState, image_id: str) -> dict[str, Any]:
    """What is known of the file of an image.

    Raises:
        Refused: 404, there is no such image.
    """
    generation = serving.generation
    row = serving.row_of(generation, image_id)
    return {name: column[row].as_py() for name, column in _columns(generation).items()}


def _columns(generation: Generation) -> dict[str, Any]:
    table = generation.columns(*_COLUMNS)
    return {name: table[name] for name in _COLUMNS}


def place_of(serving: AppState, facts: dict[str, Any]) -> AnyPath:
    """Where the file of an image lies.

    Raises:
        Refused: 404, in no source once links are followed.
    """
    roots = serving.lake.settings().sources
    root = roots.get(facts["source"])
    if root is None:
        raise ApiError(404, "UnknownImage", f"source {facts['source']} is not in this lake any more")
    path: AnyPath = root / facts["path"]
    if isinstance(path, Path):
        real = os.path.realpath(path)
        inside = (os.path.realpath(of) for of in roots.values() if isinstance(of, Path))
        if not any(os.path.commonpath([real, folder]) == folder for folder in inside):
            raise ApiError(404, "UnknownImage", "the file is a link that leads out of the sources of this lake")
        return Path(real)
    return path
