"""Make and encode edited copies of a lake's images, for calibration and for the evaluation of copy detection."""

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
from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

log = logging.getLogger(__name__)

Matrix = NDArray[Any]
Pixels = NDArray[np.uint8]
FeatureMetrics = Mapping[str, FeatureMetric]
"""By `feature` or `feature:metric`."""

_PROGRESS_EVERY = 20  # images


@dataclass(frozen=True)
class EditedCopies:
    """The edited copies of one image.

    Attributes:
        row: Row of the image.
        originals: Live rows with the same content, including the image's own, ascending.
        vectors: Query vectors of the copies, in the order of the edits, by name of the feature and metric.
    """

    row: int
    originals: Rows
    vectors: Mapping[str, Sequence[Matrix]]


def make_copies(
    lake: Lake,
    generation: Generation,
    feature_metrics: FeatureMetrics,
    rows: Rows,
    *,
    edits: Mapping[str, Edit] = COPY_PROTOCOL,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[EditedCopies]:
    """Make edited copies of images and encode them by several features.

    Only one image and its copies are in memory at a time. Images that cannot be read are skipped with a warning.

    Args:
        rows: Rows of the images.
        progress: Called with a line for every 20 images.

    Raises:
        QueryError: None of the images can be read.
    """
    encoder, min_side = ImageEncoder(lake), decoded_side(lake)
    features = {by.feature.name: by.feature for by in feature_metrics.values()}
    oriented = oriented_features(feature_metrics.values())
    hashes = generation.columns("content_hash")["content_hash"].to_numpy()
    is_live = generation.is_live
    done = 0
    for number, row in enumerate(rows.tolist()):
        if number % _PROGRESS_EVERY == 0:
            progress(f"{number} of {len(rows)} images edited in {len(edits)} ways")
        try:
            copies = _edit_image(encoder.settings, generation, row, edits, min_side)
        except (ImageError, StorageFault) as error:
            log.warning("image skipped: %s", error)
            continue
        done += 1
        encoded = encoder.encode(copies, features.values(), generation.fit_versions, oriented=oriented)
        vectors = {name: [query_vector(copy, by) for copy in encoded] for name, by in feature_metrics.items()}
        yield EditedCopies(row, np.flatnonzero((hashes == hashes[row]) & is_live), vectors)
    if not done:
        raise QueryError(f"none of {len(rows)} images can be read, so no edited copies can be made")


def _edit_image(
    settings: Settings, generation: Generation, row: int, edits: Mapping[str, Edit], min_side: int
) -> list[Pixels]:
    """Decode an image, edit it, and decode the encoded copies.

    Raises:
        ImageError: The file cannot be read, or the image is too large for the format of a copy.
    """
    file = generation.rows.slice(row, 1).to_pylist()[0]
    max_pixels = settings.max_pixels
    try:
        source = settings.source(file["source"])
        pixels = decode(read_image(source, file), max_pixels=max_pixels, allow_truncated=True).pixels
        original = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
        encoded = (edit(original) for edit in edits.values())
        return [decode(data, max_pixels=max_pixels, min_side=min_side).pixels for data in encoded]
    except UnknownName as error:  # the source was removed from lake.toml
        raise UnreadableImage(f"{file['path']}: {error}") from error
    except ImageError as error:
        raise type(error)(f"{file['source']}/{file['path']}: {error}") from error
    except OSError as error:  # from Pillow: JPEG is limited to 65,500 pixels a side
        raise UnreadableImage(f"{file['source']}/{file['path']}: the copy cannot be written: {error}") from error


def distances_to_original(
    generation: Generation, feature_metrics: FeatureMetrics, copies: EditedCopies
) -> dict[str, NDArray[np.float32]]:
    """Compute the distances of copies to their original `(copies,)`, by name of the feature and metric."""
    distances = {}
    for name, by in feature_metrics.items():
        own = generation.matrix(by.feature.name)[copies.row : copies.row + 1]
        own = own if own.dtype == np.uint64 else np.asarray(own, np.float32)
        distances[name] = np.concatenate([by(vector, own) for vector in copies.vectors[name]])
    return distances
