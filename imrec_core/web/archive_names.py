"""Names of files in a zip: valid on every system, without collisions, and always below the folder of the reader."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_FORBIDDEN = re.compile(r'[<>:"|?*/\\]')  # by Windows; a backslash separates folders there
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # reserved by Windows
_MAX_BYTES = 200  # of a name; most file systems hold 255
_MAX_FOLDERS = 20


class ArchiveNames:
    """Names that a zip has already, and the next ones."""

    def __init__(self, *reserved: str) -> None:
        self._files = {_key(name) for name in reserved}
        self._folders: set[str] = set()
        self._numbers: dict[str, int] = {}  # last one given to a name

    def add(self, source: str, path: str) -> str:
        """Return the name for a file of a source, `SOURCE/path`, changed as far as needed to be valid and new."""
        parts = [_clean(part) for part in (source, *path.split("/")) if part not in ("", ".")] or ["_"]
        name = "/".join([*parts[:-1][:_MAX_FOLDERS], *parts[-1:]])
        if any(folder in self._files for folder in _folders(name)):  # an entry is a file there
            name = _clean(name)
        name = self._numbered(name)
        self._files.add(_key(name))
        self._folders.update(_folders(name))
        return name

    def _numbered(self, name: str) -> str:
        """Return the name, with a number before its suffix if it is taken."""
        first, given = PurePosixPath(name), _key(name)
        while _key(name) in self._files or _key(name) in self._folders:
            self._numbers[given] = number = self._numbers.get(given, 1) + 1
            name = str(first.with_name(f"{first.stem} ({number}){first.suffix}"))
        return name


def _clean(part: str) -> str:
    """Return a part of a path as a valid name; `..` becomes `_`."""
    text = part.encode("utf-8", "replace").decode()
    text = _FORBIDDEN.sub("_", "".join(c if c.isprintable() else "_" for c in text)).rstrip(" .") or "_"
    text = f"_{text}" if _DEVICE.match(text) else text
    if len(text.encode()) <= _MAX_BYTES:
        return text
    suffix = PurePosixPath(text).suffix[:20]
    stem = text.removesuffix(suffix).encode()[: _MAX_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore").rstrip(" .") + suffix


def _folders(name: str) -> list[str]:
    return [_key(str(folder)) for folder in PurePosixPath(name).parents if str(folder) != "."]


def _key(name: str) -> str:
    """Return a form that is equal for names that some file system holds to be the same."""
    return unicodedata.normalize("NFC", name).casefold()
