"""The three qualities: core time of extraction in turns, and quality by class and of edited copies."""

import shutil
from collections import defaultdict
from dataclasses import replace

import numpy as np

from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import QUALITIES
from imrec_core.models.quality import with_quality
from imrec_core.models.registry import MODELS
from tests.benchmarks.content import Photos, content_projection
from tests.benchmarks.large import WITH_FULL
from tests.benchmarks.rows import Row, ratio
from tests.benchmarks.testbed import Testbed, build_plainly, load_networks

_NETWORK = "efficientnet_lite0"
_TURNS = 10
_BEST = "best"


def measure(work: Testbed) -> list[Row]:
    """Ratios to the best are of the geometric mean of the turns, with the upper end of its 95 % interval."""
    spent = _core_seconds(work)
    rows = []
    for quality in QUALITIES:
        model = with_quality(MODELS[_NETWORK], quality)
        rows.append(Row(f"{quality}, extraction", 1000 * float(np.median(spent[quality])), "core-ms per image"))
        if quality != _BEST:
            mean, upper = ratio(spent[quality], spent[_BEST])
            rows.append(Row(f"{quality}, extraction", mean, "of best", f"at most {upper:.3f}, {_TURNS} turns"))
        lake = _new_lake(work, f"lake-{quality}", quality, features=WITH_FULL)
        build_plainly(lake)
        photos = Photos.of(lake, open_generation(lake))
        found = photos.quality(np.arange(len(photos.vectors)), content_projection(model.pca_dims))
        rows += [
            Row(quality, value, unit) for value, unit in zip(found, ("P@5", "mAP", "copies recall@1"), strict=True)
        ]
    return rows


def _core_seconds(work: Testbed) -> dict[str, list[float]]:
    """Core seconds per image of the extraction at each quality, in alternating turns after one that loads."""
    for quality in QUALITIES:
        load_networks(_new_lake(work, f"empty-{quality}", quality))
    spent: dict[str, list[float]] = defaultdict(list)
    for turn in range(_TURNS):
        for quality in QUALITIES if turn % 2 else reversed(QUALITIES):
            lake = _new_lake(work, f"lake-{quality}-{turn}", quality)
            spent[quality].append(build_plainly(lake)["extract core"] / work.images)
            shutil.rmtree(lake.root)
    return spent


def _new_lake(work: Testbed, name: str, quality: str, **settings: tuple[str, ...]) -> Lake:
    lake = work.new_lake(name, work.photos if settings else work.many)
    lake.save_settings(replace(lake.settings(), quality=quality, **settings))
    return lake
