"""Steps that search a lake of some size: from Python in one fresh process, and by commands that each start cold."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from imrec_core import ImageId, Recommender
from tests.benchmarks.size_work import QUERIES, Figure, Work
from tests.benchmarks.watched import watch

_ASKED, _SCANNED = 200, 20  # queries by graph, and such that compare every image
_K = 10
_THREE = ("efficientnet_lite0", "hsv_histogram", "phash")
_HISTOGRAM, _BY_HISTOGRAM = "rgb_histogram", "searches by a histogram in one process"
_PEAK = 800_000_000
_AT_MOST = {
    "open and first search": 0.3,
    "search by id, one feature": 0.001,
    "search by id, three features": 0.005,
    "search by id, where keeps 1 %": 0.005,
    "search by id, where keeps another 1 % each time": 0.005,
}
_COLD = {"--help": 0.25, "search ID": 0.7, "search FILE": 1.5}


def search(work: Work) -> list[Figure]:
    """Medians of searches from Python, by content and by a histogram; their processes have the peak of all of them."""
    return _searches(work, "searches in one process", peak_at_most=_PEAK) + _searches(work, _BY_HISTOGRAM)


def _searches(work: Work, name: str, **more: object) -> list[Figure]:
    command = [sys.executable, "-m", __name__, str(work.lake.root), str(work.query), name]
    done = watch(command, work.env, limit=work.limit)
    whole = work.figure(name, done, **more)
    if whole.note:
        return [whole]
    found = json.loads(done.output.splitlines()[-1])
    rows = [
        Figure(name, seconds, cores, results=results, seconds_at_most=_AT_MOST.get(name))
        for name, seconds, cores, results in found
    ]
    return [*rows, whole]


def cold(work: Work) -> list[Figure]:
    """Commands of a user, each a process of its own; the best of three."""
    asked: dict[str, Sequence[str | Path]] = {
        "--help": ["--help"],
        "search ID": ["search", work.image_id],
        "search FILE": ["search", work.query],
        "search ID --exact": ["search", work.image_id, "--exact"],
        "search ID, three features": ["search", work.image_id, *(word for name in _THREE for word in ("--by", name))],
        f"search --each, {QUERIES} files": ["search", "--each", work.queries],
    }
    figures = []
    for name, arguments in asked.items():
        done = min((work.imrec(*arguments) for _ in range(3)), key=lambda one: (one.code != 0, one.seconds))
        more = {"seconds_at_most": _COLD[name]} if name in _COLD else {}
        figures.append(work.figure(name, done, peak_at_most=_PEAK, **more))
    return figures


STEPS: dict[str, Callable[[Work], list[Figure]]] = {"search": search, "cold": cold}


def main(lake: str, query: str, name: str) -> None:
    """Print name, seconds, CPU seconds and results of each kind of search as JSON.

    Args:
        name: `_BY_HISTOGRAM` for searches by a histogram, else those by content.
    """
    started, cores = perf_counter(), process_time()
    rec = Recommender.open(lake, log_as=None)
    first_id = _any_id(rec)
    rec.search(ImageId(first_id), k=_K)
    first = ["open and first search", perf_counter() - started, process_time() - cores, {"images": len(rec)}]
    rows = np.random.default_rng(1).permutation(len(rec.generation.live))[: _ASKED + 1]
    ids = list(map(ImageId, rec.generation.row_table.values(rec.generation.live[rows], "image_id")["image_id"]))
    if name == _BY_HISTOGRAM:
        print(json.dumps([_timed(*way) for way in _by_histogram(rec, ids)]))
        return
    found = [first, *(_timed(*way) for way in _by_content(rec, ids, query))]
    found[1][3]["recall@10"] = _recall(rec, ids[:_ASKED])
    print(json.dumps(found))


Way = tuple[str, int, Callable[[int], Any]]
"""Name of a kind of search, number of searches, and the search by its number."""


def _by_content(rec: Recommender, ids: Sequence[ImageId], query: str) -> list[Way]:
    another = min(_ASKED, 90)
    return [
        ("search by id, one feature", _ASKED, lambda i: rec.search(ids[i], k=_K)),
        ("search by id, three features", _ASKED, lambda i: rec.search(ids[i], k=_K, by=_THREE)),
        ("search by id, where keeps 1 %", _ASKED, lambda i: rec.search(ids[i], k=_K, where="row % 100 = 0")),
        (
            "search by id, where keeps another 1 % each time",
            another,
            lambda i: rec.search(ids[i], k=_K, where=f"row % 100 = {i + 1}"),
        ),
        ("search by file", _SCANNED, lambda i: rec.search(query, k=_K)),
        ("search by id, exact", _SCANNED, lambda i: rec.search(ids[i], k=_K, exact=True)),
        ("search by id, k = 1,000", _SCANNED, lambda i: rec.search(ids[i], k=1000)),
        ("search by id, ordered by a column", _SCANNED, lambda i: rec.search(ids[i], k=_K, order_by="width")),
    ]


def _by_histogram(rec: Recommender, ids: Sequence[ImageId]) -> list[Way]:
    return [
        ("search by id, one histogram", _ASKED, lambda i: rec.search(ids[i], k=_K, by=_HISTOGRAM)),
        (
            "search by id, one histogram, exact",
            _SCANNED,
            lambda i: rec.search(ids[i], k=_K, by=_HISTOGRAM, exact=True),
        ),
    ]


def _any_id(rec: Recommender) -> str:
    return str(rec.generation.columns("image_id")["image_id"][int(rec.generation.live[0])].as_py())


def _timed(name: str, count: int, ask: Callable[[int], Any]) -> list[Any]:
    """Median seconds and CPU seconds, after one search that opens what is opened once."""
    ask(0)
    spent, spent_cores = [], []
    for i in range(1, count + 1):
        started, cores = perf_counter(), process_time()
        ask(i)
        spent.append(perf_counter() - started)
        spent_cores.append(process_time() - cores)
    return [name, median(spent), median(spent_cores), {}]


def _recall(rec: Recommender, ids: Sequence[ImageId]) -> float:
    """Share of the exactly nearest images that are found; equal distances count as found."""
    shares = []
    for query, exact in zip(ids, rec.search_each(ids, k=_K, exact=True), strict=True):
        limit = max(part.distance for hit in exact for part in hit.parts.values())
        hits = rec.search(query, k=_K)
        near = [part.distance <= limit * (1 + 1e-6) + 1e-6 for hit in hits for part in hit.parts.values()]
        shares.append(float(np.mean(near)))
    return float(np.mean(shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
