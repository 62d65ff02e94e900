"""Extraction on the workers of a Dask cluster: pieces of some shards go out, reports come back.

A worker needs imrec, and the lake and its sources at the same paths. What it finishes is in the lake; what a worker
that dies had under way is given to another.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from imrec_core.errors import ClusterError, ImrecError, MissingDependency
from imrec_core.extraction import extract
from imrec_core.extraction.shard_order import shard_batches
from imrec_core.features import Feature, known_features
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.runtime.cpu import CORES

if TYPE_CHECKING:
    from distributed import Client, Future

    from imrec_core.extraction.report import OnImages, ShardReport

_PIECE = 10  # shards at most; each piece reads once what is known of the whole lake
_PIECES_PER_WORKER = 4  # at least, where there are shards enough: the last ones end at about the same time
_PATIENCE = 60.0  # seconds without any worker; one that was killed takes some to come back
_TICK = 1.0  # seconds between looks at how many workers there are
_CONNECT = 10  # seconds to try
_SCHEMES = ("tcp://", "tls://")  # with any other Dask 2026.8 may try for minutes
_TOPIC = "imrec"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Order:
    """What is to be done with each piece."""

    id: str
    root: str
    settings: Settings
    features: tuple[str, ...]
    device: str
    retry: bool


def extract_on_dask(
    lake: Lake,
    shards: Sequence[str],
    features: Sequence[Feature],
    *,
    scheduler: str = "",
    on_images: OnImages = lambda ok, failed: None,
    device: str = "auto",
    retry: bool = False,
) -> Iterator[ShardReport]:
    """As `extract.extract_shards` does it, by all workers of a cluster at once; reports come as pieces are done.

    Args:
        scheduler: Address of the cluster's scheduler, as in `tcp://10.0.0.1:8786`; empty for this process.

    Raises:
        ImrecError: What a worker raised; the others finish what they are at.
        ClusterError: The cluster cannot be reached, or has no workers any more.
        MissingDependency: Dask is not installed.
    """
    if not scheduler:
        yield from extract.extract_shards(lake, shards, features, on_images=on_images, device=device, retry=retry)
        return
    names = tuple(feature.name for feature in features)
    order = _Order(uuid.uuid4().hex, str(lake.root), lake.settings(), names, device, retry)
    with _connected(scheduler) as client:
        for wave in shard_batches(lake, shards):
            yield from _Wave(client, order, on_images).run(wave)


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependency("distributed", extra="dask") from None
    if not scheduler.startswith(_SCHEMES):
        raise ClusterError(f"{scheduler} is no address of a Dask scheduler, such as tcp://10.0.0.1:8786")
    try:
        client = Client(scheduler, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"the Dask scheduler at {scheduler} cannot be reached: {_in_a_line(error)}") from error
    try:
        yield client
    finally:
        client.close()


class _Wave:
    """Shards that may all be worked on at once, on their way over the workers."""

    def __init__(self, client: Client, order: _Order, on_images: OnImages) -> None:
        self._client, self._order, self._on_images = client, order, on_images
        self._news: SimpleQueue[Future[Any] | tuple[str, int, int]] = SimpleQueue()
        self._under_way: dict[Future[Any], Sequence[str]] = {}
        self._alone_since: float | None = None

    def run(self, shards: Sequence[str]) -> Iterator[ShardReport]:
        """Hand out one piece per worker, and the next to whoever has done one.

        Dask would take all at once, and could then hand them out unevenly: a worker with eight threads would be given
        eight pieces, of which it does one after the other.
        """
        self._client.subscribe_topic(_TOPIC, lambda event: self._news.put(event[1]))
        waiting = deque(_pieces(shards, self._workers()))
        try:
            while waiting or self._under_way:
                while waiting and len(self._under_way) < self._workers():
                    self._hand_out(waiting.popleft())
                yield from self._next_news()
        finally:
            with suppress(Exception):  # whatever ended this, it is what should be told
                self._client.cancel(list(self._under_way))
                self._client.unsubscribe_topic(_TOPIC)

    def _workers(self) -> int:
        """How many there are; gives up when there were none for long."""
        count = len(self._client.nthreads())
        if count:
            self._alone_since = None
            return count
        if self._alone_since is None:
            self._alone_since = time.monotonic()
            log.warning("the Dask cluster has no worker; waiting for one")
        if time.monotonic() - self._alone_since > _PATIENCE:
            raise ClusterError(f"the Dask cluster has had no worker for {_PATIENCE:.0f} s; start some: dask worker …")
        return 0

    def _hand_out(self, piece: Sequence[str]) -> None:
        future = self._client.submit(_extract_piece, self._order, piece, pure=False)
        self._under_way[future] = piece
        future.add_done_callback(self._news.put)

    def _next_news(self) -> Iterator[ShardReport]:
        """What one piece reported, or how far one has come; nothing where nothing happens for a while."""
        try:
            news = self._news.get(timeout=_TICK)
        except Empty:
            self._workers()
            return
        if not isinstance(news, tuple | list):
            yield from self._done(news)
        elif news[0] == self._order.id:
            self._on_images(*news[1:])

    def _done(self, future: Future[Any]) -> Iterator[ShardReport]:
        from distributed import CancelledError, KilledWorker

        piece = self._under_way.pop(future)
        try:
            reports, error = future.result()
        except KilledWorker as lost:
            raise ClusterError(
                f"{_named(piece)}: the worker died, and so did {lost.allowed_failures} others that tried; "
                "was it out of memory? see the log of the workers"
            ) from lost
        except (CancelledError, OSError) as lost:
            raise ClusterError(f"{_named(piece)}: the Dask scheduler went away ({_in_a_line(lost)})") from lost
        yield from reports
        if error is not None:
            raise error


def _pieces(shards: Sequence[str], workers: int) -> list[Sequence[str]]:
    size = min(max(len(shards) // (_PIECES_PER_WORKER * max(workers, 1)), 1), _PIECE)
    return [shards[first : first + size] for first in range(0, len(shards), size)]


def _named(piece: Sequence[str]) -> str:
    return piece[0] if len(piece) == 1 else f"{piece[0]} to {piece[-1]}"


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# -- on a worker ----------------------------------------------------------------------------------------------

_one_at_a_time = threading.Lock()  # extraction uses all cores by itself, Dask starts a piece per thread


def _extract_piece(order: _Order, shards: Sequence[str]) -> tuple[list[ShardReport], ImrecError | None]:
    """What was done, and the error that ended it.

    A worker has as many threads as it may use cores, unless `IMREC_CORES` says otherwise.
    """
    from distributed import get_worker

    worker = get_worker()
    os.environ.setdefault(CORES, str(worker.state.nthreads))
    reports: list[ShardReport] = []
    try:
        with _one_at_a_time:
            for report in extract.extract_shards(
                Lake(order.root),
                shards,
                _features_here(order, worker.address),
                on_images=lambda ok, failed: worker.log_event(_TOPIC, (order.id, ok, failed)),
                device=order.device,
                retry=order.retry,
            ):
                reports.append(report)
    except ImrecError as error:
        return reports, error
    return reports, None


def _features_here(order: _Order, worker: str) -> list[Feature]:
    """Those of the order, once it is certain that its lake is seen here."""
    lake = Lake(order.root)
    if lake.settings() != order.settings:
        raise ClusterError(f"{worker} finds another lake or none at {order.root}; do all machines share it?")
    known = known_features(lake)
    return [known[name] for name in order.features]
