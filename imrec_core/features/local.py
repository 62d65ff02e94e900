"""What a picture shows in detail, wherever it stands in the frame and however the picture is turned.

Keypoints are found and described by SIFT, each is counted for the nearest of 64 typical descriptors (the codebook),
and what the keypoints of each have in common, beyond the typical, is one part of a long vector (VLAD). Principal
components shorten it. Codebook and components are learnt from a sample of the lake's own pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, Pixels
from imrec_core.errors import LakeError
from imrec_core.features.declare import Learnt, feature
from imrec_core.metrics import cosine, euclidean, manhattan

Floats = NDArray[np.float32]

_WORDS = 64
_WIDTH = 128  # numbers in a SIFT descriptor
_DIMS = 256  # recall@1 over nine edits 0.965 at 128, 0.979 at 256, 0.980 at 384 (1066 photos, 2026-11)

# On the same photos, recall@1 of crops to 60 %, turned and shrunk by a third / share of the nearest five in one class /
# ms a picture: 0.92 / .30 / 6.9 with OpenCV's defaults at 300 keypoints; 0.99 / .33 / 8.2 so; 0.91 / .30 / 5.7 with
# the contrast halved on pictures of 0.6 times this area.
_AREA = 256 * 192  # pixels; SIFT doubles the sides itself, for keypoints smaller than a pixel
_LONGEST = 4096  # of strips, whose area alone would leave them long
_KEYPOINTS = 600  # the clearest; a caption alone had 300. SIFT keeps more where the last of them are equally clear
_LAYERS = 2  # of an octave
_CONTRAST = 0.02
_EDGE, _SIGMA = 10, 1.6  # OpenCV's defaults

_MIN_SIDE = 256  # a square of `_AREA` has sides of 222
_SEED = 0
_LEAST_IMAGES = 32
_LEAST_PER_WORD = 10  # descriptors for each word of the codebook
_PER_IMAGE = 100  # descriptors that the codebook sees of each: 105 MB of 2048 images


def _keypoints(grey: Pixels) -> Pixels:
    """SIFT descriptors `(n, 128)` of the clearest keypoints of a picture at a bounded size; `n` may be 0."""
    import cv2

    sift = cv2.SIFT.create(_KEYPOINTS, _LAYERS, _CONTRAST, _EDGE, _SIGMA, cv2.CV_8U)
    found = sift.detectAndCompute(_bounded(grey), None)[1]
    return np.empty((0, _WIDTH), np.uint8) if found is None else np.asarray(found, dtype=np.uint8)


def _bounded(grey: Pixels) -> Pixels:
    """The picture at an area of `_AREA` by averaging, or as it is where it is smaller."""
    import cv2

    scale = min((_AREA / grey.size) ** 0.5, 1.0)
    height, width = (min(max(round(side * scale), 1), _LONGEST) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _roots(descriptors: Pixels) -> Floats:
    """RootSIFT: the square roots of each descriptor's shares of its sum, so that euclidean compares as Hellinger."""
    values = descriptors.astype(np.float32)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1)))


def _vlad(descriptors: Pixels, codebook: Floats) -> Floats:
    """VLAD `(64 · 128,)`: the signed square roots of the sums of residuals to each word; words, then all, of length 1.

    A word that no keypoint is nearest to has zeros.
    """
    roots = _roots(descriptors)
    nearest = (roots @ codebook.T - (codebook * codebook).sum(axis=1) / 2).argmax(axis=1)
    counted = np.zeros((len(codebook), len(roots)), np.float32)
    counted[nearest, np.arange(len(roots))] = 1
    residuals = counted @ roots - counted.sum(axis=1, keepdims=True) * codebook
    signed = np.sign(residuals) * np.sqrt(np.abs(residuals))
    words = _unit(signed)  # intra-normalisation: a thing that repeats does not outweigh the rest
    return _unit(words.reshape(1, -1)).ravel()


def _unit(rows: Floats) -> Floats:
    """Rows at length 1; zeros stay zeros."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


# -- learning -----------------------------------------------------------------------------------------------


def learn(batches: Iterable[ImageBatch]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Codebook and principal components from a sample of pictures.

    Every draw is seeded: the same pictures in the same order give the same arrays, however they are batched. Of 2048
    pictures about 0.3 GB are held: their descriptors as bytes, 600 of each at most, and a share of them as floats.

    Returns:
        `codebook` `(64, 128)`, `mean` `(8192,)` and `axes` `(255, 8192)`, widest first, float32; the entry of an axis
        that is largest in size is positive. Axes beyond what the sample can tell are zero. And the facts: images with
        keypoints, images without, descriptors, mean squared distance to the nearest word, share of the variance kept.

    Raises:
        LakeError: Too few pictures have keypoints, or they have too few, or all are alike.
    """
    import sklearn.cluster  # noqa: F401  before the limit, which binds those libraries that are loaded
    from threadpoolctl import threadpool_limits

    sample, blank = _sampled(batches)
    with threadpool_limits(1):  # sums of several threads are not repeatable to the last bit
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


def _sampled(batches: Iterable[ImageBatch]) -> tuple[list[Pixels], int]:
    """The descriptors of each picture that has any, at most `_KEYPOINTS` drawn from them, and how many have none."""
    rng = np.random.default_rng(_SEED)
    sample, blank = [], 0
    for batch in batches:
        for grey in batch.grey:
            descriptors = _drawn(_keypoints(grey), _KEYPOINTS, rng)
            if len(descriptors):
                sample.append(descriptors)
            else:
                blank += 1
    if len(sample) < _LEAST_IMAGES:
        raise LakeError(
            f"sift_vlad needs {_LEAST_IMAGES} images with keypoints to learn from; found {len(sample)}, and {blank} "
            "without; add images, or leave sift_vlad out of the features"
        )
    found, least = sum(map(len, sample)), _WORDS * _LEAST_PER_WORD
    if found < least:
        raise LakeError(
            f"sift_vlad needs {least} keypoints to learn from; found {found} in {len(sample)} images; "
            "add images that show more, or leave sift_vlad out of the features"
        )
    return sample, blank


def _drawn(rows: Pixels, count: int, rng: np.random.Generator) -> Pixels:
    """At most `count` of the rows, drawn at random, in their order."""
    if len(rows) <= count:
        return rows
    return rows[np.sort(rng.choice(len(rows), count, replace=False))]


def _fit_codebook(sample: list[Pixels]) -> tuple[Floats, float]:
    """The 64 words `(64, 128)`, and the mean squared distance of a descriptor to the nearest."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(_SEED)
    roots = _roots(np.concatenate([_drawn(descriptors, _PER_IMAGE, rng) for descriptors in sample]))
    fitted = MiniBatchKMeans(_WORDS, random_state=_SEED, batch_size=4096, n_init=3, max_iter=20).fit(roots)
    return fitted.cluster_centers_.astype(np.float32), float(fitted.inertia_ / len(roots))


def _fit_axes(vectors: Floats) -> tuple[Floats, Floats, NDArray[np.float64]]:
    """Mean, principal axes `(255, dims)` and the share of the variance along each that is not zero.

    By the products of the rows, which are fewer than their numbers. Not whitened: that raised the recall of blurred
    copies by 0.015, of others not, and took 0.05 to 0.13 from the share of neighbours in one class (same photos).
    """
    import scipy.linalg

    mean = vectors.mean(axis=0)
    centred = vectors - mean
    products = (centred @ centred.T).astype(np.float64)
    count = min(_DIMS - 1, len(vectors) - 1)
    variances, rows = scipy.linalg.eigh(products, subset_by_index=(len(vectors) - count, len(vectors) - 1))
    known = variances > 1e-6 * max(np.trace(products), 1e-6)  # below, rounding
    if not known.any():
        raise LakeError(f"sift_vlad needs images that differ to learn from; all {len(vectors)} are alike")
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
    learnt=Learnt(learn, images=2048, least_images=_LEAST_IMAGES),
    source="VLAD: Jégou et al. 2010, doi:10.1109/CVPR.2010.5540039; RootSIFT: Arandjelović & Zisserman 2012, "
    "doi:10.1109/CVPR.2012.6248018; intra-normalisation: the same 2013, doi:10.1109/CVPR.2013.207",
)
def sift_vlad(batch: ImageBatch, fitted: Mapping[str, NDArray[Any]]) -> tuple[Floats, dict[str, NDArray[np.uint16]]]:
    """Details of a picture wherever they are, also in crops and turned copies: SIFT keypoints in one vector (VLAD).

    Returns `(n, 256)` of length 1: 255 principal components, and a last number that is 1 where there is nothing to
    describe and 0 elsewhere. So pictures without keypoints are all alike, and at a right angle to all others. Beside
    the vectors, `keypoints`: how many were described; 0 says that there is none.
    """
    codebook, mean, axes = fitted["codebook"], fitted["mean"], fitted["axes"]
    vectors = np.zeros((len(batch), _DIMS), np.float32)
    counts = np.zeros(len(batch), np.uint16)
    for i, grey in enumerate(batch.grey):
        descriptors = _keypoints(grey)
        counts[i] = min(len(descriptors), np.iinfo(np.uint16).max)
        if len(descriptors):  # one picture at a time: a product of many rows rounds otherwise than of one
            vectors[i, :-1] = axes @ (_vlad(descriptors, codebook) - mean)
    vectors[~vectors.any(axis=1), -1] = 1
    return _unit(vectors), {"keypoints": counts}
