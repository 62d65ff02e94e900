"""All that Dagster is to know of imrec. `workspace.yaml` and `imrec ui` load `defs`."""

import os
from collections.abc import Mapping

import dagster as dg

from imrec_core.errors import ImrecError
from imrec_core.features import FEATURES, Feature, chosen_features, known_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_dagster.assets.build import build_assets
from imrec_dagster.automation import automation_sensor
from imrec_dagster.jobs import catalog_job, generation_job, retry_job
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.schedules import schedules
from imrec_dagster.sensors import dead_runs, image_folders, note_failures
from imrec_dagster.settings import DagsterSettings


def build_definitions(lake: LakeResource, progress: Progress | None = None) -> dg.Definitions:
    """The definitions over one lake."""
    opened = Lake(lake.root)
    settings, (known, chosen) = _settings(opened), _features(opened)
    return dg.Definitions(
        assets=build_assets(known, chosen, settings.reindex_schedule),
        jobs=[catalog_job, generation_job, retry_job],
        schedules=schedules(settings),
        sensors=[image_folders, automation_sensor(), note_failures, dead_runs],
        resources={"lake": lake, "progress": progress or Progress()},
        # In process, so that the network is loaded once, not once per step. Not dagster-dask's: it names its tasks by
        # job and step alone; of two runs at a time Dask does one, and both are told that it went well (0.29.27).
        executor=dg.in_process_executor,
    )


def _features(lake: Lake) -> tuple[Mapping[str, Feature], list[str]]:
    """Return all features and the names of the chosen ones.

    The defaults where `lake.toml` is not valid, so that the UI loads, and shows the error in the first run.
    """
    try:
        return known_features(lake), [feature.name for feature in chosen_features(lake)]
    except ImrecError:
        return FEATURES, list(Settings().features)


def _settings(lake: Lake) -> DagsterSettings:
    """Return the table `[dagster]` of `lake.toml`; the defaults where it is not valid, which the next scan tells."""
    try:
        return DagsterSettings.of(lake.settings())
    except ImrecError:
        return DagsterSettings()


defs = build_definitions(
    LakeResource(
        root=os.environ.get("IMREC_LAKE", "data_lake"),
        device=os.environ.get("IMREC_DEVICE", "auto"),
        dask=os.environ.get("IMREC_DASK", ""),
    )
)
