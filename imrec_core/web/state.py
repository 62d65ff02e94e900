"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, TypeVar

import numpy as np
from fastapi import Path
from starlette.requests import Request

from imrec_core.errors import ImrecError
from imrec_core.images.thumbnails import Thumbnails
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.runtime.timing import record_timings
from imrec_core.search.recommender import Recommender
from imrec_core.sql.policy import SqlPolicy
from imrec_core.web.admission import AdmissionQueue
from imrec_core.web.duplicate_jobs import Finding
from imrec_core.web.limits import Limits
from imrec_core.web.map_cache import Layouts
from imrec_core.web.metrics import Metrics
from imrec_core.web.responses import ApiError
from imrec_core.web.schemas.base import Error
from imrec_core.web.uploads import Uploads

T = TypeVar("T")

ImageKey = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="image_id: 16 hex digits.")]
UploadKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Handle of a picture that was sent.")]

_WHY = {
    400: "The request cannot be answered as it stands.",
    401: "A token is needed.",
    403: "A page of another site asked.",
    404: "There is no such image, or its file is gone or broken.",
    405: "Not in this way.",
    409: "Not yet: the generation in use lacks what is asked for, or it is still looked for.",
    410: "What the request refers to is not kept any more.",
    413: "The request is too large.",
    422: "A parameter is missing or out of its range.",
    503: "Too many requests are waiting, or the lake cannot be read.",
}


def why_not(*statuses: int) -> dict[int | str, dict[str, object]]:
    """How a route says that it may refuse, beside what any may: the shape of an error, for the description."""
    always = (401, 403, 413, 422, 503)
    return {status: {"model": Error, "description": _WHY[status]} for status in sorted({*statuses, *always})}


class AppState:
    """A lake as it is served: what answers, how many at a time, and what was sent.

    Attributes:
        sql_policy: For all SQL that clients send; searches of `recommender` follow it, too.
    """

    def __init__(self, lake: Lake, limits: Limits) -> None:
        self.lake, self.limits = lake, limits
        self.sql_policy = SqlPolicy.untrusted(limits.filter_seconds)
        self.recommender = Recommender(lake, sql_policy=self.sql_policy)
        self.uploads = Uploads(limits)
        self.thumbnails = Thumbnails(lake)
        self.finding = Finding(lake)
        self.layouts = Layouts(lake)
        self._searches = AdmissionQueue("search", limits.at_work, limits.searches_waiting)
        self._pictures = AdmissionQueue("picture", limits.at_work, limits.pictures_waiting)
        self.metrics = Metrics()
        self.metrics.watch("search", lambda: self._searches.waiting)
        self.metrics.watch("picture", lambda: self._pictures.waiting)

    @property
    def generation(self) -> Generation:
        return self.recommender.generation

    async def searched(self, request: Request, work: Callable[[], T]) -> T:
        """What `work` returns, computed when it is its turn among the searches."""

        def with_timings() -> T:
            with record_timings() as seconds:
                try:
                    return work()
                finally:
                    self.metrics.stages(seconds)

        return await self._searches.run(request, with_timings)

    async def pictured(self, request: Request, work: Callable[[], T]) -> T:
        """The same among the pictures."""
        return await self._pictures.run(request, work)

    def row_of(self, generation: Generation, image_id: str) -> int:
        """The row of an image.

        Raises:
            Refused: 404, there is none.
        """
        row = int(generation.rows_of([image_id])[0])
        if row < 0:
            raise ApiError(404, "UnknownImage", f"no image {image_id} in generation {generation.id}")
        return row

    def without_paths(self, words: str) -> str:
        """Words of an error in which no place of this machine is named."""
        known = {str(root): name for name, root in self.lake.settings().sources.items()} | {str(self.lake.root): "lake"}
        for place in sorted(known, key=len, reverse=True):
            words = words.replace(place, known[place])
        return words

    def warm_up(self) -> None:
        """Load what the first search would wait for: networks take seconds."""
        with suppress(ImrecError):  # whoever asks is told
            self.recommender.vector(np.zeros((256, 256, 3), np.uint8))

    def close(self) -> None:
        """Let the threads end."""
        self._searches.close()
        self._pictures.close()
        self.finding.close()
