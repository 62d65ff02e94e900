"""Storage of fits, such as codebooks and projections, by name and version. One version is in use."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DamagedTable, MissingTable
from imrec_core.lake.layout import LakeLayout
from imrec_core.lake.storage import files
from imrec_core.lake.storage.os_errors import to_lake_error


class FitStore:
    """The fits of one lake."""

    def __init__(self, layout: LakeLayout) -> None:
        self._layout = layout

    def save(self, name: str, version: str, arrays: Mapping[str, NDArray[np.generic]], facts: object) -> None:
        """Store a fit and make it the version in use."""
        path = self._layout.fitted_path(name, version)
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # stubs take the arrays for the flag
        files.write_text(path.with_suffix(".json"), json.dumps(facts, indent=2))
        files.write_text(self._layout.fitted_current_path(name), version)

    def current_version(self, name: str) -> str | None:
        """Return the version in use; None if there is no fit or its file is missing."""
        version = (files.read_text(self._layout.fitted_current_path(name)) or "").strip()
        return version if version and files.exists(self._layout.fitted_path(name, version)) else None

    def facts(self, name: str, version: str) -> dict[str, object]:
        """Read the facts that were stored with a fit."""
        path = self._layout.fitted_path(name, version).with_suffix(".json")
        try:
            return dict(json.loads(files.read_bytes(path)))
        except ValueError as error:
            raise DamagedTable(path, str(error)) from error

    def load(self, name: str, version: str) -> dict[str, NDArray[np.generic]]:
        """Read the arrays of a fit.

        Raises:
            MissingTable: There is no such version.
            DamagedTable: The file is damaged.
        """
        path = self._layout.fitted_path(name, version)
        try:
            file = io.BytesIO(files.read_listed(path))
        except FileNotFoundError as error:
            raise MissingTable(f"{path} is missing; run: imrec build") from error
        except OSError as error:
            raise to_lake_error(error, path) from error
        try:
            with np.load(file) as arrays:
                return dict(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DamagedTable(path, str(error)) from error
