"""The definitions over one lake, also for a code location of your own: importing this module builds none.

`definitions` builds those that `imrec ui` and `workspace.yaml` load.
"""

from collections.abc import Mapping

import dagster as dg

from imrec_core.errors import ImrecError
from imrec_core.features import FEATURES, Feature, chosen_features, known_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_dagster.asset_checks import lake_is_whole
from imrec_dagster.assets.build import build_assets
from imrec_dagster.automation import automation_sensor
from imrec_dagster.jobs import catalog_job, check_job, generation_job, retry_job
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.schedules import schedules
from imrec_dagster.sensors import dead_runs, image_folders, note_failures
from imrec_dagster.settings import DagsterSettings


def build_definitions(lake: LakeResource, progress: Progress | None = None) -> dg.Definitions:
    """Build the definitions over one lake.

    To have them beside assets of your own, merge them:
    `defs = dg.Definitions.merge(build_definitions(LakeResource(root="/srv/lake")), my_defs)`.

    Args:
        lake: The lake, and the devices that extract its features.
        progress: Callbacks of a build; by default they do nothing.
    """
    opened = Lake(lake.root)
    settings, (known, chosen) = _settings(opened), _features(opened)
    return dg.Definitions(
        assets=build_assets(known, chosen, settings.reindex_schedule, settings.timezone),
        asset_checks=[lake_is_whole],
        jobs=[catalog_job, generation_job, check_job, retry_job],
        schedules=schedules(settings),
        sensors=[image_folders, automation_sensor(), note_failures, dead_runs],
        resources={"lake": lake, "progress": progress or Progress()},
        # In process, so that a network is loaded once, not once per step. Not dagster-dask's executor: it names tasks
        # by job and step alone, so that of two concurrent runs Dask executes one and both report success (0.29.27).
        executor=dg.in_process_executor,
    )


def _features(lake: Lake) -> tuple[Mapping[str, Feature], list[str]]:
    """Return all features and the names of the chosen ones.

    If `lake.toml` is not valid these are the defaults: the UI loads, and the first run shows the error.
    """
    try:
        return known_features(lake), [feature.name for feature in chosen_features(lake)]
    except ImrecError:
        return FEATURES, list(Settings().features)


def _settings(lake: Lake) -> DagsterSettings:
    """Return the table `[dagster]` of `lake.toml`, or the defaults if it is not valid; the next scan reports that."""
    try:
        return DagsterSettings.of(lake.settings())
    except ImrecError:
        return DagsterSettings()
