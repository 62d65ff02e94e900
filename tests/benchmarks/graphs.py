"""The choices of HNSW graphs with reduced dims, over the first rows of a lake.

    python -m tests.benchmarks.graphs LAKE [--rows 60000] [--feature NAME]...

For each feature: the recall@10 of candidates by so many components, without a graph; the core time of graphs and their
recall by `ef_construction`; recall and core time of queries by ef and number of candidates; and how far the 10
neighbours of each image are by a smaller ef, as `imrec issues` searches them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from time import process_time
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index import hnsw
from imrec_core.index.generation import Generation
from imrec_core.index.graph_space import reduced_space
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import IndexParams
from tests.benchmarks.rows import Row, cores, machine, table

_QUERIES, _K = 300, 10
_DIMS, _CANDIDATES = (32, 48, 64, 80, 96), (100, 200, 400)
_BREADTHS = (100, 64, 48)
_EFS = ((100, 100), (192, 192), (256, 256), (320, 320), (384, 256), (384, 300), (384, 384), (512, 256), (512, 512))
_EACH = 110  # ef and candidates for 10 neighbours of each row
Rows = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", help="a lake with a generation of 10,000 images or more")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--feature", action="append", default=[], help="default: all with a graph")
    asked = parser.parse_args()
    generation = open_generation(Lake(asked.lake))
    rows = []
    for name in asked.feature or dict.fromkeys(graph.feature for graph in generation.graphs.values()):
        rows += _compare(_Part(generation, name, min(asked.rows, len(generation))))
    print("\n".join(f"  {key}: {value}" for key, value in machine().items()))
    print(table(rows))


@dataclass(frozen=True)
class _Part:
    """The first rows of a feature, the points of their graph, and queries with their exactly nearest rows."""

    generation: Generation
    name: str
    count: int

    @cached_property
    def by(self) -> FeatureMetric:
        return FeatureMetric.of(self.generation.feature(self.name))

    @cached_property
    def vectors(self) -> NDArray[Any]:
        return np.array(self.generation.matrix(self.name)[: self.count])

    @cached_property
    def space(self) -> Any:
        return reduced_space(self.by.feature, self.by.metric, self.vectors)

    @cached_property
    def points(self) -> NDArray[np.float32]:
        return np.concatenate([self.space.points(self.vectors[i : i + 16_384]) for i in range(0, self.count, 16_384)])

    @cached_property
    def queries(self) -> Rows:
        return np.random.default_rng(1).permutation(self.count)[:_QUERIES]

    @cached_property
    def farthest(self) -> list[float]:
        """Distance of the tenth nearest other row of each query."""
        return [float(np.sort(self.by.metric(self.vectors[row], self.vectors))[_K]) for row in self.queries]

    def recall(self, found: Rows) -> float:
        """Share of the 10 nearest other rows that are among the found ones `(queries, n)`."""
        shares = []
        for query, rows, limit in zip(self.queries, found, self.farthest, strict=True):
            others = rows[rows != query]
            near = self.by.metric(self.vectors[query], self.vectors[others]) <= limit + 1e-6
            shares.append(min(near.sum() / _K, 1))
        return float(np.mean(shares))

    def graph(self, breadth: int) -> tuple[Any, float]:
        """Build the graph; return it and its core seconds."""
        order = hnsw._insertion_order(self.space, self.vectors)
        index = hnswlib.Index("l2", self.space.dims)
        index.init_index(self.count, M=IndexParams().m, ef_construction=breadth, random_seed=1)
        started = process_time()
        for first in range(0, self.count, 16_384):
            rows = order[first : first + 16_384]
            index.add_items(self.points[rows], rows, num_threads=cores())
        return index, process_time() - started

    def ask(self, index: Any, ef: int, candidates: int) -> tuple[Rows, float]:
        """Return the candidates of all queries, and core milliseconds of one."""
        index.set_ef(ef)
        started = process_time()
        found = index.knn_query(self.points[self.queries], k=candidates, num_threads=1)[0].astype(np.int64)
        return found, 1000 * (process_time() - started) / len(self.queries)


def _compare(part: _Part) -> Iterator[Row]:
    if not part.space.dims:
        yield Row(part.name, float("nan"), "", "its graph has all dims")
        return
    yield Row(part.name, part.space.dims, "dims", f"{part.count:,} rows, {_QUERIES} queries")
    yield from _by_dims(part)
    graphs = {breadth: part.graph(breadth) for breadth in _BREADTHS}
    for breadth, (index, seconds) in graphs.items():
        found = part.recall(part.ask(index, 100, 100)[0])
        yield Row(f"  ef_construction {breadth}", seconds, "core-s", f"recall@10 {found:.4f} at ef 100")
    index = graphs[_BREADTHS[0]][0]
    for ef, candidates in _EFS:
        found, spent = part.ask(index, ef, candidates)
        yield Row(f"  ef {ef}, {candidates} candidates", spent, "core-ms", f"recall@10 {part.recall(found):.4f}")
    yield _of_each(part, index)


def _by_dims(part: _Part) -> Iterator[Row]:
    for dims in (dims for dims in _DIMS if dims <= part.space.dims):
        points = part.points[:, :dims]
        lengths, found = (points * points).sum(axis=1), []
        for query in part.queries:
            distances = lengths - 2 * (points @ points[query])
            near = np.argpartition(distances, _CANDIDATES[-1])[: _CANDIDATES[-1]]
            found.append(near[np.argsort(distances[near])])
        recalls = (part.recall(np.array(found)[:, :count]) for count in _CANDIDATES)
        shown = ", ".join(f"{recall:.4f} of {count}" for recall, count in zip(recalls, _CANDIDATES, strict=True))
        yield Row(f"  {dims} components, exact", float("nan"), "", f"recall@10 {shown} candidates")


def _of_each(part: _Part, index: Any) -> Row:
    """Mean distance of the 10 neighbours by a smaller ef, beside that by a large one."""
    means = []
    for ef in (512, _EACH):
        found = part.ask(index, ef, ef)[0]
        rows = zip(part.queries, found, strict=True)
        distances = [
            np.sort(part.by.metric(part.vectors[query], part.vectors[near]))[1 : _K + 1] for query, near in rows
        ]
        means.append(np.mean(distances, axis=1))
    farther = float(np.mean(means[1] / np.maximum(means[0], 1e-12)) - 1)
    return Row(f"  10 neighbours by ef {_EACH}", 100 * farther, "%", "farther than by ef 512")


if __name__ == "__main__":
    main()
