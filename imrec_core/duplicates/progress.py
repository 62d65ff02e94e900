"""Progress of a search for duplicates: the step, pairs done, total and time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """State of a search.

    Attributes:
        step: Current step.
        done, total: Comparisons finished and planned in this step; both 0 where they are not counted.
        seconds_left: Estimated time left in this step; None if unknown.
    """

    step: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None

    def __str__(self) -> str:
        """Format as one line, such as `comparing pairs: 1,280 of 13,052, about 40 s left`."""
        count = f": {self.done:,} of {self.total:,}" if self.total else ""
        left = "" if self.seconds_left is None else f", about {format_seconds(self.seconds_left)} left"
        return f"{self.step}{count}{left}"


Report = Callable[[Progress], None]
"""Receives the progress. It may raise to stop the search; results so far are kept in the lake."""


class Steps:
    """Counts the comparisons of one step and estimates the time left.

    Args:
        estimate: Seconds for all comparisons, used until the first ones are measured.
    """

    def __init__(self, step: str, total: int, report: Report, *, estimate: float | None = None) -> None:
        self._step, self._total, self._report = step, total, report
        self._started, self._done = time.monotonic(), 0
        self._report(Progress(step, 0, total, estimate))

    def advance(self, count: int) -> None:
        """Count finished comparisons and report the progress."""
        self._done += count
        seconds = (time.monotonic() - self._started) * (self._total - self._done) / self._done
        self._report(Progress(self._step, self._done, self._total, seconds))


def format_seconds(seconds: float) -> str:
    """Format a duration in its largest unit, such as `40 s`, `12 min` or `1 h 20 min`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
