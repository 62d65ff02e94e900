"""Decisions of users about duplicates, stored by content hash, so that they survive renames, moves and builds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imrec_core.errors import LakeError, QueryError, SchemaMismatch, UnreadableImage
from imrec_core.images.decode import MAX_BYTES
from imrec_core.images.hashing import content_hash
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import AnyPath, fingerprint, place, read_bytes

Pair = tuple[str, str]

_FORMAT = 1


@dataclass(frozen=True)
class Decisions:
    """Decisions by content hash.

    Attributes:
        not_duplicate: Pairs that are never reported as duplicates, the smaller hash first.
        keep: Contents of which one file is never moved.
    """

    not_duplicate: frozenset[Pair] = frozenset()
    keep: frozenset[str] = frozenset()

    def are_apart(self, a: str, b: str) -> bool:
        """Test whether two contents are marked as no duplicates."""
        return (min(a, b), max(a, b)) in self.not_duplicate


def load_decisions(lake: Lake) -> Decisions:
    """Read the decisions of a lake.

    Raises:
        SchemaMismatch: The file is damaged, or a newer version of imrec wrote it.
    """
    stored = lake.load_decisions()
    if stored is None:
        return Decisions()
    try:
        assert isinstance(stored, dict) and stored["format"] == _FORMAT
        pairs = frozenset((min(a, b), max(a, b)) for a, b in stored["not_duplicate"])
        return Decisions(pairs, frozenset(map(str, stored["keep"])))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise SchemaMismatch(
            f"{lake.decisions_path} is not a decisions file of format {_FORMAT}; repair or remove it"
        ) from error


def decide_not_duplicate(lake: Lake, a: str, b: str) -> Decisions:
    """Mark two images, given as files or by `image_id`, as no duplicates.

    Raises:
        QueryError: The images have the same bytes, or there is no such image.
        UnreadableImage: A file cannot be read.
        LakeError: The decision cannot be written.
    """
    contents = content_of(lake, a), content_of(lake, b)
    if contents[0] == contents[1]:
        raise QueryError(f"{a} and {b} have the same bytes, and cannot be marked as no duplicates")
    return decide(lake, apart=contents)


def decide_keep(lake: Lake, image: str) -> Decisions:
    """Mark the content of an image as never to be moved; raises as `decide_not_duplicate`."""
    return decide(lake, keep=content_of(lake, image))


def forget(lake: Lake, image: str) -> Decisions:
    """Remove all decisions about an image; raises as `decide_not_duplicate`."""
    content = content_of(lake, image)
    with _lock(lake):
        decided = load_decisions(lake)
        pairs = frozenset(pair for pair in decided.not_duplicate if content not in pair)
        return _save(lake, Decisions(pairs, decided.keep - {content}))


def decide(lake: Lake, *, keep: str | None = None, apart: Pair | None = None, undo: bool = False) -> Decisions:
    """Add a decision about contents, given by their hashes, or remove it.

    Args:
        keep: Content of which one file is never moved.
        apart: Two contents that are no duplicates.
        undo: Remove the decision instead of adding it.

    Raises:
        QueryError: The two contents are equal.
        LakeError: The decision cannot be written.
    """
    kept = frozenset() if keep is None else frozenset({keep})
    if apart is not None and apart[0] == apart[1]:
        raise QueryError("the two images have the same bytes, and cannot be marked as no duplicates")
    pairs = frozenset() if apart is None else frozenset({(min(apart), max(apart))})
    with _lock(lake):
        decided = load_decisions(lake)
        if undo:
            return _save(lake, Decisions(decided.not_duplicate - pairs, decided.keep - kept))
        return _save(lake, Decisions(decided.not_duplicate | pairs, decided.keep | kept))


@contextmanager
def _lock(lake: Lake) -> Iterator[None]:
    """Allow one change at a time, so that none is lost."""
    lake.check_version()
    try:
        with lake.exclusive_lock("decisions"):
            yield
    except OSError as error:
        raise LakeError(f"cannot write {lake.decisions_path}: {error.strerror or error}") from error


def _save(lake: Lake, decided: Decisions) -> Decisions:
    lake.save_decisions(
        {
            "format": _FORMAT,
            "not_duplicate": sorted(map(list, decided.not_duplicate)),
            "keep": sorted(decided.keep),
        }
    )
    return decided


def content_of(lake: Lake, image: str | os.PathLike[str]) -> str:
    """Return the content hash of a file, or of an image of the lake by its `image_id`.

    Raises:
        UnreadableImage: The file cannot be read.
        QueryError: There is no such file or image.
    """
    path = place(image)
    if fingerprint(path) is None and len(str(image)) == 16:
        generation = open_generation(lake)
        return str(generation.columns("content_hash")["content_hash"][generation.row_of(str(image))].as_py())
    return hash_file(path)


def hash_file(path: str | os.PathLike[str] | AnyPath) -> str:
    """Compute the content hash of a file, as stored in the table `images`.

    Raises:
        UnreadableImage: The file cannot be read.
    """
    try:
        data = read_bytes(place(path), at_most=MAX_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return content_hash(data)
