"""All that Dagster is to know of imrec. `workspace.yaml` and `imrec ui` load `defs`."""

import os
from collections.abc import Mapping

import dagster as dg

from imrec_core.errors import ImrecError
from imrec_core.features import FEATURES, Feature, chosen_features, known_features
from imrec_core.lake import Lake
from imrec_core.settings import Settings
from imrec_dagster.assets.build import build_assets
from imrec_dagster.automation import automation_sensor
from imrec_dagster.jobs import catalog_job, generation_job, retry_job
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.schedules import nightly_schedules
from imrec_dagster.sensors import dead_runs, image_folders, note_failures


def build_definitions(lake: LakeResource, progress: Progress | None = None) -> dg.Definitions:
    """The definitions over one lake."""
    settings, known, chosen = _declared(lake)
    return dg.Definitions(
        assets=build_assets(known, chosen, settings.nightly_reindex),
        jobs=[catalog_job, generation_job, retry_job],
        schedules=nightly_schedules(settings),
        sensors=[image_folders, automation_sensor(), note_failures, dead_runs],
        resources={"lake": lake, "progress": progress or Progress()},
        # In process, so that the network is loaded once, not once per step. Not dagster-dask's: it names its tasks by
        # job and step alone; of two runs at a time Dask does one, and both are told that it went well (0.29.27).
        executor=dg.in_process_executor,
    )


def _declared(lake: LakeResource) -> tuple[Settings, Mapping[str, Feature], list[str]]:
    """Settings, all features and the names of the chosen ones, by `lake.toml`.

    The defaults where that is not valid, so that the UI loads, and shows the error in the first run.
    """
    opened = Lake(lake.root)
    try:
        return opened.settings(), known_features(opened), [feature.name for feature in chosen_features(opened)]
    except ImrecError:
        return Settings(), FEATURES, list(Settings().features)


defs = build_definitions(
    LakeResource(
        root=os.environ.get("IMREC_LAKE", "data_lake"),
        device=os.environ.get("IMREC_DEVICE", "auto"),
        dask=os.environ.get("IMREC_DASK", ""),
    )
)
