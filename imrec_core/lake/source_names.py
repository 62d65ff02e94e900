"""Names and places of sources and files, as users give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from imrec_core.errors import BadSettings
from imrec_core.lake.storage.files import AnyPath, is_url, place

NAME = re.compile(r"\w+([.-]\w+)*")  # safe in file names, SQL strings and Dagster's partition ranges


def check_source_name(name: str) -> None:
    """Require a valid name of a source.

    Raises:
        BadSettings: The name is not safe in file names, SQL strings and Dagster's partition ranges.
    """
    if not NAME.fullmatch(name):
        raise BadSettings(
            f"lake.toml: invalid source name {name!r}: expected letters, digits, '_', and single '-' or '.'; "
            f"try {slug(name) or 'photos'!r}"
        )


def slug(text: str) -> str:
    """Turn text into a source name: drop accents, and replace other characters by one '-'."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-").lower()


def parse_source(text: str) -> tuple[str | None, AnyPath]:
    """Parse `FOLDER` or `NAME=FOLDER` into the name, None if there is none, and the folder.

    Raises:
        BadSettings: The folder is empty.
    """
    name, equals, folder = text.partition("=")
    if equals and "/" not in name and not Path(text).exists():
        return name, absolute_place(folder)
    return None, absolute_place(text)


def absolute_place(text: str) -> AnyPath:
    """Return the absolute path of a folder or file, or a URL as it is.

    Raises:
        BadSettings: The text is empty.
    """
    if not text.strip():
        raise BadSettings(f"{text!r} is no folder: expected a path or a URL, or '.' for the current folder")
    return place(text) if is_url(text) else Path(text).expanduser().absolute()


def canonical(file: str) -> str:
    """Normalise the path or URL of a file, so that equal files compare equal."""
    return file if is_url(file) else str(Path(file).resolve())


def free_name(name: str, taken: Mapping[str, AnyPath]) -> str:
    """Return the name, with a number behind it if it is taken."""
    candidates = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(c for c in candidates if c not in taken)
