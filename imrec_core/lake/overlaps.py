"""Overlaps of sources: two that are the same folder, or one inside the other, by whatever path.

Links, mounts and names that differ in case only are seen through, by the device and inode of each folder. A folder that
is away is compared by its path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from imrec_core.errors import BadSettings
from imrec_core.lake.storage.files import AnyPath

_Identity: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Overlap:
    """Two sources with common images.

    Attributes:
        outer: Name of one of two that are the same folder, or of the one that contains the other.
        inner: Name of the other.
        is_same: Whether they are the same folder.
    """

    outer: str
    inner: str
    is_same: bool


def find_overlap(sources: Mapping[str, AnyPath]) -> Overlap | None:
    """Return the first overlap of sources, by their order; None if there is none."""
    owner: dict[_Identity, str] = {}
    for name, root in sources.items():
        for identity in _identities(root):
            if owner.setdefault(identity, name) != name:
                return Overlap(owner[identity], name, True)
    for name, root in sources.items():
        for parent in _parents(root):
            for identity in _identities(parent):
                if owner.get(identity, name) != name:
                    return Overlap(owner[identity], name, False)
    return None


def require_disjoint(sources: Mapping[str, AnyPath]) -> None:
    """Require that no two sources overlap.

    Raises:
        BadSettings: Two do; each image of both would be found twice.
    """
    found = find_overlap(sources)
    if found is None:
        return
    outer, inner = (f"{name!r} ({sources[name]})" for name in (found.outer, found.inner))
    how = f"sources {outer} and {inner} are the same folder" if found.is_same else f"source {inner} is inside {outer}"
    raise BadSettings(
        f"lake.toml: {how}, so that its images would be found twice; keep one of them, for example by: "
        f"imrec sources drop {found.inner}"
    )


def overlapping_source(sources: Mapping[str, AnyPath], root: AnyPath) -> str | None:
    """Return the name of the source that is the same folder; None if the folder is none of them.

    Raises:
        BadSettings: The folder contains a source, or is inside one.
    """
    for name, folder in sources.items():
        overlap = find_overlap({name: folder, "": root})
        if overlap is None:
            continue
        if overlap.is_same:
            return name
        if overlap.inner == name:
            raise BadSettings(
                f"{root} contains source {name!r} ({folder}), whose images would be there twice; first run: "
                f"imrec sources drop {name}"
            )
        raise BadSettings(f"{root} is inside source {name!r} ({folder}); its images are in the lake already")
    return None


def _identities(root: AnyPath) -> Iterator[_Identity]:
    """Yield what is equal for two paths of one folder: its resolved path, and its device and inode if it is there."""
    if not isinstance(root, Path):
        yield ("url", str(root).rstrip("/"))
        return
    yield ("path", os.path.realpath(root))
    try:
        status = os.stat(root)
    except (OSError, ValueError):
        return
    if status.st_ino:  # 0 on file systems without inodes
        yield ("inode", status.st_dev, status.st_ino)


def _parents(root: AnyPath) -> Iterator[AnyPath]:
    """Yield the folders that contain a root, the nearest first, without links."""
    yield from (Path(os.path.realpath(root)) if isinstance(root, Path) else root).parents
