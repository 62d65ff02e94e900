"""Complete-linkage grouping: groups in which every pair matches, so that chains of pairs join no different images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Name = TypeVar("Name", int, str)


def cliques(
    pairs: Mapping[tuple[Name, Name], float], holds: Callable[[Name, Name], bool] | None = None
) -> list[tuple[Name, ...]]:
    """Join matching pairs to disjoint groups by complete linkage, starting with the best pair.

    Two groups are joined if all pairs between them match.

    Args:
        pairs: Matching pairs, the smaller name first, with a quality; higher is better.
        holds: Tests whether another pair matches, the smaller name first; None if no other pair does.

    Returns:
        Groups of two or more sorted names, sorted. The order of `pairs` has no effect.
    """
    group_of: dict[Name, list[Name]] = {}

    def joins(a: Name, b: Name) -> bool:
        pair = (a, b) if a < b else (b, a)
        return pair in pairs or (holds is not None and holds(*pair))

    for a, b in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        first, second = (group_of.setdefault(name, [name]) for name in (a, b))
        if first is not second and all(joins(x, y) for x in first for y in second):
            first.extend(second)
            for name in second:
                group_of[name] = first
    groups = {id(group): tuple(sorted(group)) for group in group_of.values() if len(group) > 1}
    return sorted(groups.values())
