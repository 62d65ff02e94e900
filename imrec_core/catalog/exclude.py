"""Files and folders that a scan leaves out, by patterns of gitignore."""

from __future__ import annotations

from collections.abc import Iterable

from pathspec import GitIgnoreSpec

from imrec_core.errors import BadSettings

DEFAULT_EXCLUDE = (
    "@eaDir/", "@tmp/", "@Recycle/", "@Recently-Snapshot/", ".@__thumb/", "#recycle/", "#snapshot/",
    "$RECYCLE.BIN/", "$Recycle.Bin/", "RECYCLER/", "System Volume Information/",
    ".Trash*/", ".Trashes/", ".trashed-*", ".thumbnails/", ".Spotlight-V100/", ".fseventsd/",
    ".AppleDouble/", "__MACOSX/", "._*", ".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini",
)  # fmt: skip
"""Thumbnails, recycle bins and metadata of network disks, phones and operating systems."""

_WILD = "*?[\\"


class Exclusions:
    """Patterns of the setting `exclude`, after those that always count.

    The last pattern that matches decides; with a leading `!` it includes what an earlier one excludes. Below a folder
    that is excluded nothing is included.

    Attributes:
        prefixes: All names that a pattern matches begin with one of these. To look at them first takes 0.1 µs a file
            instead of 5 (2026-11).

    Raises:
        BadSettings: A pattern is not valid.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = [*map(_escaped, DEFAULT_EXCLUDE), *patterns]
        self._spec = _compiled(given)
        self.prefixes = _prefixes(given)

    def exclude(self, path: str, name: str) -> bool:
        """Return whether to leave out an entry whose parents are not left out.

        Args:
            path: Relative POSIX path, of a folder with a slash at the end.
            name: The last part of the path.
        """
        if not name.startswith(self.prefixes):
            return False
        return bool(self._spec.match_file(path))

    def cover(self, path: str) -> bool:
        """Return whether a file or a folder that contains it is left out."""
        parts = path.split("/")
        parents = ("/".join(parts[:n]) + "/" for n in range(1, len(parts)))
        names = iter(parts)
        return any(self.exclude(parent, next(names)) for parent in parents) or self.exclude(path, parts[-1])


def _escaped(pattern: str) -> str:
    return f"\\{pattern}" if pattern.startswith("#") else pattern


def _compiled(patterns: Iterable[str]) -> GitIgnoreSpec:
    lines = []
    for pattern in patterns:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise BadSettings(
                f"lake.toml: exclude: {pattern!r} is not a pattern of gitignore; write for example 'drafts/' or '*.tmp'"
            ) from error
        lines.append(pattern)
    return GitIgnoreSpec.from_lines(lines)


def _prefixes(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return how the names that a pattern matches begin; an empty prefix if they may begin with anything."""
    found = set()
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            continue  # blank or a comment
        plain = pattern.removeprefix("!").removeprefix("\\").rstrip("/ ")
        literal = plain[: next((i for i, char in enumerate(plain) if char in _WILD), len(plain))]
        if not literal or "/" in plain:
            return ("",)
        found.add(literal)
    return tuple(sorted(found))
