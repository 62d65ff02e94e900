"""What a person decided about duplicates. Noted by content, so that it outlives renaming, moving and new builds."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

from imrec_core.errors import QueryError, SchemaMismatch, UnreadableImage
from imrec_core.generation import open_generation
from imrec_core.lake import Lake
from imrec_core.storage import AnyPath, fingerprint, place, read_bytes

Pair = tuple[str, str]

_FORMAT = 1


@dataclass(frozen=True)
class Decisions:
    """Decisions by content hash.

    Attributes:
        not_duplicate: Pairs that are no duplicates whatever their pixels say; the lesser hash first.
        keep: Contents of which a file is never moved.
    """

    not_duplicate: frozenset[Pair] = frozenset()
    keep: frozenset[str] = frozenset()

    def are_apart(self, a: str, b: str) -> bool:
        """Whether somebody said that the two are no duplicates."""
        return (min(a, b), max(a, b)) in self.not_duplicate


def load_decisions(lake: Lake) -> Decisions:
    """What was decided in a lake.

    Raises:
        SchemaMismatch: The file is damaged, or of a newer imrec.
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
            f"{lake.decisions_path} does not hold decisions of format {_FORMAT}; mend it, or move it away"
        ) from error


def decide_not_duplicate(lake: Lake, a: str, b: str) -> Decisions:
    """Note that two images, given as files or by `image_id`, are no duplicates.

    Raises:
        QueryError: They have the same bytes, or there is no such image.
        UnreadableImage: A file cannot be read.
    """
    first, second = sorted((content_of(lake, a), content_of(lake, b)))
    if first == second:
        raise QueryError(f"{a} and {b} have the same bytes, whatever is decided")
    decided = load_decisions(lake)
    return _stored(lake, replace(decided, not_duplicate=decided.not_duplicate | {(first, second)}))


def decide_keep(lake: Lake, image: str) -> Decisions:
    """Note that a file of this content is always to stay; raises as `decide_not_duplicate`."""
    decided = load_decisions(lake)
    return _stored(lake, replace(decided, keep=decided.keep | {content_of(lake, image)}))


def forget(lake: Lake, image: str) -> Decisions:
    """Take back all that was decided about an image; raises as `decide_not_duplicate`."""
    decided, content = load_decisions(lake), content_of(lake, image)
    pairs = frozenset(pair for pair in decided.not_duplicate if content not in pair)
    return _stored(lake, Decisions(pairs, decided.keep - {content}))


def _stored(lake: Lake, decided: Decisions) -> Decisions:
    lake.check_version()
    lake.save_decisions(
        {
            "format": _FORMAT,
            "not_duplicate": sorted(map(list, decided.not_duplicate)),
            "keep": sorted(decided.keep),
        }
    )
    return decided


def content_of(lake: Lake, image: str | os.PathLike[str]) -> str:
    """The content hash of a file, or of an image of the lake by its `image_id`.

    Raises:
        UnreadableImage: The file cannot be read.
        QueryError: It is neither a file nor an image of the lake.
    """
    path = place(image)
    if fingerprint(path) is None and len(str(image)) == 16:
        generation = open_generation(lake)
        return str(generation.columns("content_hash")["content_hash"][generation.row_of(str(image))].as_py())
    return hash_file(path)


def hash_file(path: str | os.PathLike[str] | AnyPath) -> str:
    """The content hash of a file's bytes, as `images` has it.

    Raises:
        UnreadableImage: It cannot be read.
    """
    try:
        data = read_bytes(place(path))
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return hashlib.blake2b(data, digest_size=16).hexdigest()
