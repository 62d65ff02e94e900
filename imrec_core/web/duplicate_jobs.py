"""Duplicates found in the background, two searches at a time; of each tier what was asked for last is kept."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from functools import lru_cache

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.comparison import Comparison
from imrec_core.duplicates.decisions import Decisions, Pair
from imrec_core.duplicates.groups import resolve_rule
from imrec_core.lake.lake import Lake

_AT_ONCE = 2  # searches: `edited` takes minutes, which a quicker tier shall not wait for
_RULES = 4  # by which what was found is kept in order
_PATIENCE = 0.5  # seconds that a request waits for a job: of a small lake it is done by then
_REMEMBERED = 300_000  # pairs that were compared


@dataclass(frozen=True)
class Wanted:
    """What groups depend on: a generation that is searched, a tier, and pairs that are none. What stays does not."""

    generation: str
    tier: str
    not_duplicate: frozenset[Pair]


class _Job:
    done: Future[Duplicates]

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.progress = "waiting for other searches for duplicates"
        self.keeping = lru_cache(_RULES)(self._keeping)

    @property
    def has_failed(self) -> bool:
        return self.done.done() and self.done.exception() is not None

    def _keeping(self, keep: str, decided: Decisions) -> Duplicates:
        return self.done.result().with_rule(keep, decided)


class Finding:
    """Looks for duplicates. Of each tier the newest build and decisions count: a search for others ends."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="duplicates")
        self._jobs: dict[str, _Job] = {}  # by tier
        self._known: dict[str, dict[tuple[str, str], Comparison]] = {}
        self._changing = threading.Lock()

    def found(self, generation: str, tier: str, keep: str, decided: Decisions) -> Duplicates | str:
        """What was found, or what is being done to find it.

        Raises:
            ImrecError: As `find_duplicates`; for its rule before anything is looked for.
        """
        resolve_rule(keep, None, self._lake.settings().sources)
        job = self._job(Wanted(generation, tier, decided.not_duplicate))
        try:
            job.done.result(_PATIENCE)
        except (StillRunning, CancelledError):
            return job.progress
        return job.keeping(keep, decided)

    def _job(self, wanted: Wanted) -> _Job:
        with self._changing:
            job = self._jobs.get(wanted.tier)
            if job is None or job.wanted != wanted or job.has_failed:
                job = self._jobs[wanted.tier] = _Job(wanted)
                job.done = self._pool.submit(self._find, job)
            return job

    def _find(self, job: _Job) -> Duplicates:
        tier = job.wanted.tier

        def progress(words: str) -> None:
            if self._jobs.get(tier) is not job:
                raise CancelledError  # nobody asks for it any more; what was compared is remembered
            job.progress = words

        known = self._known.setdefault(tier, {})
        if len(known) > _REMEMBERED:
            known.clear()
        progress("looking for candidates")
        return find_duplicates(self._lake, tier=tier, progress=progress, known=known)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
