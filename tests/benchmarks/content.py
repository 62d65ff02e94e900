"""Content vectors beside full embeddings: by class and for edited copies, in parts of the photos, by other settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from imrec_core.duplicates import candidates
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import l2_normalise
from imrec_core.features.reduction import METHODS, content_pca
from imrec_core.images.edits import Edit
from imrec_core.index.edited_copies import make_copies
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, build_plainly

_NETWORK = "efficientnet_lite0"
_SIZES, _DRAWS = (50, 100, 250, 500), 12  # images of a part, parts of each size
_COPIED = 150
Matrix = np.ndarray
Projection = Callable[[Matrix], Callable[[Matrix], Matrix]]
"""Fits vectors `(n, dims)` and returns the function that projects others."""


def measure(work: Testbed) -> list[Row]:
    """Precision@5, mAP and recall@1 of copies, as differences from the full embedding over the same parts."""
    lake = work.new_lake("lake-content", work.photos)
    lake.save_settings(replace(lake.settings(), features=(f"{_NETWORK}:full",)))
    build_plainly(lake)
    photos = Photos.of(lake, open_generation(lake))
    rows = []
    for size in (*_SIZES, len(photos.vectors)):
        parts = list(photos.parts(size))
        full = np.array([photos.quality(part, _full) for part in parts])
        for name, project in _CHOICES.items():
            gained = np.array([photos.quality(part, project) for part in parts]) - full
            spread = 1.96 * gained.std(axis=0) / len(parts) ** 0.5
            for i, unit in enumerate(("P@5", "mAP", "copies recall@1")):
                said = f"full {full[:, i].mean():.3f}" + (f", ± {spread[i]:.3f}" if len(parts) > 1 else "")
                rows.append(Row(f"{name}, {size} images", gained[:, i].mean(), f"{unit} beyond the full", said))
    return rows + _crops(lake, photos.vectors)


def _crops(lake: Lake, vectors: Matrix) -> list[Row]:
    """Crops within the distance at which `duplicates --tier edited` looks for the whole photo."""
    generation = open_generation(lake)
    full = FeatureMetric.of(generation.feature(f"{_NETWORK}_full"))
    drawn = np.sort(np.random.default_rng(6).permutation(len(vectors))[:_CROPPED])
    made = list(make_copies(lake, generation, {"full": full}, drawn, edits=_CROPS))
    crops = np.stack([np.stack(one.vectors["full"]) for one in made]).astype(np.float32)
    originals, rows = vectors[[one.row for one in made]], []
    for name, (fit, limit) in _LIMITS.items():
        project = fit(vectors)
        whole = l2_normalise(project(originals))
        for i, edit in enumerate(_CROPS):
            distances = 1 - (l2_normalise(project(crops[:, i])) * whole).sum(axis=1)
            rows.append(Row(f"{name}, {edit}", float((distances <= limit).mean()), f"within {limit:g}"))
    return rows


def _cropped(area: float) -> Edit:
    """Return the edit that keeps a share of the area, at the upper left."""

    def edit(image: Image.Image) -> bytes:
        part = image.crop((0, 0, round(image.width * area**0.5), round(image.height * area**0.5)))
        encoded = BytesIO()
        part.save(encoded, "JPEG", quality=90)
        return encoded.getvalue()

    return edit


class Photos:
    """Embeddings of photos and of edited copies of some of them, with classes."""

    def __init__(self, vectors: Matrix, classes: Matrix, copies: Matrix, originals: Matrix) -> None:
        self.vectors, self.classes, self.copies, self.originals = vectors, classes, copies, originals

    @classmethod
    def of(cls, lake: Lake, generation: Generation) -> "Photos":
        tables = [lake.read_table(lake.feature_path(_NETWORK, shard), ["vector"]) for shard in lake.live_shards()]
        vectors = np.concatenate([np.stack(table["vector"].to_numpy()) for table in tables]).astype(np.float32)
        classes = np.array([Path(path).parent.name for path in generation.rows["path"].to_pylist()])
        full = FeatureMetric.of(generation.feature(f"{_NETWORK}_full"))
        rows = np.sort(np.random.default_rng(5).permutation(len(vectors))[:_COPIED])
        made = list(make_copies(lake, generation, {"full": full}, rows))
        copies = np.concatenate([np.stack(one.vectors["full"]) for one in made]).astype(np.float32)
        originals = np.concatenate([[one.row] * len(one.vectors["full"]) for one in made])
        return cls(vectors, classes, copies, originals)

    def parts(self, size: int) -> Iterator[Matrix]:
        rng = np.random.default_rng(7)
        for _ in range(_DRAWS if size < len(self.vectors) else 1):
            yield np.sort(rng.permutation(len(self.vectors))[:size])

    def quality(self, part: Matrix, fit: Projection) -> tuple[float, float, float]:
        project = fit(self.vectors[part])
        gallery = l2_normalise(project(self.vectors[part]))
        precision, average = _by_class(gallery, self.classes[part])
        is_in = np.isin(self.originals, part)
        nearest = (l2_normalise(project(self.copies[is_in])) @ gallery.T).argmax(axis=1)
        return precision, average, float((part[nearest] == self.originals[is_in]).mean())


def _by_class(gallery: Matrix, classes: Matrix) -> tuple[float, float]:
    """Compute precision@5 and mAP of each image that has others of its class."""
    similarity = gallery @ gallery.T
    np.fill_diagonal(similarity, -2)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
    found = classes[order] == classes[:, None]
    found = found[found.any(axis=1)]
    ranks = np.arange(1, found.shape[1] + 1)
    precision = np.cumsum(found, axis=1) / ranks
    return float(found[:, :5].mean()), float(((precision * found).sum(axis=1) / found.sum(axis=1)).mean())


def _full(vectors: Matrix) -> Callable[[Matrix], Matrix]:
    return lambda others: others


def content_projection(dims: int = 256, **constants: float) -> Projection:
    def fit(vectors: Matrix) -> Callable[[Matrix], Matrix]:
        with _constants(**constants):
            arrays, _ = content_pca.fit_content_pca([lambda: vectors], dims=dims, folder=Path())
        return lambda others: METHODS["content_pca"].project(others, arrays)

    return fit


@contextmanager
def _constants(**values: float) -> Iterator[None]:
    """Set constants of `content_pca`, by name."""
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(mock.patch.object(content_pca, f"_{name.upper()}", value))
        yield


_CROPPED = 64
_CROPS = {"half of the area": _cropped(1 / 2), "a third of the area": _cropped(1 / 3)}
_AS_FOR_100_000 = {"power": 1 / 8 * 100_000 / 104_000, "power_images": 0, "trailing": 1.0}
_LIMITS = {
    "full vectors": (_full, candidates._FAR),
    "content vectors": (content_projection(), candidates._FAR_BY_CONTENT),
    "content vectors, scaled as for 100,000 images": (
        content_projection(**_AS_FOR_100_000),
        candidates._FAR_BY_CONTENT,
    ),
}
_PLAIN = {"power_images": 1e12, "trailing": 1.0}
_CHOICES: dict[str, Projection] = {
    "as imrec has it": content_projection(),
    "128 dims": content_projection(128),
    "64 dims": content_projection(64),
    "power 0, all components alike": content_projection(**_PLAIN),
    "power 1/8": content_projection(power_images=0, trailing=1.0),
    "power 1/2": content_projection(power=0.5, power_images=0, trailing=1.0),
    "trailing components by 0.5": content_projection(trailing=0.5),
    "trailing components by 0.85": content_projection(trailing=0.85),
}
