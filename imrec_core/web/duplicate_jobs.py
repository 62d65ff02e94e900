"""DuplicateJobs: searches for duplicates in the background, with the latest result of each tier."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from functools import lru_cache

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.decisions import Decisions, Pair
from imrec_core.duplicates.keep_rules import resolve_rule
from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.duplicates.progress import Progress
from imrec_core.lake.lake import Lake

_WORKERS = 2  # tier `edited` takes minutes; a quicker tier runs beside it
_CACHED_RULES = 4  # results of a job, sorted by different rules
_WAIT = 0.5  # seconds that a request waits for a job: enough for a small lake


@dataclass(frozen=True)
class _JobKey:
    """Inputs of the groups. Rules and files to keep are not among them: they only sort the copies of a group."""

    generation: str
    tier: str
    not_duplicate: frozenset[Pair]


@dataclass(frozen=True)
class Unfinished:
    """State of a search without a result.

    Attributes:
        progress: Its progress, or that at which it was cancelled.
    """

    progress: Progress
    is_cancelled: bool


class _Job:
    future: Future[Duplicates]

    def __init__(self, key: _JobKey) -> None:
        self.key = key
        self.progress = Progress("waiting for other searches for duplicates")
        self.is_cancelled = False
        self.result = lru_cache(_CACHED_RULES)(self._apply_rule)

    @property
    def has_failed(self) -> bool:
        return self.future.done() and not self.is_cancelled and self.future.exception() is not None

    def _apply_rule(self, keep: str, decided: Decisions) -> Duplicates:
        return self.future.result().with_rule(keep, decided)


class DuplicateJobs:
    """Background searches for duplicates, at most one a tier.

    A newer generation or newer decisions replace the job of a tier; a job that was replaced or cancelled stops. Its
    results are in the lake, so the next search of the tier continues there.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="duplicates")
        self._jobs: dict[str, _Job] = {}  # by tier
        self._preview: tuple[Duplicates, MovePlan] | None = None
        self._changing = threading.Lock()

    def result(self, generation: str, tier: str, keep: str, decided: Decisions) -> Duplicates | Unfinished:
        """Return the duplicates, or the state of their search while it runs or after it was cancelled.

        Raises:
            ImrecError: As `find_duplicates`. An unknown rule raises before a search starts.
        """
        resolve_rule(keep, None, self._lake.settings().sources)
        job = self._get_job(_JobKey(generation, tier, decided.not_duplicate))
        try:
            job.future.result(_WAIT)
        except (StillRunning, CancelledError):
            return Unfinished(job.progress, job.is_cancelled)
        return job.result(keep, decided)

    def preview(self, found: Duplicates, *, is_fresh: bool) -> MovePlan:
        """Return what the plan of a result would do; the last one again, unless it must be fresh.

        It lists the folders of all duplicates, which takes seconds for a hundred thousand of them.
        """
        last = self._preview
        if is_fresh or last is None or last[0] is not found:
            last = self._preview = found, MovePlan.preview(found)
        return last[1]

    def cancel(self, tier: str) -> None:
        """Stop the search of a tier at its next step. It starts again after `resume`, or when its inputs change."""
        with self._changing:
            job = self._jobs.get(tier)
            if job is not None and not job.future.done():
                job.is_cancelled = True
                job.future.cancel()

    def resume(self, tier: str) -> None:
        """Let the next request continue a search that was cancelled."""
        with self._changing:
            job = self._jobs.get(tier)
            if job is not None and job.is_cancelled:
                del self._jobs[tier]

    def _get_job(self, key: _JobKey) -> _Job:
        with self._changing:
            job = self._jobs.get(key.tier)
            if job is None or job.key != key or job.has_failed:
                job = self._jobs[key.tier] = _Job(key)
                job.future = self._pool.submit(self._find, job)
            return job

    def _find(self, job: _Job) -> Duplicates:
        tier = job.key.tier

        def report(progress: Progress) -> None:
            if job.is_cancelled or self._jobs.get(tier) is not job:
                raise CancelledError
            job.progress = progress

        report(Progress("looking for candidates"))
        return find_duplicates(self._lake, tier=tier, progress=report)

    def close(self) -> None:
        """Cancel waiting jobs; do not wait for running ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)
