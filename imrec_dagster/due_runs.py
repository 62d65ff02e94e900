"""The runs that are due in a lake, by assets and shards: `imrec build` executes them, `catch_up` requests them.

What is due is decided by the lake alone, see `imrec_core.extraction.planning`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from imrec_core.extraction.fit import has_enough_images
from imrec_core.extraction.planning import BuildPlan, needs_fit
from imrec_core.extraction.shard_order import order_shards
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake
from imrec_dagster.asset_keys import GENERATION, IMAGES, feature_key, fitted_key
from imrec_dagster.partitions import contiguous


@dataclass(frozen=True)
class DueRun:
    """A run that is due.

    Attributes:
        keys: The assets of the run.
        shards: The partitions of the run, a contiguous range; empty if none of the assets is partitioned.
    """

    keys: tuple[dg.AssetKey, ...]
    shards: tuple[str, ...] = ()


def next_runs(
    lake: Lake, due: BuildPlan, partitions: Sequence[str], *, images_per_run: int | None = None
) -> list[DueRun]:
    """Return the runs that can start now; what they write makes others due. Empty if all tables are up to date.

    The first extraction of a whole lake is one run with all that follows it, the generation included. Otherwise an
    extraction includes the projections of its shards whose fit is valid.

    Args:
        due: What is due in the lake now.
        partitions: All partitions of the Dagster instance, in order. Other shards are not due.
        images_per_run: Maximum number of images of a run, unless a single shard has more; None for no limit.
    """
    images = {state.shard: state.images for state in due.shards}
    if due.extractions:
        whole = _whole_lake(lake, due, partitions)
        if whole and sum(images.values()) <= (images_per_run or sum(images.values())):
            return [whole]
        fits = [f for f in due.fits if f.learnt and has_enough_images(lake, f)]
        if fits:
            return [_fit_run(fits)]
        runs = [*_partitioned_runs(_extraction_keys(due), partitions, images, images_per_run)]
        order = order_shards(lake, list(due.extractions))  # shards that lose images come last
        return sorted(runs, key=lambda run: max(map(order.index, run.shards)))
    fits = [f for f in due.fits if has_enough_images(lake, f)]
    if fits:
        first = min(feature.depth for feature in fits)  # a fit of a base makes its dependents stale
        return [_fit_run([f for f in fits if f.depth == first])]
    projections = {shard: tuple(feature_key(f.name) for f in some) for shard, some in due.projections.items()}
    return [*_partitioned_runs(projections, partitions, images, images_per_run)]


def early_shard(lake: Lake, due: BuildPlan) -> str | None:
    """Return the shard of which a first generation can be published before the others are extracted.

    None if the lake has a generation, if all its images are in few shards, so that it makes no difference, or if a
    feature is fitted, because a fit needs a sample of all images.
    """
    shards = order_shards(lake, list(due.extractions))
    images = {state.shard: state.images for state in due.shards}
    if lake.current_generation() is not None or any(feature.is_fitted for feature in due.features) or not shards:
        return None
    return shards[0] if 2 * images[shards[0]] <= sum(images[shard] for shard in shards) else None


GENERATION_RUN = DueRun((GENERATION,))
"""The run that publishes what is new, if `index.plan.is_up_to_date` says that there is something."""


def _whole_lake(lake: Lake, due: BuildPlan, partitions: Sequence[str]) -> DueRun | None:
    """Return the one run of a lake in which all is due; None if something is up to date, or cannot be fitted."""
    chosen = tuple(feature_key(f.name) for f in due.features)
    fits = [f for f in due.features if f.is_fitted]
    is_all_due = all(len(due.extractions.get(s.shard, ())) == _count_extracted(due) for s in due.shards)
    ranges = contiguous(due.extractions, partitions)
    if not is_all_due or len(ranges) != 1 or not all(has_enough_images(lake, f) for f in fits):
        return None
    return DueRun((IMAGES, *chosen, *(fitted_key(f.name) for f in fits), GENERATION), tuple(ranges[0]))


def _count_extracted(due: BuildPlan) -> int:
    return sum(not feature.projection for feature in due.features)


def _fit_run(features: Iterable[Feature]) -> DueRun:
    return DueRun(tuple(fitted_key(feature.name) for feature in features))


def _extraction_keys(due: BuildPlan) -> dict[str, tuple[dg.AssetKey, ...]]:
    """Return the assets to extract by shard, with the projections that follow from them without a new fit."""
    states = {state.shard: state for state in due.shards}
    derived = [f for f in due.features if f.projection and not needs_fit(f, due.outgrown)]
    return {
        shard: (
            *([IMAGES] if states[shard].has_stale_images else []),
            *(feature_key(f.name) for f in features if f not in due.outgrown),
            *(feature_key(f.name) for f in derived if f.name in states[shard].stale),
        )
        for shard, features in due.extractions.items()
    }


def _partitioned_runs(
    keys: Mapping[str, tuple[dg.AssetKey, ...]],
    partitions: Sequence[str],
    images: Mapping[str, int],
    images_per_run: int | None,
) -> Iterator[DueRun]:
    """Yield one run per contiguous range of shards with the same assets due, and of at most so many images."""
    shards: defaultdict[tuple[dg.AssetKey, ...], list[str]] = defaultdict(list)
    for shard, of_shard in keys.items():
        if of_shard:  # empty if all that is due waits for a fit that cannot be made
            shards[of_shard].append(shard)
    for assets, some in shards.items():
        for stretch in contiguous(some, partitions):
            for part in _split(stretch, images, images_per_run):
                yield DueRun(assets, tuple(part))


def _split(shards: Sequence[str], images: Mapping[str, int], most: int | None) -> Iterator[list[str]]:
    part: list[str] = []
    for shard in shards:
        if part and most is not None and sum(images[s] for s in (*part, shard)) > most:
            yield part
            part = []
        part.append(shard)
    yield part
