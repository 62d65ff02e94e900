"""`hsv_histogram` beside the histogram that OpenCV counts: distances of the vectors, shared nearest images, classes."""

import cv2
import numpy as np

from imrec_core.features import FEATURES
from imrec_core.features.metrics import hellinger
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_NEAREST = 5
_BINS, _RANGES = [16, 4, 4], [0, 180, 0, 256, 0, 256]  # of hue, saturation and value, as those of `hsv_histogram`


def measure(work: Testbed) -> list[Row]:
    """Both over the same decoded pixels, compared by Hellinger distance."""
    paths = sorted(path for path in work.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    pictures = [decode(path.read_bytes(), min_side=256).pixels for path in paths]
    classes = np.array([path.parent.name for path in paths])
    ours = np.concatenate([FEATURES["hsv_histogram"](ImageBatch([picture])) for picture in pictures])
    theirs = np.stack([_counted_by_opencv(picture) for picture in pictures])
    apart = np.abs(ours - theirs).sum(axis=1)
    near = [_nearest(matrix) for matrix in (ours, theirs)]
    shared = np.mean([len(set(a) & set(b)) / _NEAREST for a, b in zip(*near, strict=True)])
    return [
        Row("photos", len(paths)),
        Row("L1 distance", float(np.median(apart)), "", "median; 2 for vectors without a common bin"),
        Row("nearest five", float(shared), "shared"),
        *(
            Row(f"by {name}", float((classes[found] == classes[:, None]).mean()), "P@5")
            for name, found in zip(("imrec", "OpenCV"), near, strict=True)
        ),
    ]


def _counted_by_opencv(pixels: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, _BINS, _RANGES).ravel()
    return counts / counts.sum()


def _nearest(matrix: np.ndarray) -> np.ndarray:
    distances = np.stack([hellinger(vector, matrix) for vector in matrix])
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :_NEAREST]
