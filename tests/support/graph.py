"""What tests of the Dagster graph share: runs over a small lake, what came of them, ticks of what runs by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from imrec_core import ImageId, Lake, Recommender
from imrec_core.features import chosen_features
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.assets.build import build_assets
from imrec_dagster.definitions import build_definitions
from imrec_dagster.partitions import SHARDS
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.sensors import image_folders
from imrec_dagster.settings import DagsterSettings


def shard(number: int) -> str:
    return f"photos-{number:04d}"


def resource(lake: Lake) -> LakeResource:
    return LakeResource(root=str(lake.root))


def assets_of(lake: Lake) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    return build_assets(lake, chosen_features(lake), DagsterSettings.of(lake.settings()))


def materialize(lake: Lake, instance: dg.DagsterInstance, *keys: dg.AssetKey, **options):
    return dg.materialize(
        assets_of(lake),
        selection=dg.AssetSelection.assets(*keys),
        instance=instance,
        resources={"lake": resource(lake), "progress": Progress()},
        **options,
    )


def events(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
    """Every materialisation of an asset, oldest first."""
    records = instance.fetch_materializations(key, limit=1000, ascending=True).records
    return [record.asset_materialization for record in records]


def partitions(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[str]:
    return [event.partition for event in events(instance, key)]


def shown(event: dg.AssetMaterialization) -> dict[str, object]:
    return {name: value.value for name, value in event.metadata.items()}


def findable(lake: Lake) -> set[str]:
    """The names of all files that any search can give."""
    recommender = Recommender.open(lake)
    first, second = recommender.generation.live_table(["image_id"])["image_id"].to_pylist()[:2]
    hits = [*recommender.search(ImageId(first), k=10_000), *recommender.search(ImageId(second), k=10_000)]
    return {Path(hit.path).name for hit in hits}


def take_away(root: Path, *, leaving_a_folder: bool) -> None:
    root.rename(root.with_name("elsewhere"))
    if leaving_a_folder:
        root.mkdir()


def nightly_reindex(lake: Lake, instance: dg.DagsterInstance):
    (schedule,) = (s for s in build_definitions(resource(lake)).schedules if s.name == "nightly_reindex")
    night = datetime(2026, 11, 20, 3, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=night, resources={"lake": resource(lake)}
    ) as context:
        return schedule(context)


def look(lake: Lake, cursor: str | None):
    return image_folders(dg.build_sensor_context(cursor=cursor, resources={"lake": resource(lake)}))


class CatchUp:
    """What the sensor `catch_up` requests, tick after tick."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        self._lake, self._instance = lake, instance
        self._cursor: str | None = None
        self.skipped = ""
        self.reload()

    def reload(self) -> None:
        """Like the button of the UI: after features of the lake have changed."""
        self._defs = build_definitions(resource(self._lake))

    def requests(self) -> list[dg.RunRequest]:
        """Evaluate the sensor, and do all that the daemon does with its result except to start runs."""
        (sensor,) = (s for s in self._defs.sensors if s.name == "catch_up")
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources={"lake": resource(self._lake)}
        ) as context:
            result = sensor(context)
        if isinstance(result, dg.SkipReason):
            self.skipped = result.skip_message
            return []
        self._cursor, self.skipped = result.cursor, result.skip_reason and result.skip_reason.skip_message
        for request in result.dynamic_partitions_requests or []:
            self._instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        for event in result.asset_events:
            self._instance.report_runless_asset_event(event)
        return list(result.run_requests or [])

    def tick(self) -> dict[str, list[str]]:
        """Return the shards that a tick requests, by asset."""
        return self._shards(self.requests())

    def work(self) -> dict[str, list[str]]:
        """Tick, and run what is requested, until nothing is; return the shards of all requests by asset."""
        every: list[dg.RunRequest] = []
        for _ in range(10):
            requests = self.requests()
            if not requests:
                return self._shards(every)
            every += requests
            for request in requests:
                assert self.run(request).success
        raise AssertionError(f"it requests for ever: {self._shards(requests)}")

    def run(self, request: dg.RunRequest, **options) -> dg.ExecuteInProcessResult:
        return materialize(self._lake, self._instance, *request.asset_selection, tags=dict(request.tags), **options)

    def _shards(self, requests: list[dg.RunRequest]) -> dict[str, list[str]]:
        every = list(self._instance.get_dynamic_partitions(str(SHARDS.name)))
        found: dict[str, list[str]] = {}
        for request in requests:
            first, last = (request.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
            shards = every[every.index(first) : every.index(last) + 1] if first else []
            for key in request.asset_selection:
                is_partitioned = key not in (GENERATION,) and key.path[0] != "fitted"
                found.setdefault(key.to_user_string(), []).extend(shards if is_partitioned else [])
        return {name: sorted(shards) for name, shards in found.items()}
