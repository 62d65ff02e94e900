"""Groups in a crowd: images with so many similar hashes that comparing all pairs would take hours.

Nearly blank pages are an example. Each image is compared with the representatives of a few groups before it, those that
are closest by hash and summary, and joins the first group that it matches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.cliques import ALL_PAIRS, CORE
from imrec_core.duplicates.hash_pairs import ClosePairs, Pairs
from imrec_core.duplicates.progress import Report, Steps
from imrec_core.duplicates.verification import Verifier

_NEAREST = 8  # groups with the most similar hashes, of which the closest are compared
_TRIES = 2  # groups that an image is compared with
_AT_ONCE = 128  # images decoded at once


def group_crowd(close: ClosePairs, order: Sequence[int], verifier: Verifier, report: Report) -> list[list[int]]:
    """Group images of a crowd.

    Args:
        order: Images of the crowd; the first of a group becomes its representative.

    Returns:
        Groups of one or more images, the core first. Each image matches the core of its group; in groups of at most
        `ALL_PAIRS` images every pair matches.
    """
    if not order:
        return []
    groups: dict[int, list[int]] = {}  # by member
    representatives, count = np.empty(len(order), np.int64), 0
    verifier.restore(order)
    steps = Steps("comparing images with many similar hashes", len(order), report)
    for first in range(0, len(order), _AT_ONCE):
        for i in verifier.prepare(order[first : first + _AT_ONCE]):
            nearest = close.nearest(i, representatives[:count], _NEAREST)
            found = (groups[j] for j in verifier.closest(i, nearest.tolist(), _TRIES))
            group = next((some for some in found if _is_member(i, some, groups, verifier)), [])
            if not group:
                representatives[count] = i
                count += 1
            group.append(i)
            groups[i] = group
        steps.advance(min(_AT_ONCE, len(order) - first))
    return [groups[int(i)] for i in representatives[:count]]


def pair_across(close: ClosePairs, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Pairs:
    """Pair images of a crowd that are in a first set with those of a second set with the most similar hashes.

    Args:
        first, second: Masks of the two sets over all images.
    """
    of_second = close.crowd[second[close.crowd]]
    found = [
        (min(i, j), max(i, j))
        for i in close.crowd[first[close.crowd]].tolist()
        for j in close.nearest(i, of_second, _NEAREST).tolist()
    ]
    return np.unique(np.array(found, np.int64).reshape(-1, 2), axis=0)


def _is_member(i: int, group: Sequence[int], groups: Mapping[int, Sequence[int]], verifier: Verifier) -> bool:
    """Test whether an image matches the core of a group, and is not known to differ from another member."""
    some = group if len(group) < ALL_PAIRS else group[:CORE]
    if any(groups.get(j) is group for j in verifier.different[i]):
        return False
    return all(verifier.holds(min(i, j), max(i, j)) for j in some)
