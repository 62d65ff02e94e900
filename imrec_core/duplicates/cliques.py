"""Complete-linkage grouping: groups in which every pair matches, so that chains of pairs join no different images.

In a group of more than `ALL_PAIRS` members every member matches the first `CORE` ones, and no pair is known to differ:
5,000 blank pages would otherwise need 12 million comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", int, str)

ALL_PAIRS = 16
"""Members of a group up to which every pair is verified."""

CORE = 3
"""Members of a larger group with which every other member is verified."""


def cliques(
    pairs: Mapping[tuple[Name, Name], float],
    holds: Callable[[Name, Name], bool] | None = None,
    *,
    begun: Iterable[Sequence[Name]] = (),
    different: Mapping[Name, Collection[Name]] | None = None,
) -> list[tuple[Name, ...]]:
    """Join matching pairs to disjoint groups by complete linkage, starting with the best pair.

    Two groups are joined if all pairs between them match. If they have more than `ALL_PAIRS` members together, all
    members of the smaller group must match the first `CORE` members of the larger one.

    Args:
        pairs: Matching pairs, the smaller name first, with a quality; higher is better.
        holds: Tests whether another pair matches, the smaller name first; None if no other pair does.
        begun: Disjoint groups to start with, each with its core first.
        different: Names that each name is known not to match. Read at every join, so that `holds` may add to it.

    Returns:
        Groups of two or more sorted names, sorted. The order of `pairs` has no effect.
    """
    group_of = {name: group for some in begun for group in [list(some)] for name in group}

    def match(a: Name, b: Name) -> bool:
        pair = (a, b) if a < b else (b, a)
        return pair in pairs or (holds is not None and holds(*pair))

    def are_joined(first: Sequence[Name], second: Sequence[Name]) -> bool:
        if len(first) + len(second) <= ALL_PAIRS:
            return all(match(x, y) for x in first for y in second)
        if different and any(group_of.get(other) is first for name in second for other in different.get(name, ())):
            return False
        return all(match(x, y) for y in second for x in first[:CORE])

    for a, b in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        first, second = (group_of.setdefault(name, [name]) for name in (a, b))
        if len(first) < len(second):
            first, second = second, first
        if first is not second and are_joined(first, second):
            first.extend(second)
            for name in second:
                group_of[name] = first
    groups = {id(group): tuple(sorted(group)) for group in group_of.values() if len(group) > 1}
    return sorted(groups.values())
