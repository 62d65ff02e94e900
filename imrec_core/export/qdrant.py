"""Qdrant: a collection with a named vector per feature and the rows as payload, on a server or in a folder."""

from __future__ import annotations

import logging
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from imrec_core.errors import BadExport, MissingDependency
from imrec_core.export.parquet_csv import Progress
from imrec_core.export.selection import Column, Selection

log = logging.getLogger(__name__)

_MANY_IN_A_FOLDER = 20_000  # from here on the client itself advises a server
_SHARE = 0.05  # of a full block: as JSON it must fit into a request of 32 MB
_SECONDS = 120  # timeout of a request


def check() -> None:
    """Require the library.

    Raises:
        MissingDependency: qdrant-client is not installed.
    """
    if find_spec("qdrant_client") is None:
        raise MissingDependency("qdrant_client", extra="qdrant")


def write_qdrant(
    selection: Selection,
    place: str,
    collection: str,
    facts: Mapping[str, Any],
    progress: Progress,
    *,
    api_key: str | None = None,
) -> int:
    """Add the missing points in row order; return how many were kept. Point ids are row numbers.

    The metadata of the collection identifies the export. A collection of a different export is deleted first.

    Args:
        place: URL or folder.
        facts: JSON values that identify the export.

    Raises:
        BadExport: The server cannot be reached or returns an error, or imrec did not create the collection.
    """
    with _open_client(place, api_key) as client:
        count = _prepare(client, selection, collection, facts, place)
        if count == len(selection):
            return count
        if "://" not in place and len(selection) - count > _MANY_IN_A_FOLDER:
            log.warning(
                "Qdrant in a folder commits each point by itself and keeps all in memory; for %d points use a server, "
                "or --to lance",
                len(selection),
            )
        step = selection.step(_SHARE)
        first = max(0, count - step)  # the last request may be stored in part; upserts by id are repeatable
        upsert(client, selection, collection, slice(first, len(selection)), progress)
        return first


@contextmanager
def _open_client(place: str, api_key: str | None) -> Iterator[Any]:
    from qdrant_client import QdrantClient
    from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

    is_url = "://" in place
    try:
        with warnings.catch_warnings():
            if not is_url:  # the warning that a folder is meant for few points; docs/guides/export.md says it too
                warnings.simplefilter("ignore", UserWarning)
            if is_url:
                client = QdrantClient(url=place, api_key=api_key, timeout=_SECONDS, check_compatibility=False)
            else:
                client = QdrantClient(path=place)
            try:
                yield client
            finally:
                client.close()
    except ResponseHandlingException as error:
        raise BadExport(
            f"Qdrant at {place} cannot be reached ({_one_line(error)}); check that the server is running"
        ) from error
    except (ApiException, ValueError, RuntimeError) as error:
        raise BadExport(f"Qdrant at {place}: {_one_line(error)}") from error
    except sqlite3.Error as error:  # a folder stores its points in SQLite
        raise OSError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _prepare(client: Any, selection: Selection, collection: str, facts: Mapping[str, Any], place: str) -> int:
    """Create the collection if it is missing or of a different export; return its number of points."""
    if client.collection_exists(collection):
        known = (client.get_collection(collection).config.metadata or {}).get("imrec")
        if known is None:
            raise BadExport(
                f"collection {collection!r} in {place} was not created by imrec; choose another with --collection"
            )
        if known == facts:
            return int(client.count(collection, exact=True).count)
        client.delete_collection(collection)
    client.create_collection(
        collection,
        vectors_config={column.name: _params(column) for column in selection.columns},
        on_disk_payload=True,
        metadata={"imrec": facts},
    )
    if (client.get_collection(collection).config.metadata or {}).get("imrec") != facts:
        client.delete_collection(collection)
        raise BadExport(f"Qdrant at {place} does not store collection metadata; upgrade it to 1.16 or newer")
    return 0


def _params(column: Column) -> Any:
    from qdrant_client import models

    kind = models.Datatype.FLOAT16 if column.feature.dtype == "float16" else models.Datatype.FLOAT32
    return models.VectorParams(
        size=column.width, distance=models.Distance(column.space.distance), datatype=kind, on_disk=True
    )


def upsert(client: Any, selection: Selection, collection: str, places: slice, progress: Progress) -> None:
    """Add the points at a range of positions, one request per block."""
    from qdrant_client import models

    done, reported = places.start, places.start
    for block in selection.reader().blocks(places, share=_SHARE):
        payloads = _payloads(block.rows)
        vectors = {name: matrix.tolist() for name, matrix in block.vectors.items()}
        ids = [payload["row"] for payload in payloads]
        client.upsert(collection, models.Batch(ids=ids, vectors=vectors, payloads=payloads), wait=True)
        done += len(ids)
        if done - reported >= selection.part_rows or done == places.stop:
            progress(f"{done} of {places.stop} points")
            reported = done


def _payloads(rows: pa.Table) -> list[dict[str, Any]]:
    return [{name: _as_json(value) for name, value in row.items()} for row in rows.to_pylist()]


def _as_json(value: Any) -> Any:
    """Convert a value to JSON: times to ISO 8601, NaN and infinities to null."""
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else float(value)
