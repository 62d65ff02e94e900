"""Duplicates found in the background, once for each generation, tier, rule and set of decisions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.comparison import Comparison
from imrec_core.duplicates.decisions import Decisions, load_decisions
from imrec_core.lake import Lake
from imrec_core.web.replies import Refused

_KEPT = 4  # results
_WAITING = 4  # jobs
_PATIENCE = 0.5  # seconds that a request waits for a job: of a small lake it is done by then
_REMEMBERED = 300_000  # pairs that were compared


@dataclass(frozen=True)
class Wanted:
    """What a job is to find: a generation that is searched, and what the result depends on beside it."""

    generation: str
    tier: str
    keep: str
    decided: Decisions


class _Job:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.progress = "waiting for another search for duplicates"
        self.done: Future[Duplicates] | None = None


class Finding:
    """Looks for duplicates, one search at a time; keeps what the last ones found."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="duplicates")
        self._jobs: OrderedDict[Wanted, _Job] = OrderedDict()
        self._known: dict[str, dict[tuple[str, str], Comparison]] = {}
        self._changing = threading.Lock()

    def found(self, generation: str, tier: str, keep: str) -> Duplicates | str:
        """What was found, or what is being done to find it.

        Raises:
            ImrecError: As `find_duplicates`.
            Refused: 503, too many searches wait.
        """
        job = self._job(Wanted(generation, tier, keep, load_decisions(self._lake)))
        assert job.done is not None
        try:
            return job.done.result(_PATIENCE)
        except StillRunning:
            return job.progress

    def _job(self, wanted: Wanted) -> _Job:
        with self._changing:
            if wanted in self._jobs:
                self._jobs.move_to_end(wanted)
                job = self._jobs[wanted]
                if job.done is not None and not (job.done.done() and job.done.exception() is not None):
                    return job
            running = [job for job in self._jobs.values() if job.done is not None and not job.done.done()]
            if len(running) > _WAITING:
                words = f"{len(running)} searches for duplicates are under way; try again when one is done"
                raise Refused(503, "Overloaded", words, {"Retry-After": "5"})
            job = self._jobs[wanted] = _Job(wanted)
            job.done = self._pool.submit(self._find, job)
            ended = [one for one, of in self._jobs.items() if of.done is not None and of.done.done()]
            for old in ended[: max(len(self._jobs) - _KEPT, 0)]:
                del self._jobs[old]
            return job

    def _find(self, job: _Job) -> Duplicates:
        def progress(words: str) -> None:
            job.progress = words

        known = self._known.setdefault(job.wanted.tier, {})
        if len(known) > _REMEMBERED:
            known.clear()
        progress("looking for candidates")
        return find_duplicates(self._lake, tier=job.wanted.tier, keep=job.wanted.keep, progress=progress, known=known)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
