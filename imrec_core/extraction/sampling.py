"""A sample of a lake's pictures, decoded, for features that learn from pixels."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from imrec_core.errors import ImageError
from imrec_core.extraction.reader import read_image
from imrec_core.features import decoded_side
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import Pixels, decode
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Source
from imrec_core.lake.storage.files import is_away
from imrec_core.runtime.cpu import cpu_count

_BATCH = 16  # pictures decoded together
_SEED = 20_26


def sampled_pictures(lake: Lake, count: int) -> Iterator[ImageBatch]:
    """Up to `count` pictures of the lake, decoded, a few at a time; the same ones for the same manifests.

    Those that cannot be read or decoded are left out, and so are sources that are away.
    """
    settings = lake.settings()
    sources = {name: settings.source(name) for name, root in settings.sources.items() if not is_away(root)}
    shards = [shard for shard in lake.live_shards() if source_of(shard) in sources]
    counts = [lake.row_count(lake.catalog_path(shard)) for shard in shards]
    chosen = np.sort(np.random.default_rng(_SEED).permutation(sum(counts))[:count])
    places: list[tuple[Source, dict[str, Any]]] = []
    for shard, first, rows in zip(shards, np.cumsum([0, *counts]), counts, strict=False):
        inside = chosen[(chosen >= first) & (chosen < first + rows)] - first
        taken = lake.read_table(lake.catalog_path(shard)).take(pa.array(inside)).to_pylist()
        places += [(sources[source_of(shard)], place) for place in taken]
    min_side = decoded_side(lake)

    def pixels(chosen: tuple[Source, dict[str, Any]]) -> Pixels | None:
        try:
            return decode(read_image(*chosen), max_pixels=settings.max_pixels, min_side=min_side).pixels
        except ImageError:
            return None

    with ThreadPoolExecutor(cpu_count()) as pool:
        for first in range(0, len(places), _BATCH):
            decoded = [image for image in pool.map(pixels, places[first : first + _BATCH]) if image is not None]
            if decoded:
                yield ImageBatch(decoded)
