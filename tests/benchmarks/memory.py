"""What extraction holds, for one shard and for several; of the other stages see `catalog` and `generation`."""

import shutil

from imrec_core.catalog import manifests
from imrec_core.extraction.extract import extract_shards
from imrec_core.features import chosen_features
from imrec_core.lake.lake import Lake
from tests.benchmarks.alone import alone, clocked
from tests.benchmarks.catalog import memory
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, load_networks

_SHARDS = 4


def measure(work: Testbed) -> list[Row]:
    """With the default features; each in a process of its own."""
    lake = work.new_lake("lake-memory", work.many)
    load_networks(lake)  # converted once, so that nobody does it while its memory is looked at
    manifests.update(lake)
    size = lake.settings().shard_size
    one = alone(__name__, "extracted", str(lake.root), 1)
    rest = alone(__name__, "extracted", str(lake.root), _SHARDS)
    shutil.rmtree(lake.root)
    return [
        Row("images", work.images, "", f"in shards of {size}"),
        *memory({"one shard extracted": one, f"the next, {rest.result} of them": rest}),
        Row("extracted", work.images / (one.seconds + rest.seconds), "images/s", "files read, networks loaded"),
    ]


def extracted(root: str, most: int) -> int:
    """Extract the first shards that are not there; how many."""
    lake = Lake(root)
    shards = [shard for shard in lake.live_shards() if not lake.images_path(shard).exists()][:most]
    features = [feature for feature in chosen_features(lake) if not feature.projection]
    load_networks(lake)
    with clocked():
        for _ in extract_shards(lake, shards, features):
            pass
    return len(shards)
