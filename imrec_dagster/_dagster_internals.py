"""All use of Dagster's private modules; no other module imports from them.

Any release of Dagster may move or change these names. A test states the version for which they are right.
"""

from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule

if TYPE_CHECKING:
    from dagster._core.execution.backfill import PartitionBackfill

NO_EVENT = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
"""Metadata of a result for which Dagster records no event, because the body of the asset has reported its own."""

WORKER_STARTED = "Started process for run"
"""Beginning of the message of the engine event with the process id of a run's worker."""

STEP_CRASHED = "ChildProcessCrashException"
"""Class of the error of a step whose process was killed."""

__all__ = [
    "NO_EVENT",
    "STEP_CRASHED",
    "WORKER_STARTED",
    "DagsterAssetCheckFailedError",
    "cron_string_iterator",
    "is_valid_cron_schedule",
    "unfinished_backfill",
]


def unfinished_backfill(instance: dg.DagsterInstance) -> "PartitionBackfill | None":
    """Return a backfill that may have runs to start; None if there is none."""
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    statuses = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    return next(iter(instance.get_backfills(BulkActionsFilter(statuses=statuses), limit=1)), None)
