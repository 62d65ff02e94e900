"""Verification of candidate pairs: a screening by summaries, then a comparison by pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from imrec_core.duplicates.comparison import DIFFERENT, TIERS, Comparison, compare_contents
from imrec_core.duplicates.contents import Contents, Pairs
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.loaded_images import LoadedImages
from imrec_core.duplicates.progress import Report, Steps
from imrec_core.duplicates.screening import Screened, distance, screen
from imrec_core.duplicates.verified_pairs import Pair, VerifiedPairs
from imrec_core.runtime.cpu import cpu_count

_AT_ONCE = 64  # pairs compared between two updates of the cache
_SECONDS = (0.008, 0.0015), (0.03, 0.003)  # CPU time per image and per pair: without and with tier `edited` (2026-11)
_UNREADABLE = Comparison(None, 0.0, "a file cannot be read")


class Verifier:
    """Compares contents by their pixels, and collects the results.

    Attributes:
        found: Result of every compared pair, the smaller index first.
        matching: Contents that each content matches.
        different: Contents that each content does not match, by the results and by decisions.
    """

    def __init__(
        self, contents: Contents, decided: Decisions, tier: str, images: LoadedImages, results: VerifiedPairs
    ) -> None:
        self._contents, self._decided, self._tier = contents, decided, tier
        self._images, self._results = images, results
        self.found: dict[Pair, Comparison] = {}
        self.matching: defaultdict[int, set[int]] = defaultdict(set)
        self.different: defaultdict[int, set[int]] = defaultdict(set)
        places = {str(name): i for i, name in enumerate(contents.names)} if decided.not_duplicate else {}
        for pair in decided.not_duplicate:
            if all(name in places for name in pair):
                _link(self.different, (places[pair[0]], places[pair[1]]))

    @property
    def held(self) -> dict[Pair, float]:
        """Matching pairs with a quality; higher is better."""
        return {
            pair: found.agreement - TIERS.index(found.tier or "")
            for pair, found in self.found.items()
            if found.holds(self._tier)
        }

    def pairs_of(self, members: Collection[int]) -> list[Pair]:
        """List the matching pairs of a group, sorted."""
        chosen = set(members)
        return sorted((i, j) for i in chosen for j in self.matching[i] & chosen if i < j)

    def verify(self, pairs: Pairs, report: Report) -> None:
        """Compare pairs, connected ones in sequence, so that their images are decoded once."""
        pairs = self._drop_known(self._drop_decided(pairs))
        if not len(pairs):
            return
        pairs = _in_order_of_images(pairs, len(self._contents))
        self._images.restore_summaries(np.unique(pairs).tolist())
        steps = Steps("comparing pairs of images", len(pairs), report, estimate=self._estimate(pairs))
        with ThreadPoolExecutor(cpu_count()) as pool:
            for first in range(0, len(pairs), _AT_ONCE):
                some = [(int(i), int(j)) for i, j in pairs[first : first + _AT_ONCE]]
                self._compare_all(some, pool)
                steps.advance(len(some))

    def holds(self, i: int, j: int) -> bool:
        """Test whether a pair matches; a pair that was no candidate is compared now."""
        pair = i, j
        if pair not in self.found:
            if j in self.different[i]:
                return False
            earlier = self._results.get(pair)
            if earlier is None:
                self._compare_all([pair])
            else:
                self._add(pair, earlier)
        return self.found[pair].holds(self._tier)

    def closest(self, i: int, others: Sequence[int], count: int) -> list[int]:
        """Select the contents that are closest to another one by their summaries."""
        self._images.summarise([i, *others])
        distances = {j: self._distance(i, j) for j in others}
        return sorted(others, key=lambda j: distances[j])[:count]

    def _distance(self, i: int, j: int) -> float:
        a, b = self._images.summary(i), self._images.summary(j)
        return float("inf") if a is None or b is None else distance(a, b)

    def restore(self, members: Sequence[int]) -> None:
        """Read the stored summaries of all images that will be prepared: each call reads every file of summaries."""
        self._images.restore_summaries(members)

    def prepare(self, members: Sequence[int]) -> list[int]:
        """Summarise images in parallel; return those that can be read."""
        with ThreadPoolExecutor(cpu_count()) as pool:
            self._images.summarise(members, pool)
        return [i for i in members if self._images.summary(i) is not None]

    def _compare_all(self, pairs: Sequence[Pair], pool: ThreadPoolExecutor | None = None) -> None:
        """Screen pairs by the summaries of their images, and compare the rest by their pixels."""
        apply = pool.map if pool else map
        self._images.summarise(sorted({i for pair in pairs for i in pair}), pool)
        plausible: list[tuple[Pair, Screened]] = []
        for pair, screened in zip(pairs, apply(self._screen, pairs), strict=True):
            if screened is not None and screened.may_match:
                plausible.append((pair, screened))
            else:
                self._store(pair, DIFFERENT if screened else _UNREADABLE)
        self._images.load(sorted({i for pair, _ in plausible for i in pair}), pool)
        for (pair, _), found in zip(plausible, apply(self._compare, plausible), strict=True):
            self._store(pair, found)
        self._results.save_sometimes()

    def _screen(self, pair: Pair) -> Screened | None:
        """Screen a pair; None if a file cannot be read."""
        a, b = (self._images.summary(i) for i in pair)
        return None if a is None or b is None else screen(a, b, self._tier)

    def _compare(self, plausible: tuple[Pair, Screened]) -> Comparison:
        pair, screened = plausible
        a, b = (self._images.input(i) for i in pair)
        if a is None or b is None:
            return _UNREADABLE
        places = {id(a): pair[0], id(b): pair[1]}
        return compare_contents(
            a,
            b,
            self._tier,
            lambda image: self._images.pixel_hash(places[id(image)]),
            may_be_aligned=screened.may_be_aligned,
        )

    def _estimate(self, pairs: Pairs) -> float:
        """Estimate the seconds that comparisons take on this machine, before the first one is measured."""
        per_image, per_pair = _SECONDS[self._tier == "edited"]
        return (len(np.unique(pairs)) * per_image + len(pairs) * per_pair) / cpu_count()

    def _drop_decided(self, pairs: Pairs) -> Pairs:
        """Drop the pairs that are marked as no duplicates."""
        if not self._decided.not_duplicate:
            return pairs
        return pairs[np.array([j not in self.different[i] for i, j in pairs.tolist()], np.bool_)]

    def _drop_known(self, pairs: Pairs) -> Pairs:
        """Drop the pairs with a known result, which is copied to `found`."""
        if not self._results.members:
            return pairs
        earlier = [self._results.get((i, j)) for i, j in pairs.tolist()]
        for (i, j), found in zip(pairs.tolist(), earlier, strict=True):
            if found is not None:
                self._add((i, j), found)
        return pairs[np.array([found is None for found in earlier], np.bool_)]

    def _store(self, pair: Pair, found: Comparison) -> None:
        self._add(pair, found)
        if found is not _UNREADABLE:  # the file may be readable in the next search
            self._results.add(pair, found)

    def _add(self, pair: Pair, found: Comparison) -> None:
        self.found[pair] = found
        _link(self.matching if found.holds(self._tier) else self.different, pair)


def _in_order_of_images(pairs: Pairs, size: int) -> Pairs:
    """Sort pairs so that those of connected images follow each other."""
    graph = scipy.sparse.coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (size, size))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], component[pairs[:, 0]]))]


def _link(linked: defaultdict[int, set[int]], pair: Pair) -> None:
    for i, j in (pair, pair[::-1]):
        linked[i].add(j)
