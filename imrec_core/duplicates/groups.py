"""Which images of a lake are copies of each other: candidates by vectors, verified pair by pair, in groups.

Files of the same bytes are one content; contents are what is compared. In a group every pair holds. Of each group one
file is to stay, by a rule that is stated; `move_plan` carries the others away.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from imrec_core.contact_sheet import Cell
from imrec_core.duplicates.candidates import edited_pairs, near_pairs
from imrec_core.duplicates.cliques import cliques
from imrec_core.duplicates.comparison import (
    DIFFERENT,
    IDENTICAL,
    SAME_PIXELS,
    TIERS,
    Comparison,
    Look,
    checked_tier,
    compare,
    may_be_same_pixels,
    pixels_of,
)
from imrec_core.duplicates.decisions import Decisions, load_decisions
from imrec_core.errors import ImageError, QueryError, UnknownName
from imrec_core.generation import Generation, open_generation
from imrec_core.lake import Lake
from imrec_core.machine import available_cores
from imrec_core.notebook import grid
from imrec_core.storage import AnyPath, fingerprint, place, read_bytes

Pairs = NDArray[np.int64]

_LOOKS = 256  # pictures held, of 2 MB at most
_AT_ONCE = 128  # pairs compared between two looks at what is held
_IN_NOTEBOOK, _GROUPS_IN_NOTEBOOK = 12, 3  # files of a group, and groups, that a notebook shows
_COLUMNS = ["image_id", "source", "path", "content_hash", "width", "height", "byte_size", "mtime_ns"]


@dataclass(frozen=True)
class Copy:
    """One file of a group.

    Attributes:
        path: Of the file, to be opened.
        below: The same from the root of its source on.
        is_kept: Whether it is to stay.
    """

    image_id: str
    source: str
    path: str
    below: str
    content_hash: str
    width: int
    height: int
    byte_size: int
    mtime_ns: int
    is_kept: bool = False


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
    keep = _checked_rule(keep, between, roots)
    decided = load_decisions(lake)
    contents = _Contents(generation, roots, between)
    verifier = _Verifier(contents, decided, tier, lake.settings().max_pixels, {} if known is None else known)
    if tier != "identical" and len(contents):
        progress("looking for candidates")
        pairs = contents.across(_candidates(generation, contents, tier))
        verifier.verify(pairs, progress)
    groups = _between(contents, verifier) if between else _grouped(contents, verifier)
    chosen = [_group(contents, verifier, names, keep, decided, between) for names in groups]
    return Duplicates(
        tuple(sorted(filter(None, chosen), key=lambda g: (g.representative.source, g.representative.below))),
        tier,
        keep,
        between,
        generation.id,
        len(verifier.found),
        tuple(sorted(contents.left_out)),
        {name: str(root) for name, root in roots.items()},
    )


def _checked_rule(keep: str | None, between: tuple[str, str] | None, sources: Iterable[str]) -> str:
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


# -- contents -----------------------------------------------------------------------------------------------


class _Contents:
    """The files of a generation by their content, in the order of the hashes."""

    def __init__(self, generation: Generation, roots: Mapping[str, AnyPath], between: tuple[str, str] | None) -> None:
        table = generation.columns(*_COLUMNS)
        sources = table["source"].to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(np.isin(sources, list(between or roots)) & generation.is_live)
        hashes = table["content_hash"].to_numpy(zero_copy_only=False)[rows].astype(str)
        self.names, at = np.unique(hashes, return_inverse=True)
        order = np.argsort(at, kind="stable")
        ends = np.cumsum(np.bincount(at, minlength=len(self.names)))
        self._table, self._roots, self._between = table, roots, between
        self._rows = np.split(rows[order], ends[:-1]) if len(self.names) else []
        self._copies: dict[int, list[Copy]] = {}
        self._sides = [np.isin(np.arange(len(self.names)), at[sources[rows] == name]) for name in (between or ())]
        self.left_out: set[str] = set()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def rows(self) -> NDArray[np.int64]:
        """A row of each content."""
        return np.array([rows[0] for rows in self._rows], np.int64)

    @property
    def repeated(self) -> Iterator[int]:
        """Those with several files."""
        return (i for i, rows in enumerate(self._rows) if len(rows) > 1)

    def across(self, pairs: Pairs) -> Pairs:
        """Of the pairs those that join the two sources, where there are two; no file that is gone is in one."""
        if self._sides:
            first, second = self._sides
            i, j = pairs.T
            pairs = pairs[(first[i] & second[j]) | (first[j] & second[i])]
        there = np.zeros(len(self), np.bool_)
        wanted = np.unique(pairs)
        there[wanted] = [bool(self.copies(int(i))) for i in wanted]
        return pairs[there[pairs].all(axis=1)] if len(pairs) else pairs

    def copies(self, i: int) -> list[Copy]:
        """The files of a content that are as the last build found them."""
        if i not in self._copies:
            made = []
            for number in self._rows[i].tolist():
                row = {name: self._table[name][number].as_py() for name in _COLUMNS}
                path = self._roots[row["source"]] / row["path"]
                if fingerprint(path) == (row["byte_size"], row["mtime_ns"]):
                    made.append(Copy(**{**row, "path": str(path), "below": row["path"]}))
                else:
                    self.left_out.add(str(path))
            # Of links and of sources that overlap, a file is no copy of itself; but two sources may share it.
            self._copies[i] = made if self._between else _once_each(made)
        return self._copies[i]

    def drop(self, i: int) -> None:
        """Leave out a content whose files cannot be read."""
        self.left_out.update(copy.path for copy in self.copies(i))
        self._copies[i] = []

    def read(self, i: int) -> bytes:
        return read_bytes(place(self.copies(i)[0].path))


def _once_each(copies: list[Copy]) -> list[Copy]:
    """One of those that lead to the same file, rather the file itself than a link to it."""
    if len(copies) < 2:
        return copies
    links_first = sorted(copies, key=lambda copy: not os.path.islink(copy.path))
    return list({os.path.realpath(copy.path): copy for copy in links_first}.values())


# -- verification -------------------------------------------------------------------------------------------


class _Verifier:
    """Compares contents by their pixels; remembers what it found, and some pictures.

    Attributes:
        found: Every pair that was compared, the lesser first.
    """

    def __init__(
        self,
        contents: _Contents,
        decided: Decisions,
        tier: str,
        max_pixels: int,
        known: dict[tuple[str, str], Comparison],
    ) -> None:
        self._contents, self._decided, self._tier, self._max_pixels = contents, decided, tier, max_pixels
        self._looks: OrderedDict[int, Look | None] = OrderedDict()
        self._digests: dict[int, bytes] = {}
        self._known = known
        self.found: dict[tuple[int, int], Comparison] = {}

    @property
    def held(self) -> dict[tuple[int, int], float]:
        """Pairs that hold, and how well."""
        return {
            pair: found.agreement - TIERS.index(found.tier or "")
            for pair, found in self.found.items()
            if found.holds(self._tier)
        }

    def verify(self, pairs: Pairs, progress: Callable[[str], None]) -> None:
        """Compare pairs, those that hang together one after the other, so that their pictures are read once."""
        pairs = self._unknown(self._not_apart(pairs))
        if not len(pairs):
            return
        size = len(self._contents)
        graph = scipy.sparse.coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (size, size))
        _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], component[pairs[:, 0]]))]
        with ThreadPoolExecutor(available_cores()) as pool:
            for first in range(0, len(pairs), _AT_ONCE):
                some = [(int(i), int(j)) for i, j in pairs[first : first + _AT_ONCE]]
                self._load(sorted({i for pair in some for i in pair}), pool)
                for pair, found in zip(some, pool.map(self._compared, some), strict=True):
                    self._note(pair, found)
                if first % (32 * _AT_ONCE) == 0:
                    progress(f"comparing {len(pairs)} pairs of images: {first} done")

    def _not_apart(self, pairs: Pairs) -> Pairs:
        if not self._decided.not_duplicate:
            return pairs
        names = self._contents.names
        apart = [self._decided.are_apart(str(names[i]), str(names[j])) for i, j in pairs]
        return pairs[~np.array(apart, np.bool_)]

    def _unknown(self, pairs: Pairs) -> Pairs:
        """The pairs of which it was not found out earlier whether they hold; the others are noted as found."""
        if not self._known:
            return pairs
        earlier = [self._known.get(self._names((int(i), int(j)))) for i, j in pairs]
        self.found |= {
            (int(i), int(j)): found for (i, j), found in zip(pairs, earlier, strict=True) if found is not None
        }
        return pairs[np.array([found is None for found in earlier], np.bool_)]

    def _names(self, pair: tuple[int, int]) -> tuple[str, str]:
        return str(self._contents.names[pair[0]]), str(self._contents.names[pair[1]])

    def _note(self, pair: tuple[int, int], found: Comparison) -> None:
        self.found[pair] = found
        if all(self._looks.get(i) is not None for i in pair):  # else a file could not be read, and may be again
            self._known[self._names(pair)] = found if found.holds(self._tier) else DIFFERENT

    def holds(self, i: int, j: int) -> bool:
        """Whether a pair does; one that was no candidate is compared now."""
        if (i, j) not in self.found:
            names = self._contents.names
            if self._decided.are_apart(str(names[i]), str(names[j])):
                return False
            earlier = self._known.get(self._names((i, j)))
            if earlier is not None:
                self.found[i, j] = earlier
            else:
                self._load([i, j])
                self._note((i, j), self._compared((i, j)))
        return self.found[i, j].holds(self._tier)

    def _load(self, wanted: Sequence[int], pool: ThreadPoolExecutor | None = None) -> None:
        missing = [i for i in wanted if i not in self._looks]
        made = list((pool.map if pool else map)(self._look, missing))
        for i in wanted:
            if i in self._looks:
                self._looks.move_to_end(i)
        self._looks.update(zip(missing, made, strict=True))
        for i, look in zip(missing, made, strict=True):
            if look is None:
                self._contents.drop(i)
        while len(self._looks) > max(_LOOKS, len(wanted)):
            self._looks.popitem(last=False)

    def _look(self, i: int) -> Look | None:
        try:
            return Look.of(self._contents.read(i), max_pixels=self._max_pixels)
        except (ImageError, OSError, IndexError):  # IndexError: it was left out meanwhile
            return None

    def _compared(self, pair: tuple[int, int]) -> Comparison:
        a, b = (self._looks[i] for i in pair)
        if a is None or b is None:
            return Comparison(None, 0.0, "a file cannot be read")
        found = compare(a, b, tier=self._tier)
        if may_be_same_pixels(a, b, found) and self._digest(pair[0]) == self._digest(pair[1]):
            return SAME_PIXELS
        return found

    def _digest(self, i: int) -> bytes:
        if i not in self._digests:
            try:
                self._digests[i] = pixels_of(self._contents.read(i), self._max_pixels)
            except (ImageError, OSError):
                self._digests[i] = str(i).encode()  # like no other
        return self._digests[i]


def _candidates(generation: Generation, contents: _Contents, tier: str) -> Pairs:
    """Pairs of contents that may be copies."""
    rows = contents.rows
    pairs = near_pairs(generation, rows)
    if tier == "edited":
        pairs = np.unique(np.concatenate([pairs, edited_pairs(generation, rows)]), axis=0)
    return pairs


# -- groups -------------------------------------------------------------------------------------------------


def _grouped(contents: _Contents, verifier: _Verifier) -> list[tuple[int, ...]]:
    """Contents that belong together: cliques, and those with several files that are in none."""
    found = cliques(verifier.held, verifier.holds)
    taken = {i for group in found for i in group}
    return found + [(i,) for i in contents.repeated if i not in taken]


def _between(contents: _Contents, verifier: _Verifier) -> list[tuple[int, ...]]:
    """Pairs that hold, and contents with several files."""
    return [*verifier.held, *((i,) for i in contents.repeated)]


def _group(
    contents: _Contents,
    verifier: _Verifier,
    members: tuple[int, ...],
    keep: str,
    decided: Decisions,
    between: tuple[str, str] | None,
) -> Group | None:
    """The files of those contents with the ones that stay first; None where too few are left."""
    copies = sorted((copy for i in members for copy in contents.copies(i)), key=_order(keep, decided))
    sources = {copy.source for copy in copies}
    if len(copies) < 2 or (between and not sources.issuperset(between)):
        return None
    stays = {copies[0].image_id}
    firsts = {copy.content_hash: copy for copy in reversed(copies)}
    stays |= {firsts[content].image_id for content in firsts.keys() & decided.keep}
    if between:
        stays |= {copy.image_id for copy in copies if copy.source == between[0]}
    marked = [Copy(**{**asdict(copy), "is_kept": copy.image_id in stays}) for copy in copies]
    marked.sort(key=lambda copy: not copy.is_kept)
    pairs = [(i, j) for k, i in enumerate(members) for j in members[k + 1 :]]
    found = [verifier.found[pair] for pair in pairs]
    tiers = [str(comparison.tier) for comparison in found] or [str(IDENTICAL.tier)]
    verified = (
        VerifiedPair((str(contents.names[i]), str(contents.names[j])), str(f.tier), f.agreement, f.how)
        for (i, j), f in zip(pairs, found, strict=True)
    )
    return Group(max(tiers, key=TIERS.index), tuple(marked), tuple(verified))


def _order(keep: str, decided: Decisions) -> Callable[[Copy], tuple[Any, ...]]:
    """Sorts the best to keep to the front."""
    kind, _, source = keep.partition(":")

    def key(copy: Copy) -> tuple[Any, ...]:
        largest = (-copy.width * copy.height, -copy.byte_size)
        rule = (copy.mtime_ns, *largest) if kind == "oldest" else (*largest, copy.mtime_ns)
        is_elsewhere = kind == "source" and copy.source != source
        return (copy.content_hash not in decided.keep, is_elsewhere, *rule, copy.source, copy.below)

    return key
