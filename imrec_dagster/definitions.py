"""All that Dagster is to know of imrec. `workspace.yaml` and `imrec ui` load `defs`."""

import os

import dagster as dg

from imrec_core.errors import LakeError
from imrec_core.lake import Lake
from imrec_core.settings import Settings
from imrec_dagster.assets import build_assets
from imrec_dagster.automation import automation_sensor, catalog_job, generation_job, image_folders, nightly_schedules
from imrec_dagster.resources import LakeResource, Progress


def build_definitions(lake: LakeResource, progress: Progress | None = None) -> dg.Definitions:
    """The definitions over one lake."""
    settings = _settings(lake)
    return dg.Definitions(
        assets=build_assets(settings.features),
        jobs=[catalog_job, generation_job],
        schedules=nightly_schedules(settings),
        sensors=[image_folders, automation_sensor()],
        resources={"lake": lake, "progress": progress or Progress()},
        executor=dg.in_process_executor,  # the network is loaded once, not once per step
    )


def _settings(lake: LakeResource) -> Settings:
    """The lake's settings; the defaults where `lake.toml` is not valid, so that the UI loads and shows the error."""
    try:
        return Lake(lake.root).settings()
    except LakeError:
        return Settings()


defs = build_definitions(
    LakeResource(root=os.environ.get("IMREC_LAKE", "data_lake"), device=os.environ.get("IMREC_DEVICE", "auto"))
)
