"""What each stage of a build costs alone, in core time, and the rate that no scheduling of the stages can beat."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

from threadpoolctl import threadpool_limits

from imrec_core.features import find_feature
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.lake.settings import DEFAULT_FEATURES
from imrec_core.models.encoders import load_encoder
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed

_FILES = 480
_BATCH = 16  # as extraction makes them


def measure(work: Testbed) -> list[Row]:
    """Core milliseconds per image of each stage, and the bound of their sum; the least of three passes."""
    passes = [_one_pass(work.sample(_FILES)) for _ in range(4)][1:]  # the first one loads
    seconds = {stage: min(spent[stage] for spent in passes) for stage in passes[0]}
    rows = [Row(f"{stage} alone", 1000 * spent, "core-ms") for stage, spent in seconds.items()]
    return [*rows, Row("bound", cores() / sum(seconds.values()), "images/s", "cores / sum of the stages")]


def _one_pass(paths: list[Path]) -> dict[str, float]:
    """Core seconds per image: reading and decoding, and each of the rest, on one core; the network on all."""
    spent: defaultdict[str, float] = defaultdict(float)
    features = [f for f in map(find_feature, DEFAULT_FEATURES) if not f.projection]
    inputs = []
    with threadpool_limits(1, user_api="blas"):
        for first in range(0, len(paths), _BATCH):
            with _timed(spent, "read and decode"):
                images = ImageBatch([_pixels(path) for path in paths[first : first + _BATCH]])
            for feature in features:
                if feature.model:
                    with _timed(spent, "preprocessing"):
                        inputs.append((feature.model, images.prepared(feature.model.preprocess)))
                else:
                    with _timed(spent, "hashes" if feature.dtype == "uint64" else "histograms"):
                        feature(images)
    with _timed(spent, "encoder"):
        waiting = deque()
        for model, pixels in inputs:
            waiting.append(load_encoder(model, precision="auto", device="auto").submit(pixels))
            if len(waiting) == 3:
                waiting.popleft()()
        for vectors in waiting:
            vectors()
    return {stage: seconds / len(paths) for stage, seconds in spent.items()}


def _pixels(path: Path):
    data = path.read_bytes()
    hashlib.blake2b(data, digest_size=16).hexdigest()
    return decode(data, min_side=256).pixels


@contextmanager
def _timed(spent: dict[str, float], stage: str) -> Iterator[None]:
    started = process_time()
    yield
    spent[stage] += process_time() - started
