"""Many images with similar hashes: few comparisons, copies found, and no chain that joins different images."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates import crowd, find_duplicates, hash_pairs
from imrec_core.duplicates.cliques import ALL_PAIRS, CORE
from imrec_core.duplicates.crowd import group_crowd
from imrec_core.duplicates.decisions import decide
from imrec_core.duplicates.hash_pairs import close_hashes
from imrec_core.duplicates.loaded_images import LoadedImages
from imrec_core.duplicates.stored_summaries import StoredSummaries
from tests.support import toy
from tests.support.pages import blank_page, jpeg
from tests.support.pictures import gradient


class Levels:
    """Fake of a verifier of numbers, which match if they differ by at most `reach`."""

    def __init__(self, numbers, reach):
        self.numbers, self.reach, self.compared = numbers, reach, 0
        self.different = defaultdict(set)

    def restore(self, members):
        pass

    def prepare(self, members):
        return list(members)

    def closest(self, i, others, count):
        return sorted(others, key=lambda j: abs(self.numbers[i] - self.numbers[j]))[:count]

    def holds(self, i, j):
        assert i < j
        self.compared += 1
        return abs(self.numbers[i] - self.numbers[j]) <= self.reach


def equal_hashes(count):
    return close_hashes(np.zeros((count, 1), np.uint64), (0, 0))


@pytest.mark.parametrize(("values", "reach"), [([0], 0), ([0, 10], 1), (range(0, 30, 10), 3), (range(40), 0)])
def test_comparisons_grow_with_the_images(values, reach):
    numbers = list(values) * 30
    verifier = Levels(numbers, reach)
    groups = group_crowd(equal_hashes(len(numbers)), range(len(numbers)), verifier, lambda _: None)
    assert verifier.compared <= len(numbers) * (ALL_PAIRS + crowd._TRIES)
    assert sorted(i for group in groups for i in group) == list(range(len(numbers)))


@pytest.mark.parametrize("seed", range(4))
def test_no_chain_joins_different_images(seed):
    numbers = np.random.default_rng(seed).uniform(0, 6, 200)
    verifier = Levels(numbers, 1.0)
    groups = group_crowd(equal_hashes(200), range(200), verifier, lambda _: None)
    assert max(map(len, groups)) > ALL_PAIRS
    for group in groups:
        assert all(abs(numbers[i] - numbers[j]) <= 1 for i in group for j in group[:CORE])
        assert all(abs(numbers[i] - numbers[j]) <= 1 for i, j in combinations(group[:ALL_PAIRS], 2))
        assert group[0] == min(group)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """60 nearly blank pages, and of ten of them a copy of half the size and one of lower quality."""
    root = tmp_path_factory.mktemp("pages")
    (root / "photos").mkdir()
    for seed in range(60):
        page = blank_page(seed, marks=3 + seed % 4)
        (root / "photos" / f"{seed:02}.jpg").write_bytes(jpeg(page))
        if seed < 10:
            (root / "photos" / f"{seed:02}_low.jpg").write_bytes(jpeg(page, 40))
            half = page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS)
            (root / "photos" / f"{seed:02}_half.jpg").write_bytes(jpeg(half))
    lake = toy.new_lake(root / "lake", ("phash", "dhash"))
    toy.build(lake)
    return lake


def names(found):
    return sorted(sorted(copy.below for copy in group.copies) for group in found)


def test_later_search_decodes_no_page_and_finds_the_same(pages, monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 1)
    first = find_duplicates(pages)
    monkeypatch.setattr(LoadedImages, "_decode", lambda *_: pytest.fail("a page was decoded again"))
    assert find_duplicates(pages).groups == first.groups


def test_later_search_reads_the_stored_summaries_twice_at_most(pages, monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 1)
    find_duplicates(pages)
    monkeypatch.setattr(crowd, "_AT_ONCE", 4)
    loaded, load = [], StoredSummaries.load

    def counted(self, contents):
        loaded.append(len(contents))
        return load(self, contents)

    monkeypatch.setattr(StoredSummaries, "load", counted)
    find_duplicates(pages)
    assert len([count for count in loaded if count]) <= 2


def test_every_verified_group_of_pages_is_a_clique(pages, monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 1)
    for group in find_duplicates(pages):
        assert len(group.pairs) == len(group.copies) * (len(group.copies) - 1) / 2


def test_groups_of_pages_do_not_depend_on_the_order_of_the_rows(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 1)
    sources = {"photos": pages.root.parent / "photos"}
    other = toy.new_lake(tmp_path / "lake", ("phash", "dhash"), shard_size=7, sources=sources)
    toy.build(other)
    assert names(find_duplicates(other)) == names(find_duplicates(pages))


@pytest.fixture
def gradients(tmp_path):
    """40 gradients with another compression each: one group that is larger than `ALL_PAIRS`."""
    (tmp_path / "photos").mkdir()
    picture = Image.fromarray(toy.photo(1, 320, 240))
    for quality in range(55, 95):
        (tmp_path / "photos" / f"{quality}.jpg").write_bytes(jpeg(picture, quality))
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"))
    toy.build(lake)
    return lake


def test_large_group_keeps_a_file_that_was_compared_with_all_others(gradients):
    for keep in ("largest", "oldest"):
        (group,) = find_duplicates(gradients, keep=keep)
        assert len(group.copies) == 40
        kept = group.representative.content_hash
        partners = {other for pair in group.pairs if kept in pair.contents for other in pair.contents}
        assert partners == {copy.content_hash for copy in group.copies}
        assert len(group.pairs) <= 40 * ALL_PAIRS


def test_decision_splits_a_large_group(gradients):
    (group,) = find_duplicates(gradients)
    a, b = group.copies[-1].content_hash, group.copies[-2].content_hash
    decide(gradients, apart=(a, b))
    for group in find_duplicates(gradients):
        assert not {a, b} <= {copy.content_hash for copy in group.copies}


def test_between_two_sources_a_crowd_is_compared_with_the_nearest(tmp_path):
    picture = Image.fromarray(gradient(320, 240))
    for source in ("a", "b"):
        (tmp_path / source).mkdir()
        for quality in range(60, 80):
            (tmp_path / source / f"{quality}.jpg").write_bytes(jpeg(picture, quality + (source == "b") * 20))
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"), sources={s: tmp_path / s for s in "ab"})
    toy.build(lake)
    found = find_duplicates(lake, between=("a", "b"))
    assert {copy.below for group in found for copy in group.copies if copy.source == "a"} == {
        f"{quality}.jpg" for quality in range(60, 80)
    }
    assert len(found) <= 40 * crowd._NEAREST


def test_crowd_has_the_groups_of_all_pairs(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for seed in range(8):
        picture = Image.fromarray(toy.photo(seed, 320, 240))
        for name, data in {"a": jpeg(picture), "b": jpeg(picture, 40), "c": jpeg(picture.resize((160, 120)))}.items():
            (tmp_path / "photos" / f"{seed}{name}.jpg").write_bytes(data)
    lake = toy.new_lake(tmp_path / "lake", ("phash", "dhash"))
    toy.build(lake)
    found = find_duplicates(lake)
    lake.layout.verified_pairs_path.unlink()
    monkeypatch.setattr(hash_pairs, "CROWDED", 0)
    assert find_duplicates(lake).groups == found.groups
    assert find_duplicates(lake).groups == found.groups  # from stored results
    assert len(found) == 8
