"""Tags of users, stored by content hash, so that they stay with an image that is renamed, moved, copied or built again.

A tag is usable in filters at once: `sql.row_filter` reads the file when a condition names the column `tags`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from imrec_core.errors import LakeError, QueryError, SchemaMismatch
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

COLUMN = "tags"
"""Name of the column of tags in filters, in SQL and in exports."""

_FORMAT = 1
_LONGEST = 100  # characters of a tag

Tags = Mapping[str, frozenset[str]]
"""Content hashes by tag."""


@dataclass(frozen=True)
class TagFile:
    """The file of the tags of a lake, which need not exist."""

    path: AnyPath

    def status(self) -> files.Status | None:
        """Return the size and version of the file; None if there is none."""
        return files.status(self.path)

    def read(self) -> Tags:
        """Read the tags; empty without a file.

        Raises:
            SchemaMismatch: The file is damaged, or a newer version of imrec wrote it.
        """
        try:
            stored = json.loads(files.read_bytes(self.path))
            if not isinstance(stored, dict) or stored["format"] != _FORMAT:
                raise ValueError(f"it is not of format {_FORMAT}")
            return {str(name): frozenset(map(str, contents)) for name, contents in stored["tags"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise SchemaMismatch(f"{self.path} cannot be read ({error}); correct it, or move it away") from error

    def by_content(self) -> dict[str, list[str]]:
        """Return the tags of each tagged content, sorted; raises as `read`."""
        found = defaultdict(list)
        for name, contents in sorted(self.read().items()):
            for content in contents:
                found[content].append(name)
        return dict(found)

    def digest(self) -> str | None:
        """Return a digest of the tags; None without any. Raises as `read`."""
        tags = {name: sorted(contents) for name, contents in sorted(self.read().items())}
        return hashlib.blake2b(json.dumps(tags).encode(), digest_size=8).hexdigest() if tags else None


def tag_column(by_content: Mapping[str, list[str]], contents: Iterable[str | None]) -> pa.Array:
    """Return the tags of some content hashes as a column of lists."""
    return pa.array([by_content.get(content or "", []) for content in contents], pa.list_(pa.string()))


def tag_file(lake: Lake) -> TagFile:
    """Return the file of the tags of a lake."""
    return TagFile(lake.layout.tags_path)


def change_tag(lake: Lake, name: str, contents: Collection[str], *, remove: bool = False) -> int:
    """Give a tag to contents, or take it away; a tag without contents is gone.

    Args:
        contents: Content hashes of images.

    Returns:
        Number of contents whose tags have changed.

    Raises:
        QueryError: The name is not valid for a tag.
        SchemaMismatch: The file is damaged, or a newer version of imrec wrote it.
        LakeError: The file cannot be written.
    """
    check_name(name)
    lake.check_version()
    file = tag_file(lake)
    try:
        with lake.exclusive_lock("tags"):
            tags = dict(file.read())
            before = tags.pop(name, frozenset())
            after = before - frozenset(contents) if remove else before | frozenset(contents)
            if after != before:
                tags |= {name: after} if after else {}
                stored = {"format": _FORMAT, "tags": {tag: sorted(tags[tag]) for tag in sorted(tags)}}
                files.write_text(file.path, json.dumps(stored, ensure_ascii=False, indent=1))
    except OSError as error:
        raise LakeError(f"cannot write {file.path}: {error.strerror or error}") from error
    return len(before ^ after)


def check_name(name: str) -> None:
    """Require a name that can be a tag.

    Raises:
        QueryError: It cannot.
    """
    if not name.strip() or name != name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise QueryError(
            f"invalid tag {name[:_LONGEST]!r}: expected 1 to {_LONGEST} printable characters without spaces at the ends"
        )
