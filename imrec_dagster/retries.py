"""Retries of steps after a transient fault of a disk or an object store. No other error is retried.

Single requests are retried in `imrec_core.lake.storage.retry`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from imrec_core.errors import StorageFault
from imrec_core.lake.lake import Lake
from imrec_dagster.resources import LakeResource, Progress

TRIES = 4
_FIRST_WAIT = 10.0  # seconds, tripled with each try: two minutes in all for a mount to come back


@contextmanager
def open_lake(context: dg.AssetExecutionContext, lake: LakeResource, progress: Progress) -> Iterator[Lake]:
    """Open the lake for the body of an asset, and mark it as being built, which other Dagster instances respect.

    If the body raises `StorageFault`, the step is retried.
    """
    with retry_on_storage_fault(context, progress):
        opened = lake.open()
        with opened.being_built():
            yield opened


@contextmanager
def retry_on_storage_fault(context: dg.AssetExecutionContext, progress: Progress) -> Iterator[None]:
    """Request a retry of the step, after a growing wait, if the body raises `StorageFault`.

    A retry skips completed shards, so it costs only the lost work. The last try raises the fault itself, which
    `imrec build` and the run log then show. A `RetryPolicy` would retry every error, also a wrong setting.
    """
    try:
        yield
    except StorageFault as fault:
        if context.retry_number + 1 >= TRIES:
            raise
        seconds = _FIRST_WAIT * 3**context.retry_number
        context.log.warning(f"{fault}; try {context.retry_number + 2} of {TRIES} starts in {seconds:g} s")
        progress.wait_for_retry(fault, seconds)
        raise dg.RetryRequested(max_retries=TRIES - 1, seconds_to_wait=seconds) from fault
