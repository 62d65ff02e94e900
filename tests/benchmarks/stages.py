"""What each stage of a build costs alone, in core time, and the rate that no scheduling of them can beat."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from imrec_core.decode import ImageBatch, decode
from imrec_core.encoders import load_encoder
from imrec_core.errors import ImageError
from imrec_core.features import Feature, find_feature
from imrec_core.lake import Lake
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.workplace import Workplace

_BATCH = 16  # as extraction makes them


def measure(work: Workplace) -> list[Row]:
    """Core milliseconds per image of each stage alone, and the bound of their sum."""
    seconds = core_seconds(work.spread(480), work.new_lake("lake-stages", work.photos))
    rows = [Row(f"{stage} alone", 1000 * spent, "core-ms") for stage, spent in seconds.items()]
    return [
        *rows,
        Row("bound: cores / sum", bound(seconds), "images/s", note="encoder at full load, the rest on one core"),
    ]


def bound(seconds: dict[str, float]) -> float:
    """Images per second if every core did nothing but these stages."""
    return cores() / sum(seconds.values())


def core_seconds(paths: list[Path], lake: Lake) -> dict[str, float]:
    """Core time per image of reading and decoding, of each of the rest, and of the network at full load."""
    features = [f for f in map(find_feature, lake.settings().features) if not f.projection]
    spent: dict[str, float] = {}
    for _ in range(2):  # the first pass loads libraries, filters and converted networks
        spent = dict.fromkeys(("decode", "hashes", "histograms", "preprocess", "encode"), 0.0)
        with threadpool_limits(1, user_api="blas"):
            count = _run(paths, features, spent)
    return {stage: seconds / count for stage, seconds in spent.items()}


def _run(paths: list[Path], features: list[Feature], spent: dict[str, float]) -> int:
    min_side = max(f.min_side for f in features)
    count, inputs = 0, []
    for first in range(0, len(paths), _BATCH):
        pixels = []
        with _timed(spent, "decode"):
            for path in paths[first : first + _BATCH]:
                try:
                    data = path.read_bytes()
                    hashlib.blake2b(data, digest_size=16).hexdigest()
                    pixels.append(decode(data, min_side=min_side).pixels)
                except ImageError:
                    continue
        images = ImageBatch(pixels)
        for feature in features:
            if feature.model:
                with _timed(spent, "preprocess"):
                    inputs.append(images.prepared(feature.model.preprocess))
            else:
                with _timed(spent, "hashes" if feature.dtype == "uint64" else "histograms"):
                    feature(images)
        count += len(pixels)
    encoders = [load_encoder(f.name) for f in features if f.model]
    parts = list(np.split(np.concatenate(inputs), range(_BATCH, count, _BATCH)))
    with _timed(spent, "encode"):
        for encoder in encoders:
            waiting = deque(encoder.submit(part) for part in parts[:2])
            for part in parts[2:]:
                waiting.popleft()()
                waiting.append(encoder.submit(part))
            for pending in waiting:
                pending()
    return count


@contextmanager
def _timed(spent: dict[str, float], stage: str) -> Iterator[None]:
    """Add the core time of all threads of this process."""
    started = time.process_time()
    yield
    spent[stage] += time.process_time() - started
