"""What histograms, hashes and facts cost together on one core, over decoded pictures, and SIFT-VLAD alone."""

from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

from imrec_core.features import FEATURES
from imrec_core.images import properties
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_SIZE = (400, 300)
_COUNT, _BATCH, _ROUNDS = 192, 16, 5
_GROUPS = {
    "default": ("rgb_histogram", "hsv_histogram", "ahash", "dhash", "phash"),
    "every histogram": tuple(f.name for f in FEATURES.values() if f.group == "colour"),
    "every hash": tuple(f.name for f in FEATURES.values() if f.dtype == "uint64"),
    "edges and texture": tuple(f.name for f in FEATURES.values() if f.group == "structure"),
}
_WANTED = 700


def measure(work: Testbed) -> list[Row]:
    """Least core milliseconds per picture of 400×300, by group, facts among the default ones."""
    from PIL import Image

    photos = [decode(path.read_bytes(), min_side=256).pixels for path in work.sample(_COUNT)]
    pictures = [np.asarray(Image.fromarray(p[..., :3].copy()).resize(_SIZE).convert("RGBX")) for p in photos]
    rows = []
    for name, features in _GROUPS.items():
        cost = _least(pictures, features, with_facts=name == "default")
        said = f"{name} histograms, hashes and facts" if name == "default" else name
        rows.append(Row(said, 1000 * cost, "core-ms", f"{', '.join(features)}"))
    everything = (*_GROUPS["every histogram"], *_GROUPS["every hash"])
    rates = [1 / _least(pictures, names, with_facts=True) for names in (_GROUPS["default"], everything)]
    rows.append(Row("default histograms, hashes and facts", rates[0], "images/s", at_least=_WANTED))
    rows.append(Row("every histogram, hash and fact", rates[1], "images/s", at_least=_WANTED))
    return rows


def _least(pictures: list[np.ndarray], features: tuple[str, ...], *, with_facts: bool) -> float:
    """Core seconds per picture; a batch is made anew each time, so that nothing of it is cached."""
    spent = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(_ROUNDS):
            batches = [ImageBatch(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH)]
            started = process_time()
            for batch in batches:
                for name in features:
                    FEATURES[name](batch)
                if with_facts:
                    properties.image_properties(batch)
            spent.append((process_time() - started) / len(pictures))
    return min(spent)
