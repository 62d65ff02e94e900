"""Qdrant: a collection with a named vector for each feature, the rows as payload; on a server or in a folder."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from imrec_core.errors import BadExport, MissingDependency
from imrec_core.export.parts import Progress
from imrec_core.export.selection import Column, Selection

_SHARE = 0.05  # of a full block: as JSON it must fit into a request, of 32 MB at most
_SECONDS = 120  # that a server may take for a request


def check() -> None:
    """Refuse to begin without the library.

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
    """Add the points that are not there, in the order of the rows; returns how many were. Ids are row numbers.

    The collection's metadata says what it holds. What is of another export is deleted first.

    Args:
        place: A URL or a folder.
        facts: What is exported.

    Raises:
        BadExport: The server cannot be reached or refuses, or the collection holds something else.
    """
    with _opened(place, api_key) as client:
        there = _prepare(client, selection, collection, facts, place)
        if there == len(selection):
            return there
        step = selection.step(_SHARE)
        first = max(0, there - step)  # points of the last request may be there in part; ids are taken once
        upsert(client, selection, collection, slice(first, len(selection)), progress)
        return first


@contextmanager
def _opened(place: str, api_key: str | None) -> Iterator[Any]:
    from qdrant_client import QdrantClient
    from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

    is_url = "://" in place
    try:
        with warnings.catch_warnings():
            if not is_url:  # that a folder is for few points, which docs/export.md says
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
        raise BadExport(f"Qdrant at {place} cannot be reached ({_line(error)}); is it running?") from error
    except (ApiException, ValueError, RuntimeError) as error:
        raise BadExport(f"Qdrant at {place}: {_line(error)}") from error
    except sqlite3.Error as error:  # in which a folder holds its points
        raise OSError(_line(error)) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _prepare(client: Any, selection: Selection, collection: str, facts: Mapping[str, Any], place: str) -> int:
    """Make the collection where it is missing or of another export; returns how many points it has."""
    if client.collection_exists(collection):
        known = (client.get_collection(collection).config.metadata or {}).get("imrec")
        if known is None:
            raise BadExport(f"collection {collection!r} in {place} holds something else; name another by --collection")
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
        raise BadExport(f"Qdrant at {place} keeps no metadata of collections; update it to 1.16 or newer")
    return 0


def _params(column: Column) -> Any:
    from qdrant_client import models

    kind = models.Datatype.FLOAT16 if column.feature.dtype == "float16" else models.Datatype.FLOAT32
    return models.VectorParams(
        size=column.width, distance=models.Distance(column.space.distance), datatype=kind, on_disk=True
    )


def upsert(client: Any, selection: Selection, collection: str, places: slice, progress: Progress) -> None:
    """Add the points at some places, a block in a request."""
    from qdrant_client import models

    done, said = places.start, places.start
    for block in selection.reader().blocks(places, share=_SHARE):
        payloads = _payloads(block.rows)
        vectors = {name: matrix.tolist() for name, matrix in block.vectors.items()}
        ids = [payload["row"] for payload in payloads]
        client.upsert(collection, models.Batch(ids=ids, vectors=vectors, payloads=payloads), wait=True)
        done += len(ids)
        if done - said >= selection.part_rows or done == places.stop:
            progress(f"{done} of {places.stop} points")
            said = done


def _payloads(rows: pa.Table) -> list[dict[str, Any]]:
    return [{name: _as_json(value) for name, value in row.items()} for row in rows.to_pylist()]


def _as_json(value: Any) -> Any:
    """A value as JSON has it: times by ISO 8601, what is no number as null."""
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else float(value)
