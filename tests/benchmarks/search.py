"""Searching an open recommender: how long it takes, and what the graphs miss."""

from collections import defaultdict
from time import perf_counter

import numpy as np

from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_QUERIES, _K = 200, 10
_THREE = ("efficientnet_lite0", "hsv_histogram", "phash")
_LIMITS = {"by ImageId": 2.0, "by file": 30.0}


def measure(work: Testbed) -> list[Row]:
    """Median and 95th percentile of each way to ask, in turns, after one round that opens what is opened once."""
    rec = Recommender.open(work.built_lake("lake-search", work.many))
    rows = rec.generation.rows
    chosen = np.random.default_rng(0).permutation(len(rows))[:_QUERIES]
    large = int(np.percentile(rows["byte_size"].to_numpy(), 90))
    ways = {
        "by ImageId": {},
        "by file": {},
        "by ImageId, three features": {"by": _THREE},
        "by ImageId, where keeps 10 %": {"where": f"byte_size >= {large}"},
        "by ImageId, exact": {"exact": True},
    }
    spent: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows.select(["image_id", "path"]).take([*chosen[:1], *chosen]).to_pylist():
        for name, options in ways.items():
            query = work.many / row["path"] if name == "by file" else ImageId(row["image_id"])
            started = perf_counter()
            rec.search(query, k=_K, **options)
            spent[name].append(1000 * (perf_counter() - started))
    queries = [ImageId(rows["image_id"][int(row)].as_py()) for row in chosen]
    return [
        Row("images", len(rec), "", f"{len(queries)} queries each, k = {_K}"),
        Row("first search after opening", spent["by ImageId"][0], "ms"),
        *(_row(name, times[1:]) for name, times in spent.items()),
        *(Row(f"recall@{_K} {name}", _recall(rec, name, queries), at_least=0.95) for name in _THREE),
    ]


def _row(name: str, times: list[float]) -> Row:
    return Row(name, float(np.median(times)), "ms", f"95th {np.percentile(times, 95):.2f}", at_most=_LIMITS.get(name))


def _recall(rec: Recommender, name: str, queries: list[ImageId]) -> float:
    """Share of the exactly nearest that the default search finds; equal distances count as found."""
    found = []
    for query in queries:
        limit = rec.search(query, k=_K, by=name, exact=True)[-1].parts[name].distance
        hits = rec.search(query, k=_K, by=name)
        found.append(np.mean([hit.parts[name].distance <= limit * (1 + 1e-6) + 1e-6 for hit in hits]))
    return float(np.mean(found))
