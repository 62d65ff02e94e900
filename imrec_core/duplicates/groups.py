"""Which images of a lake are copies of each other: candidates by vectors, verified pair by pair, in groups.

In a group every pair holds. Of each group one file is to stay, by a rule that is stated; `move_plan` carries the others
away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from imrec_core.contact_sheet import Cell
from imrec_core.duplicates.candidates import edited_pairs, near_pairs
from imrec_core.duplicates.cliques import cliques
from imrec_core.duplicates.comparison import IDENTICAL, TIERS, Comparison, checked_tier
from imrec_core.duplicates.contents import Contents, Copy, Pairs
from imrec_core.duplicates.decisions import Decisions, load_decisions
from imrec_core.duplicates.verification import Verifier
from imrec_core.errors import QueryError, UnknownName
from imrec_core.generation import Generation, open_generation
from imrec_core.lake import Lake
from imrec_core.notebook import grid
from imrec_core.storage import place

_IN_NOTEBOOK, _GROUPS_IN_NOTEBOOK = 12, 3  # files of a group, and groups, that a notebook shows


@dataclass(frozen=True)
class VerifiedPair:
    """Two contents of a group, and what verified them."""

    contents: tuple[str, str]
    tier: str
    agreement: float
    how: str


@dataclass(frozen=True)
class Group:
    """Files that are copies of each other, every pair of them.

    Attributes:
        tier: The widest among its pairs.
        copies: The representative first, then others that stay, then the rest.
        pairs: Every pair of different contents.
    """

    tier: str
    copies: tuple[Copy, ...]
    pairs: tuple[VerifiedPair, ...]

    @property
    def representative(self) -> Copy:
        return self.copies[0]

    @property
    def place(self) -> tuple[str, str]:
        """What groups are in the order of."""
        return self.representative.source, self.representative.below

    def _repr_html_(self) -> str:
        """How a notebook shows it: the files side by side, those that stay in a frame."""
        cells = [
            Cell(place(c.path), (f"{c.width}×{c.height}, {-(-c.byte_size // 1000)} kB", c.below), framed=c.is_kept)
            for c in self.copies
        ]
        return grid([f"{len(cells)} files, {self.tier}; framed is what stays"], cells, most=_IN_NOTEBOOK)


@dataclass(frozen=True)
class Duplicates(Sequence[Group]):
    """What was found.

    Attributes:
        groups: In the order of their representatives' places.
        tier: The widest that was looked for.
        keep: The rule by which one stays.
        between: The two sources that were compared, if that was asked for.
        compared: Pairs whose pixels were looked at.
        left_out: Files that are gone, changed since the last build, or no longer readable.
    """

    groups: tuple[Group, ...]
    tier: str
    keep: str
    between: tuple[str, str] | None
    generation: str
    compared: int
    left_out: tuple[str, ...] = ()
    roots: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Any:
        return self.groups[index]

    def __len__(self) -> int:
        return len(self.groups)

    def _repr_html_(self) -> str:
        """How a notebook shows them: the first groups."""
        some = self.groups[:_GROUPS_IN_NOTEBOOK]
        said = f"{len(self)} groups, {sum(len(group.copies) for group in self)} files"
        if len(self) > len(some):
            said += f"; the first {len(some)} groups"
        return grid([said], []) + "".join(group._repr_html_() for group in some)

    def keeping(self, keep: str | None, decided: Decisions) -> Duplicates:
        """The same groups with the files that stay by another rule, and by what was decided to be kept.

        Nothing is compared again: `decided.not_duplicate` is not heeded.

        Raises:
            UnknownName: No such source.
            QueryError: The rule is not known.
        """
        rule = checked_rule(keep, self.between, self.roots)
        groups = (_kept(group, rule, decided, self.between) for group in self.groups)
        return replace(self, groups=tuple(sorted(groups, key=lambda group: group.place)), keep=rule)

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what `imrec duplicates --json` prints."""
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)


def find_duplicates(
    lake: Lake | str | os.PathLike[str],
    *,
    tier: str = "near",
    keep: str | None = None,
    between: tuple[str, str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    known: dict[tuple[str, str], Comparison] | None = None,
) -> Duplicates:
    """Groups of images that are copies of each other.

    Args:
        lake: As it was built last; files that are gone or changed since are left out, and named.
        tier: The widest of `TIERS` that is looked for.
        keep: Which of a group is its representative: `largest` (most pixels, then most bytes, then the oldest; the
            default), `oldest` (by the file's time, then the largest) or `source:NAME` (of that source, then the
            largest). What was decided to be kept comes before any rule.
        between: Two sources: copies of images of the first in the second. A group is then all files of two contents,
            or of one, so that no grouping hides a pair; the files of the first source stay.
        progress: Is told what is being done.
        known: What earlier calls with this tier found, by two content hashes, the lesser first: pictures that are in
            it are not read again, and what is found now is added.

    Raises:
        UnknownName: No such tier, or source.
        QueryError: The rule is not known, or a feature is missing that candidates come from.
        LakeError: The lake was never built, or cannot be read.
    """
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    checked_tier(tier)
    generation = open_generation(lake)
    roots = lake.settings().sources
    keep = checked_rule(keep, between, roots)
    decided = load_decisions(lake)
    contents = Contents(generation, roots, between)
    verifier = Verifier(contents, decided, tier, lake.settings().max_pixels, {} if known is None else known)
    if tier != "identical" and len(contents):
        progress("looking for candidates")
        pairs = contents.across(_candidates(generation, contents, tier))
        verifier.verify(pairs, progress)
    members = _between(contents, verifier) if between else _grouped(contents, verifier)
    groups = tuple(filter(None, (_group(contents, verifier, some, between) for some in members)))
    left_out = tuple(sorted(contents.left_out))
    places = {name: str(root) for name, root in roots.items()}
    found = Duplicates(groups, tier, keep, between, generation.id, len(verifier.found), left_out, places)
    return found.keeping(keep, decided)


def _candidates(generation: Generation, contents: Contents, tier: str) -> Pairs:
    """Pairs of contents that may be copies."""
    rows = contents.rows
    pairs = near_pairs(generation, rows)
    if tier == "edited":
        pairs = np.unique(np.concatenate([pairs, edited_pairs(generation, rows)]), axis=0)
    return pairs


def _grouped(contents: Contents, verifier: Verifier) -> list[tuple[int, ...]]:
    """Contents that belong together: cliques, and those with several files that are in none."""
    found = cliques(verifier.held, verifier.holds)
    taken = {i for group in found for i in group}
    return found + [(i,) for i in contents.repeated if i not in taken]


def _between(contents: Contents, verifier: Verifier) -> list[tuple[int, ...]]:
    """Pairs that hold, and contents with several files."""
    return [*verifier.held, *((i,) for i in contents.repeated)]


def _group(
    contents: Contents, verifier: Verifier, members: tuple[int, ...], between: tuple[str, str] | None
) -> Group | None:
    """The files of those contents, of which none is said to stay yet; None where too few are left."""
    copies = tuple(copy for i in members for copy in contents.copies(i))
    if len(copies) < 2 or (between and not {copy.source for copy in copies}.issuperset(between)):
        return None
    pairs = [(i, j) for k, i in enumerate(members) for j in members[k + 1 :]]
    found = [verifier.found[pair] for pair in pairs]
    tiers = [str(comparison.tier) for comparison in found] or [str(IDENTICAL.tier)]
    verified = (
        VerifiedPair((str(contents.names[i]), str(contents.names[j])), str(f.tier), f.agreement, f.how)
        for (i, j), f in zip(pairs, found, strict=True)
    )
    return Group(max(tiers, key=TIERS.index), copies, tuple(verified))


# -- what stays ---------------------------------------------------------------------------------------------


def checked_rule(keep: str | None, between: tuple[str, str] | None, sources: Iterable[str]) -> str:
    """The rule by which files stay, as `find_duplicates` takes and refuses it."""
    known = list(sources)
    for name in between or ():
        if name not in known:
            raise UnknownName("source", name, known)
    if between:
        if between[0] == between[1]:
            raise QueryError(f"give two different sources; both are {between[0]!r}")
        rule = f"source:{between[0]}"
        if keep not in (None, rule):
            raise QueryError(f"between two sources the files of the first stay; keep can only be {rule!r}")
        return rule
    rule = keep or "largest"
    kind, colon, name = rule.partition(":")
    if kind == "source" and colon:
        if name not in known:
            raise UnknownName("source", name, known)
    elif rule not in ("largest", "oldest"):
        raise QueryError(f"keep is {rule!r}; it must be largest, oldest or source:NAME")
    return rule


def _kept(group: Group, rule: str, decided: Decisions, between: tuple[str, str] | None) -> Group:
    """The group with the files that stay in front, the representative first."""
    copies = sorted(group.copies, key=_order(rule, decided))
    stays = {copies[0].image_id}
    firsts = {copy.content_hash: copy for copy in reversed(copies)}
    stays |= {firsts[content].image_id for content in firsts.keys() & decided.keep}
    if between:
        stays |= {copy.image_id for copy in copies if copy.source == between[0]}
    marked = [replace(copy, is_kept=copy.image_id in stays) for copy in copies]
    return replace(group, copies=tuple(sorted(marked, key=lambda copy: not copy.is_kept)))


def _order(rule: str, decided: Decisions) -> Callable[[Copy], tuple[Any, ...]]:
    """Sorts the best to keep to the front."""
    kind, _, source = rule.partition(":")

    def key(copy: Copy) -> tuple[Any, ...]:
        largest = (-copy.width * copy.height, -copy.byte_size)
        by_rule = (copy.mtime_ns, *largest) if kind == "oldest" else (*largest, copy.mtime_ns)
        is_elsewhere = kind == "source" and copy.source != source
        return (copy.content_hash not in decided.keep, is_elsewhere, *by_rule, copy.source, copy.below)

    return key
