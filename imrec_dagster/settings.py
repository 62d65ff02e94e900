"""The table `[dagster]` of `lake.toml`. The other settings are in `imrec_core.lake.settings`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.settings import Settings
from imrec_dagster._dagster_internals import is_valid_cron_schedule


@dataclass(frozen=True)
class DagsterSettings:
    """Times of the schedules, as cron expressions, and their time zone.

    Attributes:
        scan_schedule: Time of the scan of all sources for changes.
        reindex_schedule: Time of a new generation, which is skipped if nothing has changed.
        check_schedule: Time of the check of the whole lake for damaged files.
        timezone: Time zone of these times, such as `Europe/Berlin`.
    """

    scan_schedule: str = "0 1 * * *"
    reindex_schedule: str = "0 3 * * *"
    check_schedule: str = "0 5 * * 0"
    timezone: str = "UTC"

    @classmethod
    def of(cls, settings: Settings) -> DagsterSettings:
        """Return the settings of a lake under `[dagster]`.

        Raises:
            BadSettings: A name is unknown, or a value is not a cron expression or not a time zone.
        """
        known = [f.name for f in fields(cls)]
        for name, value in settings.dagster.items():
            if name not in known:
                raise BadSettings(f"lake.toml: dagster: {UnknownName('setting', name, known)}")
            if name == "timezone":
                _check_timezone(value)
            else:
                _check_schedule(name, value)
        return cls(**settings.dagster)


def _check_schedule(name: str, value: Any) -> None:
    if not isinstance(value, str) or not is_valid_cron_schedule(value):
        raise BadSettings(
            f"lake.toml: dagster: {name} is {value!r}; expected a cron expression (minute, hour, day of month, month, "
            "day of week), such as '0 3 * * *' for 03:00 every day"
        )


def _check_timezone(value: Any) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, TypeError, ValueError, OSError) as error:  # OSError: the name of a folder
        near = difflib.get_close_matches(str(value), available_timezones(), n=1)
        advice = f"did you mean {near[0]!r}?" if near else "such as 'Europe/Berlin', or 'UTC'"
        raise BadSettings(
            f"lake.toml: dagster: timezone is {value!r}; expected a name of the IANA time zone database; {advice}"
        ) from error
