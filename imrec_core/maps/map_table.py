"""Maps as Parquet files of a lake: their schema, and how they are written and read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from imrec_core.errors import MissingTable, QueryError, SchemaMismatch, UnknownName
from imrec_core.lake.lake import Lake, made_from_of
from imrec_core.lake.schemas import MAP as SCHEMA

_FORMAT = "1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Cluster:
    """Images that lie together on a map.

    Attributes:
        cluster: Number of the cluster; 0 is the largest.
        size: Number of images.
        x, y: Median position.
        image_id, row: Medoid: the image nearest to all others.
    """

    cluster: int
    size: int
    x: float
    y: float
    image_id: str
    row: int


@dataclass(frozen=True)
class Map:
    """Positions and clusters of the images of a generation.

    Attributes:
        parameters: Arguments that it was built with.
        kept: Share of each image's 10 nearest neighbours that are among its 10 nearest on the map.
        seconds: Time to build it.
        table: One row per image, with the columns of `SCHEMA`, ascending by row.
        clusters: Largest first.
    """

    name: str
    feature: str
    metric: str
    method: str
    generation: str
    parameters: dict[str, Any]
    kept: float
    seconds: float
    table: pa.Table
    clusters: tuple[Cluster, ...]


def check_name(name: str) -> str:
    """Require a valid name of a map, which is also the name of its file.

    Raises:
        QueryError: The name is invalid.
    """
    if not _NAME.fullmatch(name):
        raise QueryError(f"invalid map name {name!r}: expected 1 to 64 letters, digits, '-' and '_'")
    return name


def map_names(lake: Lake) -> list[str]:
    """List the names of the maps of a lake, sorted."""
    return lake.map_names()


def save_map(lake: Lake, made: Map) -> int:
    """Write a map atomically; return its size in bytes."""
    facts = {
        "map": _FORMAT,
        **{n: getattr(made, n) for n in ("name", "feature", "metric", "method", "generation")},
        "parameters": json.dumps(made.parameters),
        "kept": json.dumps(made.kept),
        "seconds": json.dumps(made.seconds),
        "clusters": json.dumps([asdict(cluster) for cluster in made.clusters]),
    }
    return lake.write_table(lake.map_path(check_name(made.name)), made.table.cast(SCHEMA), facts)


def load_map(lake: Lake, name: str, columns: Sequence[str] | None = None) -> Map:
    """Read the map of a name.

    Args:
        columns: Columns of `SCHEMA` to read; None for all.

    Raises:
        MissingTable: The lake has no maps.
        UnknownName: It has no map of that name.
        SchemaMismatch: The file is damaged, or another version of imrec wrote it.
    """
    known = map_names(lake)
    if not known:
        raise MissingTable(f"{lake.root} has no map yet; make one with: imrec map")
    if name not in known:
        raise UnknownName("map", name, known)
    path = lake.map_path(name)
    try:
        table = lake.read_table(path, list(columns) if columns is not None else None)
    except SchemaMismatch as error:
        raise SchemaMismatch(f"{path} cannot be read; rebuild it with: imrec map --name {name}") from error
    facts = made_from_of(table) or {}
    if facts.get("map") != _FORMAT:
        raise SchemaMismatch(
            f"{path}: map format is {facts.get('map')!r}, expected {_FORMAT!r}; "
            f"rebuild it with: imrec map --name {name}"
        )
    return Map(
        name=name,
        feature=facts["feature"],
        metric=facts["metric"],
        method=facts["method"],
        generation=facts["generation"],
        parameters=json.loads(facts["parameters"]),
        kept=json.loads(facts["kept"]),
        seconds=json.loads(facts["seconds"]),
        table=table.replace_schema_metadata(None),
        clusters=tuple(Cluster(**cluster) for cluster in json.loads(facts["clusters"])),
    )
