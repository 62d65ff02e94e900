"""AppState: the lake, queues and caches that all routes of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Annotated, TypeVar

import numpy as np
from fastapi import Path
from starlette.requests import Request

from imrec_core.errors import ImrecError
from imrec_core.features.feature_metric import split_name
from imrec_core.images.thumbnails import Thumbnails
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.runtime.timing import record_timings
from imrec_core.search.feature_weights import DEFAULT, mix_weights
from imrec_core.search.recommender import Recommender
from imrec_core.sql.policy import SqlPolicy
from imrec_core.web.admission import AdmissionQueue, UploadBudget, ZipSlots
from imrec_core.web.browse import Browser
from imrec_core.web.duplicate_jobs import DuplicateJobs
from imrec_core.web.failed_files import FailedFiles
from imrec_core.web.limits import Limits
from imrec_core.web.map_cache import MapCache
from imrec_core.web.metrics import Metrics
from imrec_core.web.neighbour_jobs import NeighbourJobs
from imrec_core.web.responses import ApiError
from imrec_core.web.schemas.base import ErrorResponse
from imrec_core.web.selections import SelectionCache
from imrec_core.web.tag_history import TagHistory
from imrec_core.web.uploads import UploadCache

T = TypeVar("T")

ImageKey = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="image_id: 16 hex digits.")]
UploadKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Handle of an uploaded image.")]

_DESCRIPTIONS = {
    400: "The request is invalid.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "There is no such image, or its file is missing or damaged.",
    405: "The route does not support this method.",
    408: "The body of the request did not arrive in time.",
    409: "The current generation lacks what the request needs, or a result is not ready.",
    410: "The request refers to an upload, a selection or a page of results that has expired.",
    413: "The request is too large, or a zip would be.",
    422: "A parameter is missing or out of range.",
    503: "Too many requests are waiting, or the lake cannot be read.",
    504: "The image cannot be read in time.",
}
_COMMON_ERRORS = (401, 403, 408, 413, 422, 503)


def error_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Describe the errors of a route for the OpenAPI document, in addition to those of every route."""
    return {
        status: {"model": ErrorResponse, "description": _DESCRIPTIONS[status]}
        for status in sorted({*statuses, *_COMMON_ERRORS})
    }


class AppState:
    """Objects that the routes of one server share.

    Attributes:
        sql_policy: Policy for SQL from clients; also that of `recommender`.
        is_local: Whether the server is for this machine only; then responses may name paths of files.
    """

    def __init__(self, lake: Lake, limits: Limits, *, is_local: bool = False) -> None:
        self.lake, self.limits, self.is_local = lake, limits, is_local
        self.sql_policy = SqlPolicy.untrusted(limits.filter_seconds)
        self.recommender = Recommender(lake, sql_policy=self.sql_policy, log_as="http")
        self.uploads = UploadCache(limits)
        self.selections = SelectionCache(limits)
        self.thumbnails = Thumbnails(lake)
        self.duplicate_jobs = DuplicateJobs(lake)
        self.neighbour_jobs = NeighbourJobs()
        self.tag_history = TagHistory(lake)
        self.failed_files = FailedFiles(lake)
        self.maps = MapCache(lake)
        self.browser = Browser(self.maps, self.sql_policy)
        self.upload_budget = UploadBudget(limits.upload_bytes_at_once)
        self.zip_slots = ZipSlots(limits.max_zips)
        queue = partial(AdmissionQueue, workers=limits.workers, max_slow=limits.max_slow)
        self._search_queue = queue("search", max_waiting=limits.max_waiting_searches, slow_seconds=limits.slow_seconds)
        self._image_queue = queue(
            "picture", max_waiting=limits.max_waiting_images, slow_seconds=limits.slow_image_seconds
        )
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._opening: asyncio.Future[Generation] | None = None
        self.metrics = Metrics()
        self.metrics.add_queue("search", lambda: self._search_queue.waiting)
        self.metrics.add_queue("picture", lambda: self._image_queue.waiting)  # dashboards know it by this name

    @property
    def generation(self) -> Generation:
        """Current generation of the lake."""
        return self.recommender.generation

    async def in_search_queue(self, request: Request, work: Callable[[], T]) -> T:
        """Run `work` in the queue of searches, and record its timings."""

        def timed_work() -> T:
            with record_timings() as seconds:
                try:
                    return work()
                finally:
                    self.metrics.observe_stages(seconds)

        return await self._search_queue.run(request, timed_work)

    async def in_image_queue(self, request: Request, work: Callable[[], T]) -> T:
        """Run `work` in the queue of requests for images, with a time limit."""
        return await self._image_queue.run(request, work, seconds=self.limits.image_seconds)

    async def generation_for_health(self) -> Generation:
        """Return the current generation, or the one in use if the lake does not answer in time.

        It has a thread of its own, so that neither a full queue nor a disk that does not answer holds it up.
        """
        if self._opening is None or self._opening.done():
            loop = asyncio.get_running_loop()
            self._opening = loop.run_in_executor(self._health_thread, lambda: self.generation)
        await asyncio.wait({self._opening}, timeout=self.limits.health_seconds)
        return self._opening.result() if self._opening.done() else self.recommender.generation_in_use

    def row_of(self, generation: Generation, image_id: str) -> int:
        """Return the row of an image.

        Raises:
            ApiError: 404, there is no such image.
        """
        row = int(generation.rows_of([image_id])[0])
        if row < 0:
            raise ApiError(404, "UnknownImage", f"no image {image_id!r} in generation {generation.id}")
        return row

    def redact_paths(self, message: str) -> str:
        """Replace the paths of sources and lake in a message by their names."""
        names = {str(root): name for name, root in self.lake.settings().sources.items()} | {str(self.lake.root): "lake"}
        for path in sorted(names, key=len, reverse=True):
            message = message.replace(path, names[path])
        return message

    def warm_up(self) -> None:
        """Load graphs and models of the default searches, which takes seconds, before the first search needs them."""
        for load in (self._load_graphs, lambda: self.recommender.vector(np.zeros((256, 256, 3), np.uint8))):
            with suppress(ImrecError):  # the search that needs them reports it
                load()

    def _load_graphs(self) -> None:
        generation = self.recommender.generation
        mix = mix_weights(self.lake.settings(), DEFAULT, generation.features)
        generation.load_graphs({generation.default_feature, *(split_name(part)[0] for part in mix)})

    def close(self) -> None:
        """Shut down the threads."""
        self._search_queue.close()
        self._image_queue.close()
        self._health_thread.shutdown(wait=False, cancel_futures=True)
        self.duplicate_jobs.close()
        self.neighbour_jobs.close()
