"""What is tried again: a step whose disk or object store failed in a way that may pass, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from imrec_core.errors import StorageFault
from imrec_dagster.resources import Progress

TRIES = 4
_FIRST_WAIT = 10.0  # seconds, then three times as long each time: two minutes for a mount to come back


@contextmanager
def tried_again(context: dg.AssetExecutionContext, progress: Progress) -> Iterator[None]:
    """Have the step run again, after a growing wait, where a fault of the storage comes through here.

    A run skips what is finished, so trying again costs what was lost. The last try raises the fault itself: it is what
    `imrec build` and the log of runs are to say. No `RetryPolicy`: that would try again whatever was raised, and a
    wrong setting is as wrong the next time.
    """
    try:
        yield
    except StorageFault as fault:
        if context.retry_number + 1 >= TRIES:
            raise
        seconds = _FIRST_WAIT * 3**context.retry_number
        context.log.warning(f"{fault}; try {context.retry_number + 2} of {TRIES} begins in {seconds:g} s")
        progress.waits(fault, seconds)
        raise dg.RetryRequested(max_retries=TRIES - 1, seconds_to_wait=seconds) from fault
