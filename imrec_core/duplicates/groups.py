"""Groups of duplicates in a lake: candidates by vectors, verified pair by pair.

In a group of up to `ALL_PAIRS` contents every pair is verified. In a larger group every content is verified with a core
of `CORE` contents, one of which is kept. A rule selects the files to keep; `move_plan.py` moves the others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.candidates import edited_pairs, near_pairs
from imrec_core.duplicates.cliques import cliques
from imrec_core.duplicates.comparison import IDENTICAL, TIERS, require_tier
from imrec_core.duplicates.contents import Contents, Copy
from imrec_core.duplicates.crowd import group_crowd, pair_across
from imrec_core.duplicates.decisions import Decisions, load_decisions
from imrec_core.duplicates.keep_rules import changes_of, reason_to_keep, resolve_rule, sort_key
from imrec_core.duplicates.loaded_images import LoadedImages
from imrec_core.duplicates.progress import Progress, Report
from imrec_core.duplicates.stored_hash_pairs import StoredHashPairs
from imrec_core.duplicates.stored_summaries import StoredSummaries
from imrec_core.duplicates.verification import Verifier
from imrec_core.duplicates.verified_pairs import VerifiedPair, VerifiedPairs
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import place
from imrec_core.plots.html_grid import grid
from imrec_core.plots.sheet_layout import Cell
from imrec_core.runtime.library_threads import single_threaded_libraries

_AT_ONCE = 512  # groups whose files are looked at together
_IN_NOTEBOOK, _GROUPS_IN_NOTEBOOK = 12, 3  # maximum number of files per group, and of groups, in a notebook


@dataclass(frozen=True)
class Group:
    """Files that are copies of each other.

    Attributes:
        tier: Widest tier among the pairs.
        copies: The representative first, then other files to keep, then the rest.
        pairs: Verified pairs of different contents: all of them in a group of up to `ALL_PAIRS` contents, else at least
            those with the representative.
        why: Why the representative is kept, as a predicate: `has more pixels`.
    """

    tier: str
    copies: tuple[Copy, ...]
    pairs: tuple[VerifiedPair, ...]
    why: str = ""

    @property
    def representative(self) -> Copy:
        """The file that the rule prefers; it is kept."""
        return self.copies[0]

    @property
    def place(self) -> tuple[str, str]:
        """Sort key of the group: source and path of the representative."""
        return self.representative.source, self.representative.below

    def _repr_html_(self) -> str:
        """Render the files side by side, with a frame around those to keep."""
        cells = [
            Cell(
                place(c.path),
                (f"{c.width}×{c.height}, {-(-c.byte_size // 1000)} kB", c.below),
                frame="kept" if c.is_kept else "",
            )
            for c in self.copies
        ]
        return grid([f"{len(cells)} files, {self.tier}; kept files are framed"], cells, most=_IN_NOTEBOOK)


@dataclass(frozen=True)
class Duplicates(Sequence[Group]):
    """Result of a search for duplicates.

    Attributes:
        groups: Groups, sorted by source and path of the representative.
        tier: Widest tier that was tested.
        keep: Rule that selects the files to keep.
        between: The two sources that were compared; None for a search in all sources.
        compared: Number of pairs whose pixels were compared.
        left_out: Files that are missing, changed since the last build, or unreadable.
        roots: Root folders of the sources, by name.
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
        """Render the first groups."""
        shown = self.groups[:_GROUPS_IN_NOTEBOOK]
        heading = f"{len(self)} groups, {sum(len(group.copies) for group in self)} files"
        if len(self) > len(shown):
            heading += f"; the first {len(shown)} groups"
        return grid([heading], []) + "".join(group._repr_html_() for group in shown)

    def with_rule(self, keep: str | None, decided: Decisions) -> Duplicates:
        """Apply another rule, and the decisions of what to keep, to the same groups.

        No images are compared: `decided.not_duplicate` is ignored.

        Raises:
            UnknownName: There is no such source.
            QueryError: There is no such rule.
        """
        rule = resolve_rule(keep, self.between, self.roots)
        groups = (_mark_kept(group, rule, decided, self.between) for group in self.groups)
        return replace(self, groups=tuple(sorted(groups, key=lambda group: group.place)), keep=rule)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, as printed by `imrec duplicates --json`."""
        return asdict(self)

    def to_json(self) -> str:
        """Convert to a JSON string."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def find_duplicates(
    lake: Lake | str | os.PathLike[str],
    *,
    tier: str = "near",
    keep: str | None = None,
    between: tuple[str, str] | None = None,
    progress: Report = lambda _: None,
) -> Duplicates:
    """Find groups of images that are copies of each other.

    Results of comparisons are stored in the lake: a later search compares the hashes of new images only, and the pixels
    of new pairs; a search that was interrupted is continued.

    Args:
        lake: The lake, as of its last build. Files that have changed since are listed in `left_out`.
        tier: Widest of `TIERS` to search for.
        keep: Rule that selects the representative of a group; `keep_rules.py` documents them. `original`, the default,
            prefers what was not made from another file, then metadata of a camera, then most pixels, bits, transparency
            and bytes, then the oldest. `largest` prefers most pixels, then most bytes. `oldest` prefers the earliest
            time taken, or else time of the file. `source:NAME` prefers files of that source, then the original.
            Decisions to keep a content override it.
        between: Two sources: find copies of images of the first in the second. Each group then has the files of one or
            two contents, so that every pair is reported. The files of the first source are kept.
        progress: Called with the progress, first of all with an estimate. It may raise to stop the search.

    Raises:
        UnknownName: There is no such tier or source.
        QueryError: There is no such rule, or a feature for the candidates is missing.
        LakeError: The lake was never built, or cannot be read.
    """
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    require_tier(tier)
    generation = open_generation(lake)
    roots = lake.settings().roots
    keep = resolve_rule(keep, between, lake.settings().sources)
    decided = load_decisions(lake)
    contents = Contents(generation, roots, between)
    results = VerifiedPairs(lake.layout.verified_pairs_path, contents.names, tier)
    is_edited = tier == "edited"
    stored = StoredSummaries(lake.layout.summaries_folder(with_keypoints=is_edited))
    images = LoadedImages(contents, lake.settings().max_pixels, stored, with_keypoints=is_edited)
    verifier = Verifier(contents, decided, tier, images, results)
    begun: list[list[int]] = []
    try:
        with single_threaded_libraries():
            if tier != "identical" and len(contents):
                hash_pairs = None if between else StoredHashPairs(lake.layout.hash_pairs_path, contents.names)
                begun = _verify_candidates(generation, contents, verifier, tier, hash_pairs, progress)
            members = _pairs_between(contents, verifier) if between else _cliques(contents, verifier, begun)
    finally:
        results.save()
        stored.save()
    groups = tuple(_groups(contents, verifier, members, between))
    left_out = tuple(sorted(contents.left_out))
    places = {name: str(root) for name, root in roots.items()}
    found = Duplicates(groups, tier, keep, between, generation.id, len(verifier.found), left_out, places)
    return found.with_rule(keep, decided)


def _verify_candidates(
    generation: Generation,
    contents: Contents,
    verifier: Verifier,
    tier: str,
    stored: StoredHashPairs | None,
    report: Report,
) -> list[list[int]]:
    """Compare the candidate pairs; return groups of images that have too many candidates."""
    report(Progress("looking for candidates"))
    close = near_pairs(generation, contents.rows, stored)
    found, begun = [close.pairs], []
    if tier == "edited":
        found.append(edited_pairs(generation, contents.rows))
    if contents.sides:
        found.append(pair_across(close, *contents.sides))
    else:
        begun = group_crowd(close, _by_size(contents, close.crowd), verifier, report)
    verifier.verify(contents.across(np.unique(np.concatenate(found), axis=0)), report)
    return begun


def _by_size(contents: Contents, members: NDArray[np.int64]) -> list[int]:
    """Sort contents whose files exist by size, as the rule `largest` prefers them; ties in order of the hashes."""
    existing = contents.existing(members.tolist())
    sizes = {i: (-copy.width * copy.height, -copy.byte_size) for i, copy in existing}
    return sorted(sizes, key=lambda i: (sizes[i], i))


def _cliques(contents: Contents, verifier: Verifier, begun: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Group the contents in cliques, and add those with several files that are in none."""
    found = cliques(verifier.held, verifier.holds, begun=begun, different=verifier.different)
    taken = {i for group in found for i in group}
    return found + [(i,) for i in contents.repeated if i not in taken]


def _pairs_between(contents: Contents, verifier: Verifier) -> list[tuple[int, ...]]:
    """List the matching pairs, and the contents with several files."""
    return [*verifier.held, *((i,) for i in contents.repeated)]


def _groups(
    contents: Contents, verifier: Verifier, members: Sequence[tuple[int, ...]], between: tuple[str, str] | None
) -> Iterator[Group]:
    """Make the groups of two files or more."""
    for first in range(0, len(members), _AT_ONCE):
        some = members[first : first + _AT_ONCE]
        contents.load([i for group in some for i in group])
        yield from filter(None, (_group(contents, verifier, group, between) for group in some))


def _group(
    contents: Contents, verifier: Verifier, members: tuple[int, ...], between: tuple[str, str] | None
) -> Group | None:
    """Make a group of the files of some contents, none marked as kept; None if fewer than two are left."""
    copies = contents.files(members)
    if len(copies) < 2 or (between and not {copy.source for copy in copies}.issuperset(between)):
        return None
    present = {copy.content_hash for copy in copies}
    pairs = verifier.pairs_of([i for i in members if contents.name(i) in present])
    found = [verifier.found[pair] for pair in pairs]
    tiers = [str(comparison.tier) for comparison in found] or [str(IDENTICAL.tier)]
    verified = (
        VerifiedPair.of((contents.name(i), contents.name(j)), one) for (i, j), one in zip(pairs, found, strict=True)
    )
    return Group(max(tiers, key=TIERS.index), tuple(copies), tuple(verified))


# -- files to keep ------------------------------------------------------------------------------------------


def _mark_kept(group: Group, rule: str, decided: Decisions, between: tuple[str, str] | None) -> Group:
    """Mark the files to keep and move them to the front, the representative first.

    Only a content that was verified with all others of the group can be the representative.
    """
    compared = Counter(content for pair in group.pairs for content in pair.contents)
    changes = changes_of(group.pairs, group.copies)
    by_rule, most = sort_key(rule, decided, changes), max(compared.values(), default=0)
    copies = sorted(group.copies, key=lambda copy: (compared[copy.content_hash] < most, *by_rule(copy)))
    kept = {copies[0].image_id}
    firsts = {copy.content_hash: copy for copy in reversed(copies)}
    kept |= {firsts[content].image_id for content in firsts.keys() & decided.keep}
    if between:
        kept |= {copy.image_id for copy in copies if copy.source == between[0]}
    marked = [replace(copy, is_kept=copy.image_id in kept) for copy in copies]
    ordered = tuple(sorted(marked, key=lambda copy: not copy.is_kept))
    return replace(group, copies=ordered, why=reason_to_keep(ordered, rule, decided, changes))
