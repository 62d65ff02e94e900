"""How fast each feature is, how good it is at finding the same class, and how good at finding edited copies.

`make bench ARGS="features --json docs/measured.json"`, then `make docs`, writes the columns of the table of
docs/reference/features.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from imrec_core.evaluation import measures
from imrec_core.features import FEATURES, Feature
from imrec_core.features.metrics import Metric
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.images.edits import EDITS
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.models.encoders import load_encoder
from imrec_core.models.loading import weights_here
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed, build_plainly

Vectors = NDArray[np.generic]
Labels = NDArray[np.str_]

_EDITED = 200  # photos of which copies are looked for
_TIMED = 192
_BATCH = 16
_SHOWN = ("crop", "turned90", "mirrored")
_COMBINED = {"look": {"hsv_histogram": 0.3, "sift_vlad": 0.3, "efficientnet_lite0": 0.4}}
_MORE = ("phash:hamming_dihedral", "pdq:hamming_dihedral", "efficientnet_lite0:euclidean", "hsv_histogram:chi_square")


def measure(work: Testbed) -> list[Row]:
    """Rows named by the feature (`feature:metric` beside its default); the unit says what was measured."""
    lake = _lake(work)
    generation = open_generation(lake)
    paths = [work.photos / path for path in generation.rows["path"].to_pylist()]
    labels = np.array([path.parent.name or path.stem.partition("__")[0] for path in paths])
    features = [generation.feature(name) for name in generation.features]
    chosen = np.linspace(0, len(paths) - 1, min(_EDITED, len(paths))).astype(int)
    edited = _Edited(lake, generation, [paths[i] for i in chosen])
    said = f"{len(set(labels))} classes, {len(chosen)} photos edited in {len(EDITS)} ways"
    rows = [Row("photos", len(paths), "", said)]
    for feature in features:
        rows.append(Row(feature.name, feature.dims, "dims", feature.summary))
        rows.append(Row(feature.name, feature.width * np.dtype(feature.dtype).itemsize, "bytes"))
        timed = [paths[i] for i in chosen[:_TIMED]]
        rows += [Row(feature.name, rate, "images/s") for rate in _rates(_from_pixels(feature), timed, lake)]
        for metric in feature.metrics:
            name = f"{feature.name}:{metric.name}"
            if metric == feature.metric or name in _MORE:
                rows += _quality(name, feature, metric, generation, labels)
                rows += edited.rows(name, feature, metric, chosen) if feature.averaged is None else []
    return rows


def _lake(work: Testbed) -> Lake:
    """A lake of the photos with every feature whose weights are here, and a combination."""
    lake = Lake(work.folder / "lake-features").open_for_writing()
    here = [f.name for f in FEATURES.values() if all(b.model is None or weights_here(b.model) for b in (f, *f.bases))]
    settings = lake.settings().with_folders([f"photos={work.photos}"])
    features = (*here, "efficientnet_lite0:full")
    options = {"efficientnet_lite0": {"neighbourhood": 5}}
    lake.save_settings(replace(settings, features=features, combined=_COMBINED, model_options=options))
    build_plainly(lake)
    return lake


# -- speed --------------------------------------------------------------------------------------------------


def _from_pixels(feature: Feature) -> Feature:
    """The network of a content vector, whose projection takes next to no time; other features as they are."""
    return feature.bases[0] if feature.table and feature.projection else feature


def _rates(feature: Feature, paths: list[Path], lake: Lake) -> Iterable[float]:
    """Images per second of each core over decoded pictures; a network runs on all cores, then shared out."""
    if feature.projection or feature.averaged:
        return
    fitted = _fitted(lake, feature)
    pictures = [decode(path.read_bytes(), min_side=256).pixels for path in paths]
    best = np.inf
    with threadpool_limits(1, user_api="blas"):
        for _ in range(3):
            batches = [ImageBatch(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH)]
            clock = perf_counter if feature.model else process_time
            started = clock()
            if feature.model:
                encoder = load_encoder(feature.model)
                for waiting in [encoder.submit(batch.prepared(feature.model.preprocess)) for batch in batches]:
                    waiting()
            else:
                for batch in batches:
                    feature(batch, fitted)
            best = min(best, (clock() - started) * (cores() if feature.model else 1))
    yield len(pictures) / best


def _fitted(lake: Lake, feature: Feature) -> dict[str, NDArray[np.generic]] | None:
    return (
        lake.load_fitted(feature.stored_as, lake.fitted_version(feature.stored_as) or "") if feature.is_fitted else None
    )


# -- the same class -----------------------------------------------------------------------------------------


def _quality(name: str, feature: Feature, metric: Metric, generation: Generation, labels: Labels) -> list[Row]:
    """Leave-one-out over the classes: precision@5, mean average precision."""
    matrix = np.asarray(generation.matrix(feature.name))
    precision, average = [], []
    for row, vector in enumerate(matrix):
        distances = metric(feature.as_query(vector, metric), matrix)
        distances[row] = np.inf
        relevant = labels[np.argsort(distances, kind="stable")[:-1]] == labels[row]
        precision.append(measures.precision_at_k(relevant, 5))
        if relevant.any():
            average.append(measures.average_precision(relevant))
    return [Row(name, float(np.mean(precision)), "P@5"), Row(name, float(np.mean(average)), "mAP")]


# -- edited copies ------------------------------------------------------------------------------------------


class _Edited:
    """Copies of some photos in every edit, and their vectors, computed once for each feature."""

    def __init__(self, lake: Lake, generation: Generation, paths: list[Path]) -> None:
        self._lake, self._generation = lake, generation
        originals = [Image.open(BytesIO(path.read_bytes())).convert("RGB") for path in paths]
        self._batches = {
            edit: [
                ImageBatch([decode(change(image), min_side=256).pixels for image in originals[i : i + _BATCH]])
                for i in range(0, len(originals), _BATCH)
            ]
            for edit, change in EDITS.items()
        }
        self._vectors: dict[tuple[str, str], Vectors] = {}

    def rows(self, name: str, feature: Feature, metric: Metric, originals: NDArray[np.int64]) -> list[Row]:
        """Share of the copies whose nearest photo is the one that they were made of: of all edits, and of some."""
        found = {edit: self._recall(feature, metric, edit, originals) for edit in EDITS}
        shown = [Row(name, found[edit], f"R@1 {edit}") for edit in _SHOWN]
        return [Row(name, float(np.mean(list(found.values()))), "R@1"), *shown]

    def _recall(self, feature: Feature, metric: Metric, edit: str, originals: NDArray[np.int64]) -> float:
        gallery = np.asarray(self._generation.matrix(feature.name))
        if feature.orientations and metric.takes_several:
            queries = np.concatenate([feature.orientations(batch) for batch in self._batches[edit]])
        else:
            queries = self._of(feature, edit)
        hits = []
        for query, original in zip(queries, originals, strict=True):
            distances = metric(query, gallery)
            hits.append(distances[original] <= distances.min() + 1e-9)  # a photo that is there twice counts as found
        return float(np.mean(hits))

    def _of(self, feature: Feature, edit: str) -> Vectors:
        if (feature.name, edit) not in self._vectors:
            fitted = _fitted(self._lake, feature)
            if feature.projection:
                made = feature.projection.project([self._of(base, edit) for base in feature.bases], fitted or {})
                made = feature.checked(made, len(made))
            else:
                made = np.concatenate([feature(batch, fitted) for batch in self._batches[edit]])
            self._vectors[feature.name, edit] = made
        return self._vectors[feature.name, edit]


def measured(rows: Iterable[Mapping[str, object]]) -> dict[str, dict[str, float]]:
    """Name → what was measured → value, from the rows of the JSON file."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(str(row["name"]), {})[str(row["unit"])] = float(str(row["value"]))
    return found
