"""The table `[dagster]` of `lake.toml`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.settings import Settings
from imrec_dagster._dagster_internals import is_valid_cron_schedule


@dataclass(frozen=True)
class DagsterSettings:
    """When Dagster's schedules run, as cron expressions.

    Attributes:
        scan_schedule: The scan of all sources for changes.
        reindex_schedule: The new generation, which is skipped where nothing is new.
    """

    scan_schedule: str = "0 1 * * *"
    reindex_schedule: str = "0 3 * * *"

    @classmethod
    def of(cls, settings: Settings) -> DagsterSettings:
        """Return what the settings of a lake say under `[dagster]`.

        Raises:
            BadSettings: A name is not known, or a value is no cron expression.
        """
        known = [f.name for f in fields(cls)]
        for name, value in settings.dagster.items():
            if name not in known:
                raise BadSettings(f"lake.toml: dagster: {UnknownName('setting', name, known)}")
            if not isinstance(value, str) or not is_valid_cron_schedule(value):
                raise BadSettings(
                    f"lake.toml: dagster: {name} is {value!r}; it must be minute, hour, day of the month, month "
                    "and day of the week, such as '0 3 * * *' for three o'clock at night"
                )
        return cls(**settings.dagster)
