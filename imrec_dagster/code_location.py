"""The definitions over one lake, also for a code location of your own: importing this module builds none.

`definitions` builds those that `imrec ui` and `workspace.yaml` load.
"""

import dagster as dg

from imrec_core.errors import ImrecError
from imrec_core.features import FEATURES, Feature, chosen_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_dagster.asset_checks import lake_is_whole
from imrec_dagster.assets.build import build_assets
from imrec_dagster.jobs import build_job, catalog_job, check_job, generation_job, retry_job
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.schedules import schedules
from imrec_dagster.sensors import catch_up_sensor, dead_runs, image_folders, note_failures
from imrec_dagster.settings import DagsterSettings


def build_definitions(
    lake: LakeResource, progress: Progress | None = None, executor: dg.ExecutorDefinition | None = None
) -> dg.Definitions:
    """Build the definitions over one lake.

    To have them beside assets of your own, merge them:
    `defs = dg.Definitions.merge(build_definitions(LakeResource(root="/srv/lake")), my_defs)`.

    Args:
        lake: The lake, and the devices that extract its features.
        progress: Callbacks of a build; by default they do nothing.
        executor: Executor of the runs; by default that of `lake.toml`.
    """
    opened = Lake(lake.root)
    features, settings = _features(opened), _settings(opened)
    return dg.Definitions(
        assets=build_assets(opened, features, settings),
        asset_checks=[lake_is_whole],
        jobs=[build_job, catalog_job, generation_job, check_job, retry_job],
        schedules=schedules(settings),
        sensors=[image_folders, catch_up_sensor(opened, features), note_failures, dead_runs],
        resources={"lake": lake, "progress": progress or Progress()},
        executor=executor or _EXECUTORS[settings.executor],
    )


# Not dagster-dask's: it names tasks by job and step alone, so that of two concurrent runs Dask executes one, and both
# report success (0.29.27).
_EXECUTORS = {
    "in_process": dg.in_process_executor,  # a network is loaded once per run, not once per step
    "multiprocess": dg.multiprocess_executor.configured({"max_concurrent": 2}),  # each step uses all cores
}


def _features(lake: Lake) -> list[Feature]:
    """Return the features that the lake computes.

    If `lake.toml` is not valid these are the defaults: the UI loads, and the first run shows the error.
    """
    try:
        return chosen_features(lake)
    except ImrecError:
        return [FEATURES[name] for name in Settings().features]


def _settings(lake: Lake) -> DagsterSettings:
    """Return the table `[dagster]` of `lake.toml`, or the defaults if it is not valid; the next scan reports that."""
    try:
        return DagsterSettings.of(lake.settings())
    except ImrecError:
        return DagsterSettings()
