"""What a search loses by its candidates, in particular where a metric has none of its own graph or scan."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import FEATURES
from imrec_core.features.metrics import METRICS
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.search.hits import Hit
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, spread

_FEATURE = FEATURES["rgb_histogram"]
_CROPS = 16  # of each photo, so that there are enough rows for a hundred candidates to be few
_QUERIES, _CANDIDATES, _K = 200, 100, 10
_BATCH = 64
_FEW = 371  # photos of the smaller lake
_SEARCHES = 100  # for each feature and metric


def measure(work: Testbed) -> list[Row]:
    """Recall@10 of 100 candidates: over histograms of random crops, and of searches of lakes of the photos."""
    photos = sorted(path for path in work.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    lakes = [spread(photos, count) for count in sorted({min(_FEW, len(photos)), len(photos)})]
    return [*_of_crops(work), *(row for lake in lakes for row in _searched(work, lake))]


def _searched(work: Testbed, photos: list[Path]) -> list[Row]:
    """Recall@10 of searches by every default feature and metric, against the exact ones."""
    folder = work.folder / f"photos-{len(photos)}"
    for photo in photos:
        link = folder / photo.relative_to(work.photos)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(photo)
    rec = Recommender.open(work.built_lake(f"lake-{len(photos)}", folder))
    rows = np.random.default_rng(1).permutation(len(rec))[:_SEARCHES]
    ids = [ImageId(rec.generation.rows["image_id"][int(row)].as_py()) for row in rows]
    return [
        Row(f"{len(rec)} photos, {by}", _found(rec, ids, by), "recall@10")
        for feature in map(rec.generation.feature, rec.generation.features)
        for by in (f"{feature.name}:{metric.name}" for metric in feature.metrics)
    ]


def _found(rec: Recommender, ids: list[ImageId], by: str) -> float:
    """Share of the exactly nearest that a search finds; equal distances count as found."""
    found = []
    for query in ids:
        (*_, last) = rec.search(query, k=_K, by=by, exact=True)
        hits = rec.search(query, k=_K, by=by)
        found.append(np.mean([_distance(hit) <= _distance(last) * (1 + 1e-6) + 1e-6 for hit in hits]))
    return float(np.mean(found))


def _distance(hit: Hit) -> float:
    (part,) = hit.parts.values()
    return part.distance


def _of_crops(work: Testbed) -> list[Row]:
    """Recall@10 of candidates by the default metric, and by a map of the metric's own."""
    matrix = np.concatenate([_FEATURE(batch) for batch in _batches(work)])
    queries = np.random.default_rng(1).permutation(len(matrix))[:_QUERIES]
    rows = [Row("crops", len(matrix), "", f"{_FEATURE.name}, {_QUERIES} queries, {_CANDIDATES} candidates")]
    for metric in _FEATURE.metrics:
        if metric.has_graph:
            continue
        near = _recall(matrix, queries, metric.distance, _FEATURE.metric.distance)
        rows.append(Row(f"candidates:{metric.name}", near, "recall@10", f"candidates by {_FEATURE.metric.name}"))
        if metric.can_have_graph:
            lifted = metric.lifted(matrix)
            own = _recall(matrix, queries, metric.distance, METRICS["euclidean"].distance, lifted)
            rows.append(Row(f"map:{metric.name}", own, "recall@10", "candidates by its own map"))
    return rows


def _batches(work: Testbed) -> list[ImageBatch]:
    rng = np.random.default_rng(0)
    crops = []
    for path in sorted(path for path in work.photos.rglob("*.jpg")):
        pixels = decode(path.read_bytes(), min_side=256).pixels
        for _ in range(_CROPS):
            height, width = (int(side * rng.uniform(0.3, 0.8)) + 1 for side in pixels.shape[:2])
            top, left = (int(rng.integers(0, free + 1)) for free in np.subtract(pixels.shape[:2], (height, width)))
            crops.append(pixels[top : top + height, left : left + width])
    return [ImageBatch(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)]


def _recall(
    matrix: NDArray[np.float32],
    queries: NDArray[np.int64],
    exact: Callable[..., NDArray[np.float32]],
    cheap: Callable[..., NDArray[np.float32]],
    lifted: NDArray[np.float32] | None = None,
) -> float:
    """Share of the nearest by `exact` among the candidates by `cheap`, which looks at `lifted` vectors if given."""
    places = matrix if lifted is None else lifted
    found = []
    for query in queries:
        distances = exact(matrix[query], matrix)
        candidates = np.argpartition(cheap(places[query], places), _CANDIDATES)[:_CANDIDATES]
        limit = np.partition(distances, _K - 1)[_K - 1]
        found.append(min((distances[candidates] <= limit * (1 + 1e-6)).sum(), _K) / _K)
    return float(np.mean(found))
