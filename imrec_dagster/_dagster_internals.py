"""Imports from Dagster's private modules; no other module imports from them.

Any release of Dagster may move or change these names. A test states the version for which they are right.
"""

from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule

__all__ = [
    "BulkActionStatus",
    "BulkActionsFilter",
    "DagsterAssetCheckFailedError",
    "cron_string_iterator",
    "is_valid_cron_schedule",
]
