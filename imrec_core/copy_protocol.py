"""How well each feature finds the original of an edited copy: needs no labels, only a lake's own images.

A sample of the images is edited in every way of `edits.COPY_PROTOCOL`, described anew, and looked for among all images
by exact distance. The original is to be found, or another file of the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core import measures
from imrec_core.decode import ImageBatch, decode
from imrec_core.edits import COPY_PROTOCOL, Edit
from imrec_core.encoders import load_encoder
from imrec_core.errors import ImageError, QueryError, UnknownName, UnreadableImage
from imrec_core.extract import read_image
from imrec_core.features import Feature, decoded_side
from imrec_core.features.declare import Arrays
from imrec_core.generation import Generation
from imrec_core.judging import Plan, Way, parts, sample
from imrec_core.lake import Lake
from imrec_core.measures import Estimate

log = logging.getLogger(__name__)

Matrix = NDArray[Any]

MAX_PHOTOS = 200
ALL = "all"


@dataclass(frozen=True)
class CopiesFound:
    """How well copies by one edit are found by one feature.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix.
        edit: A name in `edits.COPY_PROTOCOL`, or `all` for all together.
        recall_at_1: Share of the copies whose nearest image is the original.
        mean_average_precision: 1 where it is the first, 1/2 where it is the second, and so on.
    """

    by: str
    edit: str
    recall_at_1: Estimate
    mean_average_precision: Estimate


def find_copies(
    lake: Lake,
    generation: Generation,
    *,
    by: Sequence[str] = (),
    mixes: Mapping[str, Mapping[str, float]] | None = None,
    photos: int = MAX_PHOTOS,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> list[CopiesFound]:
    """Measure how well features find the originals of edited copies.

    One image and its copies are in memory at a time, and the distances of a copy to all images.

    Args:
        by: `feature` or `feature:metric`; none given: every feature in its default metric.
        mixes: What is judged beside them, as in `judging.judge`.
        photos: Images that are edited, at most; a random sample, always the same.
        progress: Told how far it is.

    Returns:
        By feature, then by mix; of each every edit, then all together. Intervals are over images, not over copies:
        the copies of one image are alike.

    Raises:
        QueryError: No image can be read.
        BadWeights, UnknownName: A mix or a feature will not do.
    """
    plan = Plan.of(generation, by, mixes)
    of_each: dict[str, list[NDArray[np.float64]]] = {name: [] for name in plan.judged}
    for made in edited(lake, generation, plan.ways, photos=photos, edits=edits, progress=progress):
        for name, found in _searched(generation, plan, made).items():
            of_each[name].append(found)
    return [row for name, values in of_each.items() for row in _rows(name, list(edits), np.array(values))]


def _rows(name: str, edits: Sequence[str], values: NDArray[np.float64]) -> Iterator[CopiesFound]:
    """From values `(images, edits, 2)`: recall@1 and average precision."""
    for i, edit in enumerate(edits):
        yield CopiesFound(name, edit, *(measures.estimate(values[:, i, m]) for m in (0, 1)))
    yield CopiesFound(name, ALL, *(measures.estimate(values[..., m].mean(axis=1)) for m in (0, 1)))


# -- searching ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edited:
    """The copies of one image.

    Attributes:
        row: The image's own.
        originals: Rows with the same bytes, its own among them, ascending.
        vectors: Of each copy, as the metric takes a query, by `feature:metric` as it was asked for.
    """

    row: int
    originals: NDArray[np.int64]
    vectors: Mapping[str, Sequence[Matrix]]


def _searched(generation: Generation, plan: Plan, copies: Edited) -> dict[str, NDArray[np.float64]]:
    """Recall@1 and average precision `(copies, 2)` by all that is judged."""
    count, rows = len(next(iter(copies.vectors.values()))), np.arange(len(generation))
    found = {name: np.empty((count, 2)) for name in plan.judged}
    for some in parts(np.arange(count), len(rows)):
        queries = {name: [vectors[i] for i in some] for name, vectors in copies.vectors.items()}
        for name, distances in plan.distances(generation, queries, rows):
            found[name][some] = [_measured(of_copy, copies.originals) for of_copy in distances]
    return found


def _measured(distances: Matrix, originals: NDArray[np.int64]) -> tuple[float, float]:
    return measures.tied_recall_at_1(distances, originals), measures.tied_average_precision(distances, originals)


# -- making -------------------------------------------------------------------------------------------------


def edited(
    lake: Lake,
    generation: Generation,
    ways: Mapping[str, Way],
    *,
    photos: int,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[Edited]:
    """The edited copies of a sample of the images, image by image, described in every way.

    An image that is gone or cannot be read any more is left out, with a warning.

    Raises:
        QueryError: That is so for all of them.
    """
    describe = _Describer(lake, generation)
    hashes = generation.rows["content_hash"].to_numpy()
    chosen = sample(np.arange(len(generation)), photos)
    done = 0
    for number, row in enumerate(chosen):
        if number % 20 == 0:
            progress(f"{number} of {len(chosen)} images edited in {len(edits)} ways")
        try:
            batch = describe.copies(int(row), edits)
        except ImageError as error:
            log.warning("left out: %s", error)
            continue
        done += 1
        yield Edited(int(row), np.flatnonzero(hashes == hashes[row]), describe.queries(batch, ways))
    if not done:
        raise QueryError(f"none of {len(chosen)} images can be read, so there is nothing to make copies of")


class _Describer:
    """Pictures to vectors of the features of a generation, as its own images were described."""

    def __init__(self, lake: Lake, generation: Generation) -> None:
        self._lake, self._generation = lake, generation
        self._settings, self._min_side = lake.settings(), decoded_side(lake)
        self._fits: dict[str, Arrays] = {}

    def copies(self, row: int, edits: Mapping[str, Edit]) -> ImageBatch:
        """The edited copies of an image, written and decoded again.

        Raises:
            ImageError: Its file cannot be read.
        """
        place = self._generation.rows.slice(row, 1).to_pylist()[0]
        largest = self._settings.max_pixels
        try:
            source = self._settings.source(place["source"])
            picture = decode(read_image(source, place), max_pixels=largest).pixels
        except UnknownName as error:  # the source was taken out of lake.toml since
            raise UnreadableImage(f"{place['path']}: {error}") from error
        except ImageError as error:
            raise type(error)(f"{place['source']}/{place['path']}: {error}") from error
        original = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
        made = (edit(original) for edit in edits.values())
        return ImageBatch([decode(data, max_pixels=largest, min_side=self._min_side).pixels for data in made])

    def queries(self, batch: ImageBatch, ways: Mapping[str, Way]) -> dict[str, Sequence[Matrix]]:
        """The vectors of the pictures as the metric of each way takes queries."""
        known: dict[str, Matrix] = {}
        found: dict[str, Sequence[Matrix]] = {}
        for name, (feature, metric) in ways.items():
            if feature.orientations and metric.takes_several:
                found[name] = list(feature.orientations(batch))
            else:
                vectors = self._described(feature, batch, known)
                found[name] = [feature.as_query(vector, metric) for vector in vectors]
        return found

    def _described(self, feature: Feature, batch: ImageBatch, known: dict[str, Matrix]) -> Matrix:
        if feature.name not in known:
            fitted = self._fitted(feature) if feature.is_fitted else None
            if feature.projection:
                bases = [self._described(base, batch, known) for base in feature.bases]
                known[feature.name] = feature.checked(feature.projection.project(bases, fitted or {}), len(batch))
            elif feature.model:
                encoder = load_encoder(feature.model, precision=self._settings.precision)
                known[feature.name] = feature.checked(encoder(batch.prepared(feature.model.preprocess)), len(batch))
            else:
                known[feature.name] = feature(batch, fitted)
        return known[feature.name]

    def _fitted(self, feature: Feature) -> Arrays:
        if feature.name not in self._fits:
            version = self._generation.features[feature.name]["fitted"]
            self._fits[feature.name] = self._lake.load_fitted(feature.name, version)
        return self._fits[feature.name]
