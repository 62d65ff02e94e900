"""Rules that select the files of a group to keep, and why.

The rule `original` compares, in this order: whether a file was made from another one of the group, by its pixels;
metadata of a camera or an editor, which copies lose; pixels; bits per channel; transparency; storage without loss;
bytes; the date. Decisions of the user come before every rule, and whole files before damaged ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imrec_core.duplicates.contents import Copy
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.derivation import CHANGES
from imrec_core.duplicates.verified_pairs import VerifiedPair
from imrec_core.errors import QueryError, UnknownName
from imrec_core.images.color_profile import DAMAGED

DEFAULT = "original"
_LOSSLESS_FORMATS = ("PNG", "TIFF", "BMP", "PPM", "TGA")

Changes = Mapping[str, VerifiedPair]
"""Pairs of an original and a content that was made from it, by that content."""

NO_CHANGES: Changes = {}

RULES = (DEFAULT, "largest", "oldest")
"""Rules without an argument; `source:NAME` is the other one."""


@dataclass(frozen=True)
class _Criterion:
    """One step of a rule: the file with the smallest value is kept.

    Attributes:
        why: Reason that is shown for a file that is kept by this step.
    """

    value: Callable[[Copy], Any]
    why: Callable[[Copy], str]


_METADATA = _Criterion(lambda copy: -_metadata_count(copy), lambda copy: f"has {_metadata_words(copy)}")
_PIXELS = _Criterion(lambda copy: -copy.width * copy.height, lambda copy: "has more pixels")
_DEPTH = _Criterion(lambda copy: -(copy.bit_depth or 0), lambda copy: f"has {copy.bit_depth} bits per channel")
_ALPHA = _Criterion(lambda copy: not copy.has_alpha, lambda copy: "has transparency")
# Near copies of other pixels: a JPEG was made of the PNG, as a PNG made of that JPEG would have the same pixels.
_LOSSLESS = _Criterion(lambda copy: copy.format not in _LOSSLESS_FORMATS, lambda copy: "is stored without loss")
_BYTES = _Criterion(lambda copy: -copy.byte_size, lambda copy: "has more bytes")
_DATE = _Criterion(lambda copy: date_of(copy)[0], lambda copy: f"is older, by the time {date_of(copy)[1]}")

_STEPS = {
    "original": (_METADATA, _PIXELS, _DEPTH, _ALPHA, _LOSSLESS, _BYTES, _DATE),
    "largest": (_PIXELS, _BYTES, _DATE),
    "oldest": (_DATE, _PIXELS, _BYTES),
}


def resolve_rule(keep: str | None, between: tuple[str, str] | None, sources: Iterable[str]) -> str:
    """Resolve the rule of files to keep.

    Raises:
        UnknownName: There is no such source.
        QueryError: There is no such rule, or it contradicts `between`.
    """
    known = list(sources)
    for name in between or ():
        if name not in known:
            raise UnknownName("source", name, known)
    if between:
        if between[0] == between[1]:
            raise QueryError(f"between needs two different sources; both are {between[0]!r}")
        rule = f"source:{between[0]}"
        if keep not in (None, rule):
            raise QueryError(f"keep is {keep!r}; between two sources it must be {rule!r}")
        return rule
    rule = keep or DEFAULT
    kind, colon, name = rule.partition(":")
    if kind == "source" and colon:
        if name not in known:
            raise UnknownName("source", name, known)
    elif rule not in RULES:
        raise QueryError(f"keep is {rule!r}; it must be {', '.join(RULES)} or source:NAME")
    return rule


def changes_of(pairs: Iterable[VerifiedPair], copies: Sequence[Copy]) -> Changes:
    """Select the pairs of which one was made from the other.

    A file does not count as made from another one that lacks its metadata of a camera: copies lose that.
    """
    shots: dict[str, set[str]] = {}
    for copy in copies:
        shots.setdefault(copy.content_hash, set()).update(_shot(copy))
    changes = {}
    for pair in pairs:
        if pair.original is None or not shots.keys() >= set(pair.contents):
            continue
        made = pair.contents[pair.contents[0] == pair.original]
        if shots[made] <= shots[pair.original]:
            changes[made] = pair
    return changes


def sort_key(rule: str, decided: Decisions, changes: Changes = NO_CHANGES) -> Callable[[Copy], tuple[Any, ...]]:
    """Return a sort key that puts the preferred file first.

    Args:
        changes: See `changes_of`.
    """
    steps = _steps(rule, decided, changes)

    def key(copy: Copy) -> tuple[Any, ...]:
        return (*(step.value(copy) for step in steps), copy.source, copy.below)

    return key


def reason_to_keep(copies: Sequence[Copy], rule: str, decided: Decisions, changes: Changes = NO_CHANGES) -> str:
    """Say why the first file is kept rather than the others: the first step of the rule in which it is better."""
    first, others = copies[0], copies[1:]
    for step in _steps(rule, decided, changes):
        if any(step.value(other) > step.value(first) for other in others):
            return step.why(first)
    return "is first by path, as nothing else differs"


def date_of(copy: Copy) -> tuple[datetime, str]:
    """Return the date of an image and what it is: the time when it was taken, else that of the file.

    The camera's clock has an unknown time zone; it counts as UTC.
    """
    if copy.taken:
        return datetime.fromisoformat(copy.taken).replace(tzinfo=UTC), "taken"
    return datetime.fromtimestamp(copy.mtime_ns / 1e9, UTC), "of the file"


def _steps(rule: str, decided: Decisions, changes: Changes) -> tuple[_Criterion, ...]:
    kind, _, source = rule.partition(":")
    decision = _Criterion(lambda copy: copy.content_hash not in decided.keep, lambda copy: "is always kept by decision")
    whole = _Criterion(lambda copy: bool(copy.damaged), lambda copy: "is not damaged")
    original = _Criterion(lambda copy: copy.content_hash in changes, lambda copy: _why_original(copy, changes))
    if kind == DEFAULT:
        return decision, whole, original, *_STEPS[kind]
    if kind != "source":
        return decision, whole, *_STEPS[kind]
    in_source = _Criterion(lambda copy: copy.source != source, lambda copy: f"is in the source {source}")
    return decision, in_source, whole, original, *_STEPS[DEFAULT]


def _why_original(copy: Copy, changes: Changes) -> str:
    for pair in changes.values():
        if pair.original == copy.content_hash:
            return f"is the original: another file {CHANGES[str(pair.change)]}"
    return "was not made from another file"


def _shot(copy: Copy) -> list[str]:
    """Name the metadata that only a camera writes."""
    has_place = None not in (copy.latitude, copy.longitude)
    facts = {"the time taken": copy.taken, "a camera": copy.camera, "the place taken": has_place}
    return [name for name, fact in facts.items() if fact]


def _metadata(copy: Copy) -> list[str]:
    has_profile = copy.color_profile not in (None, DAMAGED)
    return [*_shot(copy), *(["a colour profile"] if has_profile else [])]


def _metadata_count(copy: Copy) -> int:
    return len(_metadata(copy))


def _metadata_words(copy: Copy) -> str:
    return " and ".join(_metadata(copy))
