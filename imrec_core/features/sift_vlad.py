"""Local features: SIFT descriptors aggregated by VLAD, independent of position and rotation.

Each descriptor is assigned to the nearest of 64 words (the codebook). The residuals of each word are summed to one part
of a long vector, which principal components reduce. Codebook and components are fitted to a sample of the lake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import LakeError
from imrec_core.features.feature import Blank, Fitter, feature
from imrec_core.features.metrics import cosine, euclidean, l2_normalise, manhattan
from imrec_core.images.batch import ImageBatch
from imrec_core.images.rgb import Pixels

Floats = NDArray[np.float32]

_WORDS = 64
_WIDTH = 128  # numbers in a SIFT descriptor
_DIMS = 256  # recall@1 over nine edits 0.965 at 128, 0.979 at 256, 0.980 at 384 (1066 photos, 2026-11)

# On the same photos, recall@1 of crops to 60 %, rotated and shrunk by a third / share of the five nearest in the same
# class / ms per image: 0.92 / .30 / 6.9 with OpenCV's defaults at 300 keypoints; 0.99 / .33 / 8.2 with these values;
# 0.91 / .30 / 5.7 with half the contrast on images of 0.6 times this area.
_AREA = 256 * 192  # pixels; SIFT itself doubles the sides, for keypoints smaller than a pixel
_MAX_SIDE = 4096  # for strips, which stay long at this area
_KEYPOINTS = 600  # strongest responses; a caption alone had 300. SIFT keeps more if the last responses are equal
_LAYERS = 2  # per octave
_CONTRAST = 0.02
_EDGE, _SIGMA = 10, 1.6  # OpenCV's defaults

_MIN_SIDE = 256  # a square of `_AREA` has sides of 222
_SEED = 0
_MIN_IMAGES = 32
_MIN_PER_WORD = 10  # descriptors per word of the codebook
_PER_IMAGE = 100  # descriptors per image for the codebook: 105 MB for 2048 images


def _sift_descriptors(grey: Pixels) -> Pixels:
    """Compute SIFT descriptors `(n, 128)` of the strongest keypoints of an image.

    The image is shrunk to a bounded size; `n` may be 0.
    """
    import cv2

    sift = cv2.SIFT.create(_KEYPOINTS, _LAYERS, _CONTRAST, _EDGE, _SIGMA, cv2.CV_8U)
    found = sift.detectAndCompute(_bound_size(grey), None)[1]
    return np.empty((0, _WIDTH), np.uint8) if found is None else np.asarray(found, dtype=np.uint8)


def _bound_size(grey: Pixels) -> Pixels:
    """Shrink an image to an area of at most `_AREA` by area averaging."""
    import cv2

    scale = min((_AREA / grey.size) ** 0.5, 1.0)
    height, width = (min(max(round(side * scale), 1), _MAX_SIDE) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _root_sift(descriptors: Pixels) -> Floats:
    """Convert SIFT to RootSIFT: square roots of L1-normalised descriptors.

    Their Euclidean distance is proportional to the Hellinger distance of the descriptors.
    """
    values = descriptors.astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1)))


def _vlad(descriptors: Pixels, codebook: Floats) -> Floats:
    """Compute the VLAD `(64 · 128,)`: signed roots of summed residuals per word.

    Each word is normalised, then the whole vector. A word without descriptors is 0.
    """
    roots = _root_sift(descriptors)
    nearest = (roots @ codebook.T - (codebook * codebook).sum(axis=1) / 2).argmax(axis=1)
    assignment = np.zeros((len(codebook), len(roots)), np.float32)
    assignment[nearest, np.arange(len(roots))] = 1
    residuals = assignment @ roots - assignment.sum(axis=1, keepdims=True) * codebook
    signed = np.sign(residuals) * np.sqrt(np.abs(residuals))
    words = l2_normalise(signed)  # intra-normalisation: a repeated structure does not outweigh the rest
    return l2_normalise(words.reshape(1, -1)).ravel()


# -- fit ----------------------------------------------------------------------------------------------------


def learn(batches: Iterable[ImageBatch]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Fit codebook and principal components to a sample of images.

    All random numbers are seeded: the same images in the same order give the same arrays, independent of batch sizes.
    2048 images need about 0.3 GB: at most 600 descriptors per image as bytes, and some of them as floats.

    Returns:
        `codebook` `(64, 128)`, `mean` `(8192,)` and `axes` `(255, 8192)`, largest variance first, float32. The entry of
        largest magnitude of an axis is positive. Axes beyond the rank of the sample are 0. And statistics: images with
        and without keypoints, descriptors, mean squared distance to the nearest word, and share of the variance kept.

    Raises:
        LakeError: Too few images have keypoints, they have too few keypoints, or all are equal.
    """
    import sklearn.cluster  # noqa: F401  before the limit, which applies to loaded libraries only
    from threadpoolctl import threadpool_limits

    sample, blank = _sample_descriptors(batches)
    with threadpool_limits(1):  # sums over several threads differ in the last bits
        codebook, inertia = _fit_codebook(sample)
        mean, axes, shares = _fit_axes(np.stack([_vlad(descriptors, codebook) for descriptors in sample]))
    kept = np.cumsum(shares)
    facts = {
        "images": len(sample),
        "images_without_keypoints": blank,
        "descriptors": sum(map(len, sample)),
        "inertia": inertia,
        "variance_kept": float(kept[-1]),
        "curves": {
            "variance kept": {
                "x": list(range(1, len(kept) + 1)),
                "y": kept.round(6).tolist(),
                "x_label": "components",
                "y_label": "share",
            }
        },
    }
    return {"codebook": codebook, "mean": mean, "axes": axes}, facts


def _sample_descriptors(batches: Iterable[ImageBatch]) -> tuple[list[Pixels], int]:
    """Draw at most `_KEYPOINTS` descriptors of each image with keypoints.

    Also returns the number of images without keypoints.
    """
    rng = np.random.default_rng(_SEED)
    sample, blank = [], 0
    for batch in batches:
        for grey in batch.grey:
            descriptors = _draw(_sift_descriptors(grey), _KEYPOINTS, rng)
            if len(descriptors):
                sample.append(descriptors)
            else:
                blank += 1
    if len(sample) < _MIN_IMAGES:
        raise LakeError(
            f"sift_vlad needs {_MIN_IMAGES} images with keypoints for its fit; found {len(sample)}, and {blank} "
            "without; add images, or remove sift_vlad from the features"
        )
    found, least = sum(map(len, sample)), _WORDS * _MIN_PER_WORD
    if found < least:
        raise LakeError(
            f"sift_vlad needs {least} keypoints for its fit; found {found} in {len(sample)} images; "
            "add images with more detail, or remove sift_vlad from the features"
        )
    return sample, blank


def _draw(rows: Pixels, count: int, rng: np.random.Generator) -> Pixels:
    """Draw at most `count` random rows, in their order."""
    if len(rows) <= count:
        return rows
    return rows[np.sort(rng.choice(len(rows), count, replace=False))]


def _fit_codebook(sample: list[Pixels]) -> tuple[Floats, float]:
    """Fit the 64 words `(64, 128)`.

    Also returns the mean squared distance of a descriptor to the nearest word.
    """
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(_SEED)
    roots = _root_sift(np.concatenate([_draw(descriptors, _PER_IMAGE, rng) for descriptors in sample]))
    fitted = MiniBatchKMeans(_WORDS, random_state=_SEED, batch_size=4096, n_init=3, max_iter=20).fit(roots)
    return fitted.cluster_centers_.astype(np.float32), float(fitted.inertia_ / len(roots))


def _fit_axes(vectors: Floats) -> tuple[Floats, Floats, NDArray[np.float64]]:
    """Fit the mean, the principal axes `(255, dims)` and their variance shares.

    Shares are those of the axes that are not 0. The fit uses the Gram matrix, as there are fewer rows than dims. The
    axes are not whitened: whitening raised the recall of blurred copies by 0.015 and of no others, and lowered the
    share of neighbours in the same class by 0.05 to 0.13 (same photos).
    """
    import scipy.linalg

    mean = vectors.mean(axis=0)
    centred = vectors - mean
    products = (centred @ centred.T).astype(np.float64)
    count = min(_DIMS - 1, len(vectors) - 1)
    variances, rows = scipy.linalg.eigh(products, subset_by_index=(len(vectors) - count, len(vectors) - 1))
    known = variances > 1e-6 * max(np.trace(products), 1e-6)  # below is rounding error
    if not known.any():
        raise LakeError(f"sift_vlad needs different images for its fit; all {len(vectors)} are equal")
    variances, rows = variances[known][::-1], rows[:, known][:, ::-1]
    found = (rows / np.sqrt(variances)).astype(np.float32).T @ centred
    axes = np.zeros((_DIMS - 1, vectors.shape[1]), np.float32)
    axes[: len(found)] = found * np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])[:, None]
    return mean, axes, variances / np.trace(products)


# -- the feature --------------------------------------------------------------------------------------------


@feature(
    group="local",
    dims=_DIMS,
    dtype="float16",
    metrics=(cosine, euclidean, manhattan),
    min_side=_MIN_SIDE,
    unit_norm=True,
    columns={"keypoints": "uint16"},
    blank=Blank("keypoints", lambda vectors: vectors[:, -1] != 0),
    learnt=Fitter(learn, images=2048, least_images=_MIN_IMAGES),
    source="VLAD: Jégou et al. 2010, doi:10.1109/CVPR.2010.5540039; RootSIFT: Arandjelović & Zisserman 2012, "
    "doi:10.1109/CVPR.2012.6248018; intra-normalisation: the same 2013, doi:10.1109/CVPR.2013.207",
)
def sift_vlad(batch: ImageBatch, fitted: Mapping[str, NDArray[Any]]) -> tuple[Floats, dict[str, NDArray[np.uint16]]]:
    """Local details, robust to crops and rotation: SIFT keypoints in one VLAD vector.

    Returns `(n, 256)` of length 1: 255 principal components, and a last number that is 1 for an image without keypoints
    and 0 otherwise. So images without keypoints are equal to each other, and orthogonal to all others; a search finds
    nothing to compare in them. Also returns `keypoints`, the number of SIFT descriptors.
    """
    codebook, mean, axes = fitted["codebook"], fitted["mean"], fitted["axes"]
    vectors = np.zeros((len(batch), _DIMS), np.float32)
    counts = np.zeros(len(batch), np.uint16)
    for i, grey in enumerate(batch.grey):
        descriptors = _sift_descriptors(grey)
        counts[i] = min(len(descriptors), np.iinfo(np.uint16).max)
        if len(descriptors):  # per image: a product of many rows rounds differently
            vectors[i, :-1] = axes @ (_vlad(descriptors, codebook) - mean)
    vectors[~vectors.any(axis=1), -1] = 1
    return l2_normalise(vectors), {"keypoints": counts}
