"""NeighbourJobs: searches for outliers and suspicious labels in the background, with the latest result of each kind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from typing import Any

from imrec_core.curation.listed_images import ListedImage

_WAIT = 0.5  # seconds that a request waits for a job: enough for a small lake

Work = Callable[[Callable[[int, int], None]], Sequence[ListedImage]]
"""Finds images; it calls its argument with the numbers of images compared so far and of all images."""


@dataclass(frozen=True)
class JobProgress:
    """State of a search without a result.

    Attributes:
        done, total: Images compared so far, and all of them; both 0 before the search starts.
        seconds_left: Estimated time left; None if unknown.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None


class _Job:
    future: Future[Sequence[ListedImage]]

    def __init__(self, key: object) -> None:
        self.key = key
        self.progress = JobProgress()
        self.started = 0.0

    def report(self, done: int, total: int) -> None:
        self.started = self.started or time.monotonic()
        left = (time.monotonic() - self.started) * (total - done) / done if done else None
        self.progress = JobProgress(done, total, left)

    @property
    def has_failed(self) -> bool:
        return self.future.done() and (self.future.cancelled() or self.future.exception() is not None)


class NeighbourJobs:
    """Background searches that compare all images with their neighbours, at most one a kind.

    Another key, such as a newer generation or another feature, replaces the job of a kind; a replaced job stops.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="neighbours")
        self._jobs: dict[str, _Job] = {}  # by kind
        self._changing = threading.Lock()

    def result(self, kind: str, key: object, work: Work) -> Sequence[ListedImage] | JobProgress:
        """Return the result of a search, or its state while it runs.

        Args:
            kind: Kind of the search.
            key: Inputs of the search; equal keys have equal results.
            work: Function that searches; called once for a key, and again if it has failed.

        Raises:
            ImrecError: The search raised it.
        """
        job = self._get_job(kind, key, work)
        try:
            return job.future.result(_WAIT)
        except (StillRunning, CancelledError):
            return job.progress

    def _get_job(self, kind: str, key: object, work: Work) -> _Job:
        with self._changing:
            job = self._jobs.get(kind)
            if job is None or job.key != key or job.has_failed:
                if job is not None:
                    job.future.cancel()
                job = self._jobs[kind] = _Job(key)
                job.future = self._pool.submit(self._run, kind, job, work)
            return job

    def _run(self, kind: str, job: _Job, work: Work) -> Sequence[ListedImage]:
        def report(done: int, total: int) -> None:
            if self._jobs.get(kind) is not job:
                raise CancelledError
            job.report(done, total)

        return work(report)

    def close(self) -> None:
        """Cancel waiting jobs, and let running ones stop at their next report; do not wait for them."""
        self._jobs.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)


def describe(progress: JobProgress) -> dict[str, Any]:
    """Return the fields of a response while a search runs."""
    return {
        "state": "running",
        "done": progress.done,
        "planned": progress.total,
        "seconds_left": progress.seconds_left,
        "total": 0,
        "findings": [],
        "next": None,
    }
