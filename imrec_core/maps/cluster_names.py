"""Names of clusters, by what is frequent in a cluster and rare on the rest of the map.

A term (a folder, tag, camera, value or word) can name a cluster if

- at least half of the cluster's images have it (of words in texts, 30 %), and at least three images,
- and its share is at least twice that on the whole map (its lift is 2 or more).

Of the terms that can, the one with the highest share times the logarithm of its lift names the cluster. That is tf-idf,
with images for words. Cameras and sources name a cluster only if no other term does. A cluster without such a term has
no name. No two clusters have the same name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from imrec_core.index.generation import Generation
from imrec_core.maps.alignment import align_rows
from imrec_core.maps.cluster_terms import CAMERA, FILE_NAME, FOLDER, SOURCE, TAG, count_terms
from imrec_core.maps.map_table import Map

SHARE, WORD_SHARE = 0.5, 0.3
"""Least share of a cluster's images that have a term that names it, and of a word in texts."""

LIFT = 2.0
"""Least ratio of that share to the share on the whole map."""

COUNT = 3
"""Least number of images in a cluster that have a term that names it."""

_KEPT = 12  # best terms of a cluster, of which one or two name it
_LAST_RESORT = (CAMERA, SOURCE)


@dataclass(frozen=True)
class Term:
    """What many images of a cluster have in common.

    Attributes:
        by: `folder`, `tag`, `file name`, `camera`, `source`, or the name of a user column.
        text: Folder, tag, value or word.
        count, share: Images of the cluster that have it.
        lift: Ratio of `share` to the share of the images of the whole map.
    """

    by: str
    text: str
    count: int
    share: float
    lift: float


@dataclass(frozen=True)
class ClusterName:
    """Name of a cluster.

    Attributes:
        size: Images of the cluster in the generation.
        name: The text of its terms, for a folder its last part; distinct for each cluster. Empty without a name.
        terms: The term that names it, and a second one where another cluster has the same first; empty without a name.
    """

    cluster: int
    size: int
    name: str
    terms: tuple[Term, ...] = ()

    def label(self) -> str:
        """Return the name with the share of its rarer term, as `corel_roses 93 %`; empty without a name."""
        if not self.terms:
            return ""
        return f"{self.name} {min(term.share for term in self.terms):.0%}".replace("%", " %")


def name_clusters(made: Map, generation: Generation) -> list[ClusterName]:
    """Name the clusters of a map by the images that are still in a generation, in the order of their numbers.

    Raises:
        SchemaMismatch: The file of the tags is damaged.
    """
    places, rows = align_rows(made, generation)
    cluster = np.asarray(made.table["cluster"])[places]
    sizes = Counter(cluster[cluster >= 0].tolist())
    if not sizes:
        return []
    terms = _terms_of(count_terms(generation, rows, pl.Series("cluster", cluster)), sizes, len(rows))
    named = _distinct(dict(sorted(terms.items())))
    return [ClusterName(number, size, *named.get(number, ("", ()))) for number, size in sorted(sizes.items())]


def _terms_of(counts: pl.DataFrame, sizes: Counter[int], rows: int) -> dict[int, list[Term]]:
    """Return the terms that can name each cluster, the best first."""
    size = pl.col("cluster").replace_strict(dict(sizes), default=1, return_dtype=pl.Int64)
    least = pl.when(pl.col("is_word") & (pl.col("by") != FILE_NAME)).then(WORD_SHARE).otherwise(SHARE)
    able = (
        counts.filter((pl.col("cluster") >= 0) & (pl.col("here") >= COUNT))
        .with_columns(share=pl.col("here") / size)
        .with_columns(lift=pl.col("share") * rows / pl.col("everywhere"))
        .filter((pl.col("share") >= least) & (pl.col("lift") >= LIFT))
        .with_columns(
            score=pl.col("share") * pl.col("lift").log(),
            is_last=pl.col("by").is_in(_LAST_RESORT),
            order=pl.col("by").replace_strict({TAG: 0, FOLDER: 2, FILE_NAME: 3}, default=1, return_dtype=pl.Int8),
        )
        .sort(
            "cluster", "is_last", pl.col("score").round(6), "is_word", "order", pl.col("text").str.len_bytes(), "text",
            descending=[False, False, True, False, False, True, False],
        )
        .group_by("cluster", maintain_order=True)
        .head(_KEPT)
    )  # fmt: skip
    found: dict[int, list[Term]] = defaultdict(list)
    for cluster, by, text, here, share, lift in able.select(
        "cluster", "by", "text", "here", "share", "lift"
    ).iter_rows():
        found[cluster].append(Term(by, text, here, round(share, 4), round(lift, 2)))
    return found


def _distinct(terms: dict[int, list[Term]]) -> dict[int, tuple[str, tuple[Term, ...]]]:
    """Choose the terms of each name, so that names differ: by a second term, else by a number."""
    groups: dict[str, list[int]] = defaultdict(list)
    for cluster, able in terms.items():
        groups[_short(able[0]).casefold()].append(cluster)
    named: dict[int, tuple[str, tuple[Term, ...]]] = {}
    for clusters in groups.values():
        for cluster in clusters:
            able = terms[cluster]
            others = {_short(term).casefold() for other in clusters if other != cluster for term in terms[other]}
            second = [term for term in able[1:] if _short(term).casefold() not in others and _adds(able[0], term)]
            used = (able[0], *second[:1]) if len(clusters) > 1 else able[:1]
            named[cluster] = ", ".join(map(_short, used)), tuple(used)
    return _numbered(named)


def _adds(first: Term, second: Term) -> bool:
    """Test whether a second term says more than the first: neither contains the other."""
    a, b = first.text.casefold(), second.text.casefold()
    return a not in b and b not in a and second.by not in _LAST_RESORT


def _numbered(named: dict[int, tuple[str, tuple[Term, ...]]]) -> dict[int, tuple[str, tuple[Term, ...]]]:
    """Add a number to names that earlier clusters have: `beach`, `beach (2)`."""
    taken: set[str] = set()
    numbered = {}
    for cluster, (name, used) in named.items():
        number, shown = 1, name
        while shown.casefold() in taken:
            number += 1
            shown = f"{name} ({number})"
        taken.add(shown.casefold())
        numbered[cluster] = shown, used
    return numbered


def _short(term: Term) -> str:
    """Return the text of a term; of a folder the last part, with that above it where it is only a number."""
    if term.by != FOLDER:
        return term.text
    parts = term.text.split("/")
    return parts[-1] if any(map(str.isalpha, parts[-1])) else "/".join(parts[-2:])


def names_of(named: Sequence[ClusterName]) -> dict[int, str]:
    """Return the labels of the clusters that have a name, by number."""
    return {one.cluster: one.label() for one in named if one.terms}
