"""A sample of decoded images of a lake, to fit features of the pixels to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from imrec_core.errors import ImageError
from imrec_core.extraction.reader import read_image
from imrec_core.extraction.shard_order import reachable_shards
from imrec_core.features import decoded_side
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.images.rgb import Pixels
from imrec_core.lake.lake import Lake
from imrec_core.runtime.cpu import cpu_count

_BATCH = 16  # images decoded together
_SEED = 20_26


def sample_images(lake: Lake, count: int) -> Iterator[ImageBatch]:
    """Decode up to `count` images of a lake, in batches; equal manifests give the same sample.

    Images that cannot be read or decoded are left out, and so are sources that are away.
    """
    settings, min_side = lake.settings(), decoded_side(lake)

    def decode_pixels(place: dict[str, Any]) -> Pixels | None:
        try:
            data = read_image(settings.source(place["source"]), place)
            return decode(
                data,
                max_pixels=settings.max_pixels,
                min_side=min_side,
                allow_truncated=settings.allow_truncated,
            ).pixels
        except ImageError:
            return None

    places = _sample_places(lake, count)
    with ThreadPoolExecutor(cpu_count()) as pool:
        for first in range(0, len(places), _BATCH):
            decoded = [image for image in pool.map(decode_pixels, places[first : first + _BATCH]) if image is not None]
            if decoded:
                yield ImageBatch(decoded)


def _sample_places(lake: Lake, count: int) -> list[dict[str, Any]]:
    """Draw up to `count` rows of the manifests, in their order."""
    shards = reachable_shards(lake, lake.live_shards())
    counts = [lake.row_count(lake.catalog_path(shard)) for shard in shards]
    chosen = np.sort(np.random.default_rng(_SEED).permutation(sum(counts))[:count])
    places: list[dict[str, Any]] = []
    for shard, first, rows in zip(shards, np.cumsum([0, *counts]), counts, strict=False):
        inside = chosen[(chosen >= first) & (chosen < first + rows)] - first
        places += lake.read_table(lake.catalog_path(shard)).take(pa.array(inside)).to_pylist()
    return places
