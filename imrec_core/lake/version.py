"""Version of the layout of a lake, in `version.json`."""

from __future__ import annotations

import json

from imrec_core.errors import LakeError, MissingTable, SchemaMismatch
from imrec_core.lake.layout import LAKE_VERSION, LakeLayout
from imrec_core.lake.storage import files


def check_version(layout: LakeLayout) -> None:
    """Require a lake that this version of imrec can read.

    Raises:
        MissingTable: The folder is not a lake.
        SchemaMismatch: `version.json` is damaged.
        LakeError: A newer imrec wrote the lake.
    """
    found = read_version(layout)
    if found is None:
        raise MissingTable(
            f"there is no lake at {layout.root}; make one with: imrec build FOLDER, or name another (--lake)"
        )
    if found > LAKE_VERSION:
        raise LakeError(f"{layout.root} is a lake of version {found}, this imrec reads {LAKE_VERSION}; update imrec")


def read_version(layout: LakeLayout) -> int | None:
    """Read the version of a lake; None if there is none.

    Raises:
        SchemaMismatch: `version.json` is damaged.
    """
    text = files.read_text(layout.version_path)
    if text is None:
        return None
    try:
        return int(json.loads(text)["lake"])
    except (ValueError, TypeError, KeyError) as error:
        raise SchemaMismatch(
            f"{layout.version_path} is damaged: found {text[:40]!r}, expected {_written()}; to repair it, delete the "
            "file and run: imrec build"
        ) from error


def write_first_version(layout: LakeLayout) -> None:
    """Write the version of this imrec to a new lake."""
    if read_version(layout) is None:
        files.write_text(layout.version_path, _written())


def _written() -> str:
    return json.dumps({"lake": LAKE_VERSION})
