"""What tests of the Dagster graph share: runs over a small lake, what came of them, ticks of what runs by itself."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from imrec_core import ImageId, Lake, Recommender
from imrec_dagster.assets.build import build_assets
from imrec_dagster.definitions import build_definitions
from imrec_dagster.partitions import SHARDS, contiguous, range_tags
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.sensors import image_folders


def shard(number: int) -> str:
    return f"photos-{number:04d}"


def resource(lake: Lake) -> LakeResource:
    return LakeResource(root=str(lake.root))


def materialize(lake: Lake, instance: dg.DagsterInstance, *keys: dg.AssetKey, **options):
    return dg.materialize(
        build_assets(chosen=lake.settings().features),
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


@contextmanager
def _partitions_read_once(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keep the names of partitions during a tick, as the daemon does; they are asked for hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance, "get_dynamic_partitions", functools.cache(instance.get_dynamic_partitions))
        yield


class Automation:
    """What the automation sensor would ask for, tick after tick."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        self._lake, self._instance = lake, instance
        self._cursor = None
        self.reload()

    def reload(self) -> None:
        """Like the button of the UI: after features of the lake have changed."""
        self._defs = build_definitions(resource(self._lake))

    def tick(self, now: datetime | None = None) -> dict[str, list[str]]:
        with _partitions_read_once(self._instance):
            result = dg.evaluate_automation_conditions(
                self._defs,
                self._instance,
                asset_selection=dg.AssetSelection.all(),
                cursor=self._cursor,
                evaluation_time=now,
            )
        self._cursor = result.cursor
        keys = self._defs.resolve_asset_graph().materializable_asset_keys
        asked = {key: result.get_requested_partitions(key) for key in keys if result.get_num_requested(key)}
        return {key.to_user_string(): sorted(p for p in partitions if p) for key, partitions in asked.items()}

    def work(self) -> dict[str, list[str]]:
        """Tick, and run what is asked for, until nothing is; all that was asked for."""
        every: dict[str, list[str]] = {}
        for _ in range(10):
            asked = self.tick()
            if not asked:
                return {name: sorted(keys) for name, keys in every.items()}
            for name, keys in asked.items():
                every.setdefault(name, []).extend(keys)
            for keys in sorted(set(map(tuple, asked.values()))):
                self._run([name for name in asked if tuple(asked[name]) == keys], keys)
        raise AssertionError(f"it asks for ever: {asked}")

    def _run(self, names: list[str], keys: tuple[str, ...]) -> None:
        every = self._instance.get_dynamic_partitions(str(SHARDS.name))
        for stretch in contiguous(keys, every) if keys else [[]]:
            ran = dg.materialize(
                self._defs.assets,
                selection=dg.AssetSelection.assets(*map(dg.AssetKey.from_user_string, names)),
                instance=self._instance,
                resources={"lake": resource(self._lake), "progress": Progress()},
                tags=range_tags(stretch[0], stretch[-1]) if stretch else {},
            )
            assert ran.success
