"""Pairs that hold → groups in which every pair holds, so that a chain of likes does not glue strangers together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Name = TypeVar("Name", int, str)


def cliques(
    pairs: Mapping[tuple[Name, Name], float], holds: Callable[[Name, Name], bool] | None = None
) -> list[tuple[Name, ...]]:
    """Disjoint groups of two and more, by complete linkage: the best pair first, groups join where all pairs hold.

    Args:
        pairs: Pairs that hold, the lesser name first, and how well: more is better.
        holds: Whether another pair does, the lesser name first; without it none does.

    Returns:
        Names of a group in order; the groups in the order of their first. Nothing depends on the order of `pairs`.
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
