"""The table `[dagster]` of `lake.toml`. The other settings are in `imrec_core.lake.settings`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.settings import Settings
from imrec_dagster._dagster_internals import is_valid_cron_schedule

EXECUTORS = ("in_process", "multiprocess")

_MOST_IMAGES, _MOST_MINUTES = 100_000_000, 525_600


@dataclass(frozen=True)
class DagsterSettings:
    """Settings of the Dagster side of a lake.

    Attributes:
        scan_schedule: Time of the scan of all sources for changes, as a cron expression.
        reindex_schedule: Time of a new generation, which is skipped if nothing has changed.
        check_schedule: Time of the check of the whole lake for damaged files.
        timezone: Time zone of these times, such as `Europe/Berlin`.
        reindex_minutes: Minutes between two generations that the sensor `catch_up` requests, at least.
        images_per_run: Number of images of a run that is requested or backfilled, at most, unless one shard has more.
        executor: Executor of runs from the UI: `in_process` loads a network once per run, `multiprocess` has a process
            per step.
        owner: Owner of all assets: a team, such as `team:photos`, or an email address.
    """

    scan_schedule: str = "0 1 * * *"
    reindex_schedule: str = "0 3 * * *"
    check_schedule: str = "0 5 * * 0"
    timezone: str = "UTC"
    reindex_minutes: int = 60
    images_per_run: int = 40_000
    executor: str = EXECUTORS[0]
    owner: str = "team:imrec"

    @classmethod
    def of(cls, settings: Settings) -> DagsterSettings:
        """Return the settings of a lake under `[dagster]`.

        Raises:
            BadSettings: A name is unknown, or a value is invalid.
        """
        known = [f.name for f in fields(cls)]
        for name, value in settings.dagster.items():
            if name not in known:
                raise BadSettings(f"lake.toml: dagster: {UnknownName('setting', name, known)}")
            if name == "timezone":
                _check_timezone(value)
                continue
            is_valid, expected = _EXPECTED.get(name, _CRON)
            if not is_valid(value):
                raise BadSettings(f"lake.toml: dagster: {name} is {value!r}; expected {expected}")
        return cls(**settings.dagster)


def _check_timezone(value: Any) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, TypeError, ValueError, OSError) as error:  # OSError: the name of a folder
        near = difflib.get_close_matches(str(value), available_timezones(), n=1)
        advice = f"did you mean {near[0]!r}?" if near else "such as 'Europe/Berlin', or 'UTC'"
        raise BadSettings(
            f"lake.toml: dagster: timezone is {value!r}; expected a name of the IANA time zone database; {advice}"
        ) from error


def _is_cron(value: object) -> bool:
    return isinstance(value, str) and is_valid_cron_schedule(value)


def _is_count(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 1 <= value <= most


def _is_owner(value: object) -> bool:
    """Return whether Dagster accepts an owner."""
    return isinstance(value, str) and bool(_OWNER.fullmatch(value))


_OWNER = re.compile(r"team:[\w-]+|[^@\s]+@[^@\s]+\.[^@\s]+")

_Expected = tuple[Callable[[Any], bool], str]

_CRON: _Expected = (
    _is_cron,
    "a cron expression (minute, hour, day of month, month, day of week), such as '0 3 * * *' for 03:00 every day",
)
_EXPECTED: dict[str, _Expected] = {
    "reindex_minutes": (_is_count(_MOST_MINUTES), f"a number of minutes from 1 to {_MOST_MINUTES}"),
    "images_per_run": (_is_count(_MOST_IMAGES), f"a number of images from 1 to {_MOST_IMAGES}"),
    "executor": (EXECUTORS.__contains__, f"one of {', '.join(EXECUTORS)}"),
    "owner": (_is_owner, "a team, such as 'team:photos', or an email address"),
}
