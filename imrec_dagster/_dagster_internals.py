"""What imrec takes from Dagster that is not among its public names.

Any release of Dagster may move or change these; a test names the version for which they are right.
"""

from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule

__all__ = ["BulkActionStatus", "BulkActionsFilter", "cron_string_iterator", "is_valid_cron_schedule"]
