"""Edited copies of a lake's own images, described as those images were.

`index` learns from them how near copies are, `copy_protocol` and `tuning` look for their originals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import ImageError, QueryError, StorageFault, UnknownName, UnreadableImage
from imrec_core.extraction.embed import ImageEncoder, oriented_features, query_vector
from imrec_core.extraction.reader import read_image
from imrec_core.features import decoded_side
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.images.decode import decode
from imrec_core.images.edits import COPY_PROTOCOL, Edit
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

log = logging.getLogger(__name__)

Matrix = NDArray[Any]
Pixels = NDArray[np.uint8]
Ways = Mapping[str, FeatureMetric]


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


def make_copies(
    lake: Lake,
    generation: Generation,
    ways: Ways,
    rows: NDArray[np.int64],
    *,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[Edited]:
    """The edited copies of images, image by image, described in every way.

    One image and its copies are in memory at a time. An image that is gone or cannot be read any more is left out, with
    a warning.

    Raises:
        QueryError: That is so for all of them.
    """
    encoder, min_side = ImageEncoder(lake), decoded_side(lake)
    features = {way.feature.name: way.feature for way in ways.values()}
    oriented = oriented_features(ways.values())
    hashes = generation.columns("content_hash")["content_hash"].to_numpy()
    live = generation.is_live
    done = 0
    for number, row in enumerate(rows.tolist()):
        if number % 20 == 0:
            progress(f"{number} of {len(rows)} images edited in {len(edits)} ways")
        try:
            copies = _copies(encoder.settings, generation, row, edits, min_side)
        except (ImageError, StorageFault) as error:
            log.warning("left out: %s", error)
            continue
        done += 1
        encoded = encoder.encode(copies, features.values(), generation.fit_versions, oriented=oriented)
        vectors = {name: [query_vector(copy, way) for copy in encoded] for name, way in ways.items()}
        yield Edited(row, np.flatnonzero((hashes == hashes[row]) & live), vectors)
    if not done:
        raise QueryError(f"none of {len(rows)} images can be read, so there is nothing to make copies of")


def _copies(
    settings: Settings, generation: Generation, row: int, edits: Mapping[str, Edit], min_side: int
) -> list[Pixels]:
    """The edited copies of an image, written and decoded again.

    Raises:
        ImageError: Its file cannot be read, or is too long or too wide for a format that a copy is written in.
    """
    place = generation.rows.slice(row, 1).to_pylist()[0]
    largest = settings.max_pixels
    try:
        source = settings.source(place["source"])
        picture = decode(read_image(source, place), max_pixels=largest).pixels
        original = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
        made = (edit(original) for edit in edits.values())
        return [decode(data, max_pixels=largest, min_side=min_side).pixels for data in made]
    except UnknownName as error:  # the source was taken out of lake.toml since
        raise UnreadableImage(f"{place['path']}: {error}") from error
    except ImageError as error:
        raise type(error)(f"{place['source']}/{place['path']}: {error}") from error
    except OSError as error:  # of Pillow: a JPEG has 65,500 pixels a side, at most
        raise UnreadableImage(f"{place['source']}/{place['path']}: no copy can be written: {error}") from error


def distances_to_original(generation: Generation, ways: Ways, copies: Edited) -> dict[str, NDArray[np.float32]]:
    """How far each copy is from its original `(copies,)`, in every way."""
    found = {}
    for name, way in ways.items():
        own = generation.matrix(way.feature.name)[copies.row : copies.row + 1]
        own = own if own.dtype == np.uint64 else np.asarray(own, np.float32)
        found[name] = np.concatenate([way.metric(vector, own) for vector in copies.vectors[name]])
    return found
