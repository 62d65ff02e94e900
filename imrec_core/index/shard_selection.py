"""Select what a generation takes from each shard: its tables, or the rows that the current generation has of it.

A shard whose tables are not up to date removes no image and no feature from search: its rows are held, which means
carried over from the current generation, until its tables are complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imrec_core.extraction.failures import count_statuses
from imrec_core.extraction.staleness import can_wait, has_fresh_images, stale_reasons
from imrec_core.features import Feature, chosen_features
from imrec_core.index.computations import Computation
from imrec_core.index.generation import Generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import is_away

_IMAGES = "images"  # in `WaitingImages.reasons`


@dataclass(frozen=True)
class WaitingImages:
    """Images that a generation does not take from the tables of the lake, because these are not complete.

    Attributes:
        images: Number of images.
        searchable: Number of these that stay searchable as they were.
        reasons: Number of images by what they wait for: the name of a feature, or `images` if they have not been read
            since their shard changed. An image may wait for several features.
    """

    images: int = 0
    searchable: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        """Format the numbers as text; empty if no image waits."""
        if not self.images:
            return ""
        reasons = (f"{n} to be read" if name == _IMAGES else f"{n} for {name}" for name, n in self.reasons.items())
        return f"{self.images} images wait ({', '.join(reasons)}); {self.searchable} of them are searchable as before"


@dataclass(frozen=True)
class ShardSelection:
    """What a generation takes from each shard.

    Attributes:
        complete: Shards that are taken from their tables.
        held: Shards whose rows are carried over from the current generation: their key in that generation, by key. The
            two differ if the source was renamed.
        outdated: Shards among both whose rows are as an earlier version of imrec read them.
        features: Features of the generation.
        is_unchanged: Whether there is nothing but the rows of the current generation, and all of them.
    """

    complete: tuple[str, ...]
    held: Mapping[str, str]
    outdated: tuple[str, ...]
    features: tuple[Feature, ...]
    waiting: WaitingImages
    is_unchanged: bool


@dataclass(frozen=True)
class _ShardState:
    """Which tables of a shard can be taken.

    Attributes:
        has_manifest: False if the manifest is damaged or missing, until the next scan.
        is_read: Whether the images table describes the images of the manifest.
        is_outdated: Whether it does so as an earlier version read them, and their source is away.
        stale: Names of the features that are not up to date.
    """

    shard: str
    has_manifest: bool
    is_read: bool
    is_outdated: bool
    stale: Collection[str]

    def lacks(self, features: Iterable[Feature]) -> list[str]:
        """List what the images wait for, as in `WaitingImages.reasons`."""
        return [f.name for f in features if f.name in self.stale] if self.is_read else [_IMAGES]


def select_shards(
    lake: Lake, settings: Settings, chosen: Sequence[Feature], current: Generation | None
) -> ShardSelection:
    """Select what the next generation takes from each shard.

    It has those of the chosen features that the current generation has by the same declaration, and shards without one
    of them are held. A new feature is added as soon as all shards of the generation have it. Vectors of different
    computations are never mixed: while a shard is held that has another computation than the complete shards, these
    are held too.
    """
    states = _shard_states(lake, settings, chosen_features(lake), chosen)
    if current is not None and not current.features:
        current = None  # searches cannot use it
    established = _established_features(states, chosen, current)
    lacks = {state.shard: state.lacks(established) for state in states}
    is_redeclared = current is not None and any(f.name in current.features and f not in established for f in chosen)
    is_simple = established and not is_redeclared and not any(lacks.values())
    known = {} if current is None or is_simple else _rows_by_shard(current)
    keys = {state.shard: _key_in(known, state.shard, settings.former_names) for state in states}
    if current is not None and any(lacks[shard] for shard, key in keys.items() if key):
        differing = _differing_features(lake, established, current, [shard for shard in lacks if not lacks[shard]])
        lacks = {shard: reasons or differing for shard, reasons in lacks.items()}
    has_held = any(lacks[shard] for shard, key in keys.items() if key)
    complete = [state for state in states if not lacks[state.shard]]
    features = [f for f in chosen if f in established or not (has_held or any(f.name in s.stale for s in complete))]
    is_lost = current is not None and any(f.name in current.features and f not in features for f in chosen)
    if current is not None and chosen and (is_lost or not features):  # new features and declarations are not ready
        features = [current.feature(name) for name in current.features]
        unready = [f.name for f in chosen if any(not s.is_read or f.name in s.stale for s in states)]
        unready = unready or [f.name for f in chosen if not current.holds(f)]
        lacks = {state.shard: state.lacks(chosen) or unready for state in states}
    held = {shard: key for shard, key in keys.items() if key and lacks[shard]}
    return ShardSelection(
        tuple(shard for shard, reasons in lacks.items() if not reasons),
        held,
        tuple(s.shard for s in states if _is_outdated(s, held, current, is_complete=not lacks[s.shard])),
        tuple(features),
        _count_waiting(lake, states, lacks, {shard: known[key] for shard, key in held.items()}),
        is_unchanged=bool(held) and all(lacks.values()) and known.keys() == set(held.values()),
    )


def _shard_states(
    lake: Lake, settings: Settings, stored: Sequence[Feature], chosen: Sequence[Feature]
) -> list[_ShardState]:
    """Read which tables of all shards are up to date, sorted by key.

    Args:
        stored: Features that the lake computes.
        chosen: The same as a generation has them.
    """
    live = lake.live_shards()
    unread = [shard for shard in live if not has_fresh_images(lake, shard)]
    sources = {source_of(shard) for shard in unread}
    away = {name for name in sources if is_away(settings.sources[name])}
    outdated = {shard for shard in unread if source_of(shard) in away and can_wait(lake, shard)}
    states = []
    for shard in live:
        is_read = shard not in unread or shard in outdated
        reasons = stale_reasons(lake, shard, stored, settings) if is_read else {}
        stale = frozenset(feature.name for feature in chosen if feature.stored_as in reasons)
        states.append(_ShardState(shard, True, is_read, shard in outdated, stale))
    damaged = [s for s in lake.known_shards() if s not in live and source_of(s) in settings.sources]
    states.extend(_ShardState(shard, False, False, False, frozenset()) for shard in damaged)
    return sorted(states, key=lambda state: state.shard)


def _established_features(
    states: Sequence[_ShardState], chosen: Sequence[Feature], current: Generation | None
) -> list[Feature]:
    """Select the features for which images wait: those of the current generation, or all that a shard has."""
    if current is not None:
        return [feature for feature in chosen if current.holds(feature)]
    return [f for f in chosen if any(state.is_read and f.name not in state.stale for state in states)]


def _rows_by_shard(current: Generation) -> dict[str, int]:
    """Count the live rows of each shard of a generation; a shard of failed images has none."""
    counts = current.live_table(["shard"])["shard"].value_counts().to_pylist()
    return dict.fromkeys(current.facts.get("shards", ()), 0) | {one["values"]: one["counts"] for one in counts}


def _key_in(known: Mapping[str, int], shard: str, former: Mapping[str, str]) -> str | None:
    """Return the key of a shard in the current generation, perhaps with a former name of its source."""
    source, number = source_of(shard), shard.rpartition("-")[2]
    names = (source, *(old for old, new in former.items() if new == source))
    return next((key for name in names if (key := f"{name}-{number}") in known), None)


def _differing_features(
    lake: Lake, features: Sequence[Feature], current: Generation, shards: Sequence[str]
) -> list[str]:
    """List the features whose vectors in some shards are computed otherwise than in the current generation."""
    if not shards:
        return []
    recorded = {f.name: Computation.from_record(current.features[f.name]) for f in features}
    return [f.name for f in features if not recorded[f.name].includes(Computation.of(lake, f, shards))]


def _is_outdated(state: _ShardState, held: Mapping[str, str], current: Generation | None, *, is_complete: bool) -> bool:
    if is_complete:
        return state.is_outdated
    if current is None or state.shard not in held:
        return False
    facts = current.facts
    return facts.get("images_version") != schemas.IMAGES_VERSION or held[state.shard] in facts.get("waiting", ())


def _count_waiting(
    lake: Lake, states: Sequence[_ShardState], lacks: Mapping[str, Sequence[str]], held: Mapping[str, int]
) -> WaitingImages:
    """Count the images of incomplete shards.

    Args:
        held: Number of rows that are carried over, by shard.
    """
    reasons: Counter[str] = Counter()
    total = searchable = 0
    for state in (state for state in states if lacks[state.shard]):
        rows = held.get(state.shard, 0)
        images = max(_count_images(lake, state), rows)  # rows of removed images wait too, for their removal
        total, searchable = total + images, searchable + rows
        reasons.update(dict.fromkeys(lacks[state.shard], images))
    return WaitingImages(total, searchable, {name: count for name, count in sorted(reasons.items()) if count})


def _count_images(lake: Lake, state: _ShardState) -> int:
    """Count the images of a shard's manifest, without those that are known to be unreadable."""
    if not state.has_manifest:
        return 0
    images = lake.row_count(lake.catalog_path(state.shard))
    return images - count_statuses(lake, state.shard)["failed"] if state.is_read else images
