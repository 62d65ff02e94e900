"""Errors of single shards: the other shards of a run are completed before they are raised."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from imrec_core.errors import (
    BadSettings,
    ClusterError,
    DeclarationError,
    FailedShards,
    StorageDenied,
    StorageFault,
    StorageFull,
)

log = logging.getLogger(__name__)

_OF_ALL_SHARDS = (BadSettings, ClusterError, DeclarationError, StorageDenied, StorageFault, StorageFull)
"""Errors that the next shard would raise too."""


@contextmanager
def isolate(shard: str, errors: dict[str, Exception]) -> Iterator[None]:
    """Log an error of the block and add it to `errors`, unless the next shard would raise it too."""
    try:
        yield
    except _OF_ALL_SHARDS:
        raise
    except Exception as error:
        log.warning("shard %s failed: %s", shard, error or type(error).__name__)
        errors[shard] = error


def raise_failures(errors: Mapping[str, Exception]) -> None:
    """Raise the error of the one shard that failed, or one error for several; none if no shard failed.

    Raises:
        FailedShards: Several shards failed.
    """
    if len(errors) > 1:
        raise FailedShards(errors) from next(iter(errors.values()))
    for error in errors.values():
        raise error
