"""DuplicateJobs: searches for duplicates in the background, with the latest result of each tier."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from functools import lru_cache

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.comparison import Comparison
from imrec_core.duplicates.decisions import Decisions, Pair
from imrec_core.duplicates.keep_rules import resolve_rule
from imrec_core.lake.lake import Lake

_WORKERS = 2  # tier `edited` takes minutes; a quicker tier runs beside it
_CACHED_RULES = 4  # results of a job, sorted by different rules
_WAIT = 0.5  # seconds that a request waits for a job: enough for a small lake
_MAX_COMPARISONS = 300_000  # cached pairs per tier


@dataclass(frozen=True)
class _JobKey:
    """Inputs of the groups. Rules and files to keep are not among them: they only sort the copies of a group."""

    generation: str
    tier: str
    not_duplicate: frozenset[Pair]


class _Job:
    future: Future[Duplicates]

    def __init__(self, key: _JobKey) -> None:
        self.key = key
        self.progress = "waiting for other searches for duplicates"
        self.result = lru_cache(_CACHED_RULES)(self._apply_rule)

    @property
    def has_failed(self) -> bool:
        return self.future.done() and self.future.exception() is not None

    def _apply_rule(self, keep: str, decided: Decisions) -> Duplicates:
        return self.future.result().with_rule(keep, decided)


class DuplicateJobs:
    """Background searches for duplicates, at most one a tier.

    A newer generation or newer decisions replace the job of a tier; a job that was replaced stops.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="duplicates")
        self._jobs: dict[str, _Job] = {}  # by tier
        self._comparisons: dict[str, dict[tuple[str, str], Comparison]] = {}  # by tier
        self._changing = threading.Lock()

    def result(self, generation: str, tier: str, keep: str, decided: Decisions) -> Duplicates | str:
        """Return the duplicates, or the progress of their search while it runs.

        Raises:
            ImrecError: As `find_duplicates`. An unknown rule raises before a search starts.
        """
        resolve_rule(keep, None, self._lake.settings().sources)
        job = self._get_job(_JobKey(generation, tier, decided.not_duplicate))
        try:
            job.future.result(_WAIT)
        except (StillRunning, CancelledError):
            return job.progress
        return job.result(keep, decided)

    def _get_job(self, key: _JobKey) -> _Job:
        with self._changing:
            job = self._jobs.get(key.tier)
            if job is None or job.key != key or job.has_failed:
                job = self._jobs[key.tier] = _Job(key)
                job.future = self._pool.submit(self._find, job)
            return job

    def _find(self, job: _Job) -> Duplicates:
        tier = job.key.tier

        def progress(line: str) -> None:
            if self._jobs.get(tier) is not job:
                raise CancelledError  # replaced by a newer job, which reuses the comparisons
            job.progress = line

        known = self._comparisons.setdefault(tier, {})
        if len(known) > _MAX_COMPARISONS:
            known.clear()
        progress("looking for candidates")
        return find_duplicates(self._lake, tier=tier, progress=progress, known=known)

    def close(self) -> None:
        """Cancel waiting jobs; do not wait for running ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)
