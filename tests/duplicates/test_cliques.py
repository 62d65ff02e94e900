"""Groups in which every pair holds."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from imrec_core.duplicates.cliques import cliques

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
