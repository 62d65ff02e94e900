"""Groups in which every pair holds."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imrec_core.duplicates.cliques import ALL_PAIRS, CORE, cliques

names = st.integers(0, 9)
graphs = st.dictionaries(
    st.tuples(names, names).filter(lambda pair: pair[0] < pair[1]), st.floats(0, 1, allow_nan=False), max_size=30
)


@given(graphs)
def test_every_pair_of_a_group_holds_and_no_name_is_in_two(pairs):
    groups = cliques(pairs)
    assert all(pair in pairs for group in groups for pair in combinations(group, 2))
    members = [name for group in groups for name in group]
    assert len(members) == len(set(members))
    assert all(len(group) > 1 for group in groups)


@given(graphs, st.randoms())
def test_order_of_the_pairs_changes_nothing(pairs, random):
    shuffled = list(pairs.items())
    random.shuffle(shuffled)
    assert cliques(dict(shuffled)) == cliques(pairs)


@given(graphs)
def test_no_two_groups_could_be_one(pairs):
    groups = cliques(pairs)
    for first, second in combinations(groups, 2):
        assert any((min(a, b), max(a, b)) not in pairs for a in first for b in second)


@given(graphs)
def test_a_pair_is_left_apart_only_where_another_took_one_of_it(pairs):
    grouped = {name for group in cliques(pairs) for name in group}
    assert all(a in grouped or b in grouped for a, b in pairs)


def test_a_chain_does_not_join_different_images():
    assert cliques({("a", "b"): 0.9, ("b", "c"): 0.8}) == [("a", "b")]


def test_a_pair_that_was_no_candidate_is_compared():
    compared = []

    def holds(a, b):
        compared.append((a, b))
        return True

    assert cliques({("a", "b"): 0.9, ("b", "c"): 0.8}, holds) == [("a", "b", "c")]
    assert compared == [("a", "c")]


@pytest.mark.parametrize("seed", range(5))
def test_large_group_has_members_that_match_all_others(seed):
    """Numbers match if they differ by at most 1; candidates are some of the matching pairs."""
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(0, 4, 150)
    compared = 0

    def holds(a, b):
        nonlocal compared
        compared += 1
        return bool(abs(numbers[a] - numbers[b]) <= 1)

    drawn = {(min(a, b), max(a, b)) for a, b in rng.integers(0, 150, (1500, 2)).tolist() if a != b}
    pairs = {pair: float(rng.random()) for pair in sorted(drawn) if holds(*pair)}
    groups = cliques(pairs, holds)
    assert max(map(len, groups)) > ALL_PAIRS
    for group in groups:
        central = [a for a in group if all(abs(numbers[a] - numbers[b]) <= 1 for b in group)]
        assert len(central) >= min(CORE, len(group))
        if len(group) <= ALL_PAIRS:
            assert len(central) == len(group)
    assert compared < len(drawn) + 150 * ALL_PAIRS * 4
    assert cliques(dict(reversed(pairs.items())), holds) == groups


def test_large_groups_hold_no_pair_that_is_known_to_differ():
    pairs = {(a, b): 1.0 for a, b in combinations(range(30), 2) if (a, b) != (28, 29)}
    different = {28: {29}, 29: {28}}
    (group,) = cliques(pairs, lambda a, b: True, different=different)
    assert len(group) == 29
    assert len(cliques(pairs, lambda a, b: True)[0]) == 30


def test_groups_that_were_begun_grow():
    pairs = {(0, 3): 0.9, (1, 3): 0.9, (4, 5): 0.9}
    assert cliques(pairs, begun=[[1, 0], [7]]) == [(0, 1, 3), (4, 5)]
