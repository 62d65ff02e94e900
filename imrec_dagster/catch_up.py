"""Ticks of the sensor `catch_up`: request the runs that are due, and then a generation.

The lake decides what is due, see `due_runs`. The sensor waits while anything else works on the lake, so it requests
nothing that a build or a backfill is about to do.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from imrec_core.errors import BadSettings, ImrecError, StaleIndex
from imrec_core.extraction.planning import BuildPlan, plan
from imrec_core.extraction.staleness import digest, expected_metadata, manifest_version
from imrec_core.features import Feature
from imrec_core.index.opening import readable_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_dagster.asset_keys import feature_key
from imrec_dagster.dead_runs import was_killed
from imrec_dagster.due_runs import GENERATION_RUN, DueRun, next_runs
from imrec_dagster.partitions import SHARDS, contiguous, range_tags, unfinished_work
from imrec_dagster.settings import DagsterSettings
from imrec_dagster.shard_events import unrecorded_events

TICK_TAG = "imrec/catch_up"  # on the runs of one tick: its number

_MOST_EVENTS = 200  # of one tick, which may take a minute
_MOST_TRIES = 3  # of what a killed process was to make


_FAILED = "what is due has failed, and is tried again after the next scan: see the failed runs, or run imrec failures"

_Place = tuple[tuple[dg.AssetKey, ...], str]  # the assets of a run, and one of its shards


@dataclass
class _Memory:
    """What the sensor knows of earlier ticks; its cursor.

    Attributes:
        tick: Number of ticks that requested runs.
        scan: Status of the file that the last scan wrote.
        tried: How often a run was requested for what is still due, by its digest.
        generation: Fingerprint of the last generation that was requested.
    """

    tick: int = 0
    scan: str = ""
    tried: dict[str, int] = field(default_factory=dict)
    generation: str = ""

    @classmethod
    def of(cls, cursor: str | None) -> "_Memory":
        try:
            return cls(**json.loads(cursor or "{}"))
        except (TypeError, ValueError):  # of another version
            return cls()


def evaluate(
    context: dg.SensorEvaluationContext, lake: Lake, known: Collection[dg.AssetKey]
) -> dg.SensorResult | dg.SkipReason:
    """Return the requests for what is due in a lake, or why there is none.

    Args:
        known: The assets that can be requested.
    """
    try:
        return _Tick(context, lake, known).evaluate()
    except ImrecError as error:
        return dg.SkipReason(str(error))


class _Tick:
    """One evaluation of the sensor."""

    def __init__(self, context: dg.SensorEvaluationContext, lake: Lake, known: Collection[dg.AssetKey]) -> None:
        self._instance, self._lake, self._known = context.instance, lake, known
        self._settings = DagsterSettings.of(lake.settings())
        self._memory = _Memory.of(context.cursor)
        self._reason = ""

    def evaluate(self) -> dg.SensorResult | dg.SkipReason:
        """Return the requests for what is due, or why there is none.

        Raises:
            ImrecError: The lake or its settings are invalid, or no image can be published.
        """
        if not self._lake.settings().sources:
            return dg.SkipReason("the lake has no image folder yet: give one in the launchpad of catalog")
        if work := unfinished_work(self._instance):
            return dg.SkipReason(f"{work} is in progress")
        if self._lake.is_being_built():
            return dg.SkipReason("a build, or a run of another Dagster instance, is in progress")
        due = plan(self._lake)
        partitions, shards = self._partitions(), [state.shard for state in due.shards]
        if not shards:
            return dg.SkipReason("no image was found yet: materialize catalog, or switch on image_folders")
        new = [shard for shard in shards if shard not in partitions]
        self._forget_after_scan()
        runs = self._requests(due, [*partitions, *new])
        return dg.SensorResult(
            skip_reason=None if runs else self._reason,
            run_requests=runs or None,
            cursor=json.dumps(asdict(self._memory)),
            dynamic_partitions_requests=[SHARDS.build_add_request(new)] if new else None,
            asset_events=[] if new else unrecorded_events(self._lake, self._instance, due, most=_MOST_EVENTS),
        )

    def _partitions(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions(str(SHARDS.name)))

    def _forget_after_scan(self) -> None:
        """Let each scan have everything tried again that failed."""
        scan = str(files.status(self._lake.layout.scan_times_path))  # each scan writes this file
        if scan != self._memory.scan:
            self._memory = _Memory(self._memory.tick, scan)

    def _requests(self, due: BuildPlan, partitions: Sequence[str]) -> list[dg.RunRequest]:
        """Request what is due and was not tried since the last scan; if there is nothing, a generation."""
        runs = next_runs(self._lake, due, partitions, images_per_run=self._settings.images_per_run)
        features = {feature_key(f.name): f for f in due.features}
        items = {
            (run.keys, shard): self._item(run.keys, shard, features) for run in runs for shard in run.shards or [""]
        }
        wanted = self._count_tries(items)
        untried = [part for run in runs for part in _restrict(run, wanted, partitions)] or self._generation()
        if items and not untried:
            self._reason = _FAILED
        self._memory.tick += bool(untried)
        return [self._request(run) for run in untried]

    def _item(self, keys: Sequence[dg.AssetKey], shard: str, features: Mapping[dg.AssetKey, Feature]) -> str:
        """Return a digest of what a run would make of a shard, or for no shard."""
        settings, names = self._lake.settings(), [key.to_user_string() for key in keys]
        shards = [shard] if shard else self._lake.live_shards()
        versions = [manifest_version(self._lake, each) for each in shards]
        of_shard = [features[key] for key in keys if shard and key in features]
        return digest([names, shards, versions, [expected_metadata(self._lake, shard, f, settings) for f in of_shard]])

    def _count_tries(self, items: Mapping[_Place, str]) -> set[_Place]:
        """Count a try of all that may be tried once more, and return it; forget what is no longer due."""
        tried, most = self._memory.tried, _MOST_TRIES if self._was_killed() else 1
        wanted = {place for place, item in items.items() if tried.get(item, 0) < most}
        self._memory.tried = {item: tried.get(item, 0) + (place in wanted) for place, item in items.items()}
        return wanted

    def _was_killed(self) -> bool:
        """Return whether a process of the last requested runs was killed, rather than that it failed."""
        last = dg.RunsFilter(tags={TICK_TAG: str(self._memory.tick)}, statuses=[dg.DagsterRunStatus.FAILURE])
        return any(was_killed(self._instance, run.run_id) for run in self._instance.get_runs(last, limit=10))

    def _generation(self) -> list[DueRun]:
        """Return the run of a generation, if one is due, was not tried, and the current one is old enough."""
        try:
            generation = plan_generation(self._lake)
        except StaleIndex as error:
            self._reason = str(error)
            return []
        if is_up_to_date(self._lake, generation):
            self._reason = "nothing is due: search has all that the last scan found"
        elif generation.fingerprint == self._memory.generation:
            self._reason = _FAILED
        elif datetime.now(UTC) < (at := self._next_generation()):
            self._reason = f"the next generation is due at {at:%Y-%m-%d %H:%M} UTC"
        else:
            self._memory.generation = generation.fingerprint
            return [GENERATION_RUN]
        return []

    def _next_generation(self) -> datetime:
        """Return the time from which the sensor may request a generation."""
        current = readable_generation(self._lake)
        if current is None:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.fromisoformat(current.facts["created"]) + timedelta(minutes=self._settings.reindex_minutes)

    def _request(self, run: DueRun) -> dg.RunRequest:
        """Return the request of a run.

        Raises:
            BadSettings: The definitions were loaded before a feature was added.
        """
        if unknown := sorted(set(run.keys) - set(self._known)):
            raise BadSettings(f"lake.toml has changed: reload the definitions, for {unknown[0].to_user_string()}")
        tags = {TICK_TAG: str(self._memory.tick), **(range_tags(run.shards[0], run.shards[-1]) if run.shards else {})}
        return dg.RunRequest(asset_selection=list(run.keys), tags=tags)


def _restrict(run: DueRun, wanted: Collection[_Place], partitions: Sequence[str]) -> list[DueRun]:
    """Leave out the shards of a run that are not wanted; what is left may be several ranges."""
    if not run.shards:
        return [run] if (run.keys, "") in wanted else []
    shards = [shard for shard in run.shards if (run.keys, shard) in wanted]
    return [DueRun(run.keys, tuple(stretch)) for stretch in contiguous(shards, partitions)]
