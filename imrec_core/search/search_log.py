"""Sampling of searches into the run log, in the background, so that no search waits for a disk."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from imrec_core.lake.lake import Lake
from imrec_core.lake.run_log import append, entry
from imrec_core.runtime.timing import STAGES
from imrec_core.search.context import SearchContext
from imrec_core.search.hits import Hits
from imrec_core.search.request import SearchRequest

_MAX_WAITING = 10_000  # entries; further ones are dropped until the disk has caught up


class SearchLog:
    """Writes a share of the searches to the run log of a lake. Safe to use from several threads.

    Args:
        name: Name of the entries, such as `http`; None to log nothing.
    """

    def __init__(self, lake: Lake, name: str | None) -> None:
        self._lake, self._name = lake, name
        self._changing = threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        self._writer: ThreadPoolExecutor | None = None

    def offer(
        self, context: SearchContext, request: SearchRequest, hits: Hits, seconds: float, stages: Mapping[str, float]
    ) -> None:
        """Log a search, with the probability `search_log` of `lake.toml`.

        A log that cannot be written raises no error.

        Args:
            stages: Seconds of each of `timing.STAGES`.
        """
        if self._name is None or random.random() >= context.encoder.settings.search_log:
            return
        rounded = {stage: round(stages[stage], 4) for stage in STAGES if stage in stages}
        features = list(map(str, request.features))
        how: dict[str, Any] = {"features": features, "k": request.options.k, "plan": hits.plan}
        new = entry("search", self._name, seconds, rows=len(hits), stages=rounded, **how)
        with self._changing:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(new)
            if len(self._waiting) == 1:
                with suppress(RuntimeError):  # the interpreter shuts down
                    self._writer = self._writer or ThreadPoolExecutor(1, thread_name_prefix="search-log")
                    self._writer.submit(self._write)

    def _write(self) -> None:
        with self._changing:
            entries, self._waiting = self._waiting, []
        append(self._lake, entries)

    def flush(self) -> None:
        """Wait until the searches so far are written."""
        if self._writer is not None:
            self._writer.submit(lambda: None).result()
