"""Extraction on the workers of a Dask cluster: each task extracts some shards and returns their reports.

A worker needs imrec, and the lake and its sources at the same paths. Workers write tables to the lake themselves. If a
worker dies, Dask runs its task on another.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from imrec_core.errors import ClusterError, ImrecError, MissingDependency
from imrec_core.extraction import extract
from imrec_core.extraction.shard_failures import raise_failures
from imrec_core.extraction.shard_order import shard_batches
from imrec_core.features import Feature, known_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.runtime.cpu import CORES

if TYPE_CHECKING:
    from distributed import Client, Future

    from imrec_core.extraction.report import OnImages, ShardReport

_MAX_SHARDS = 10  # of a task; each task builds the index of known content once
_TASKS_PER_WORKER = 4  # at least, if there are enough shards, so that all workers end at about the same time
_NO_WORKER_TIMEOUT = 60.0  # seconds; a worker that was killed takes some to restart
_POLL_INTERVAL = 1.0  # seconds between counts of the workers
_CONNECT_TIMEOUT = 10  # seconds
_SCHEMES = ("tcp://", "tls://")  # with any other Dask 2026.8 may try to connect for minutes
_TOPIC = "imrec"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """Arguments that all tasks share."""

    id: str
    root: str
    settings: Settings
    features: tuple[str, ...]
    device: str
    retry: bool
    force: bool


def extract_on_dask(
    lake: Lake,
    shards: Sequence[str],
    features: Sequence[Feature],
    *,
    scheduler: str = "",
    on_images: OnImages = lambda ok, failed: None,
    device: str = "auto",
    retry: bool = False,
    force: bool = False,
    errors: dict[str, Exception] | None = None,
    on_dashboard: Callable[[str], object] = lambda address: None,
) -> Iterator[ShardReport]:
    """Extract shards like `extract.extract_shards`, on all workers of a cluster; reports come in order of completion.

    Args:
        scheduler: Address of the cluster's scheduler, such as `tcp://10.0.0.1:8786`; empty for this process.
        on_dashboard: Called with the address of the dashboard of the cluster.

    Raises:
        ImrecError: A worker raised it; tasks that run on other workers are completed.
        ClusterError: The cluster cannot be reached, or has no workers any more.
        MissingDependency: Dask is not installed.
    """
    if not scheduler:
        yield from extract.extract_shards(
            lake, shards, features, on_images=on_images, device=device, retry=retry, force=force, errors=errors
        )
        return
    names = tuple(feature.name for feature in features)
    job = _Job(uuid.uuid4().hex, str(lake.root), lake.settings(), names, device, retry, force)
    with _connect(scheduler) as client:
        on_dashboard(client.dashboard_link)
        failures: dict[str, Exception] = {} if errors is None else errors
        for batch in shard_batches(lake, shards):
            yield from _BatchRun(client, job, on_images, failures).run(batch)
        if errors is None:
            raise_failures(failures)


@contextmanager
def _connect(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependency("distributed", extra="dask") from None
    if not scheduler.startswith(_SCHEMES):
        raise ClusterError(
            f"invalid address of a Dask scheduler {scheduler!r}; expected for example tcp://10.0.0.1:8786"
        )
    try:
        client = Client(scheduler, timeout=_CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"the Dask scheduler at {scheduler} cannot be reached: {_one_line(error)}") from error
    try:
        yield client
    finally:
        client.close()


class _BatchRun:
    """Extraction of shards that may be extracted concurrently.

    Args:
        errors: Receives the errors of shards that fail alone.
    """

    def __init__(self, client: Client, job: _Job, on_images: OnImages, errors: dict[str, Exception]) -> None:
        self._client, self._job, self._on_images, self._errors = client, job, on_images, errors
        self._events: SimpleQueue[Future[Any] | tuple[str, int, int]] = SimpleQueue()
        self._running: dict[Future[Any], Sequence[str]] = {}
        self._no_worker_since: float | None = None

    def run(self, shards: Sequence[str]) -> Iterator[ShardReport]:
        """Submit one task per worker, and another for each that completes.

        If all tasks were submitted at once, Dask could distribute them unevenly: it gives a worker with eight threads
        eight tasks, which run one after the other.
        """
        self._client.subscribe_topic(_TOPIC, lambda event: self._events.put(event[1]))
        waiting = deque(_split(shards, self._count_workers()))
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self._count_workers():
                    self._submit(waiting.popleft())
                yield from self._next_reports()
        finally:
            with suppress(Exception):  # an error here must not hide the one that ended the run
                self._client.cancel(list(self._running))
                self._client.unsubscribe_topic(_TOPIC)

    def _count_workers(self) -> int:
        """Count the workers.

        Raises:
            ClusterError: There has been no worker for a while.
        """
        count = len(self._client.nthreads())
        if count:
            self._no_worker_since = None
            return count
        if self._no_worker_since is None:
            self._no_worker_since = time.monotonic()
            log.warning("the Dask cluster has no worker; waiting for one")
        if time.monotonic() - self._no_worker_since > _NO_WORKER_TIMEOUT:
            raise ClusterError(
                f"the Dask cluster has had no worker for {_NO_WORKER_TIMEOUT:.0f} s; start some: dask worker …"
            )
        return 0

    def _submit(self, shards: Sequence[str]) -> None:
        future = self._client.submit(_extract_task, self._job, shards, pure=False)
        self._running[future] = shards
        future.add_done_callback(self._events.put)

    def _next_reports(self) -> Iterator[ShardReport]:
        """Wait for an event: yield the reports of a completed task, or pass on the progress of one."""
        try:
            event = self._events.get(timeout=_POLL_INTERVAL)
        except Empty:
            self._count_workers()
            return
        if not isinstance(event, tuple | list):
            yield from self._collect(event)
        elif event[0] == self._job.id:
            self._on_images(*event[1:])

    def _collect(self, future: Future[Any]) -> Iterator[ShardReport]:
        from distributed import CancelledError, KilledWorker

        shards = self._running.pop(future)
        try:
            reports, errors, error = future.result()
        except KilledWorker as lost:
            raise ClusterError(
                f"{_range_of(shards)}: the worker died, and so did {lost.allowed_failures} others that tried; "
                "was it out of memory? see the log of the workers"
            ) from lost
        except (CancelledError, OSError) as lost:
            raise ClusterError(f"{_range_of(shards)}: the Dask scheduler went away ({_one_line(lost)})") from lost
        yield from reports
        self._errors.update(errors)
        if error is not None:
            raise error


def _split(shards: Sequence[str], workers: int) -> list[Sequence[str]]:
    """Split shards into tasks."""
    size = min(max(len(shards) // (_TASKS_PER_WORKER * max(workers, 1)), 1), _MAX_SHARDS)
    return [shards[first : first + size] for first in range(0, len(shards), size)]


def _range_of(shards: Sequence[str]) -> str:
    return shards[0] if len(shards) == 1 else f"{shards[0]} to {shards[-1]}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# -- on a worker ----------------------------------------------------------------------------------------------

_extraction_lock = threading.Lock()  # extraction uses all cores by itself, and Dask starts a task per thread


def _extract_task(
    job: _Job, shards: Sequence[str]
) -> tuple[list[ShardReport], dict[str, Exception], ImrecError | None]:
    """Extract shards; return the reports, the errors of shards that failed alone, and the error that ended the task.

    A worker uses as many cores as it has threads, unless `IMREC_CORES` is set.
    """
    from distributed import get_worker

    worker = get_worker()
    os.environ.setdefault(CORES, str(worker.state.nthreads))
    reports: list[ShardReport] = []
    errors: dict[str, Exception] = {}
    try:
        with _extraction_lock:
            for report in extract.extract_shards(
                Lake(job.root),
                shards,
                _resolve_features(job, worker.address),
                on_images=lambda ok, failed: worker.log_event(_TOPIC, (job.id, ok, failed)),
                device=job.device,
                retry=job.retry,
                force=job.force,
                errors=errors,
            ):
                reports.append(report)
    except ImrecError as error:
        return reports, errors, error
    return reports, errors, None


def _resolve_features(job: _Job, worker: str) -> list[Feature]:
    """Return the features of a job, after a check that this machine has the same lake at its path.

    Raises:
        ClusterError: The lake is missing, or has other settings.
    """
    lake = Lake(job.root)
    if lake.settings() != job.settings:
        raise ClusterError(f"{worker} has another lake or none at {job.root}; do all machines share it?")
    known = known_features(lake)
    return [known[name] for name in job.features]
