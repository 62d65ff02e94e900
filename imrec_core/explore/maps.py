"""Maps as files of a lake: what a row holds, how one is written and opened."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from imrec_core.errors import MissingTable, QueryError, SchemaMismatch, UnknownName
from imrec_core.lake import Lake, made_from_of

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # in the generation
        ("image_id", pa.string()),
        ("content", pa.uint64()),  # the first half of its hash: whether the picture is still the one that was placed
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("cluster", pa.int32()),  # -1: in none
        ("neighbours", pa.list_(pa.int64())),  # the nearest rows by the feature's own metric, nearest first
        ("distances", pa.list_(pa.float32())),
    ]
)
_FORMAT = "1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Cluster:
    """Pictures that lie together.

    Attributes:
        x, y: The middle of it, each the median.
        image_id, row: The picture that is nearest to all of it.
    """

    cluster: int
    size: int
    x: float
    y: float
    image_id: str
    row: int


@dataclass(frozen=True)
class Map:
    """Where each image of a generation lies.

    Attributes:
        parameters: With which it was made.
        kept: Share of the 10 nearest images of each that are among its 10 nearest on the map.
        seconds: It took.
        table: A row for each image, by `SCHEMA`, ascending by row.
        clusters: The largest first.
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
    """A name that may be one of a file.

    Raises:
        QueryError: It may not.
    """
    if not _NAME.fullmatch(name):
        raise QueryError(f"{name!r} cannot be the name of a map; take letters, digits, - and _, 64 at most")
    return name


def map_names(lake: Lake) -> list[str]:
    """Names of the maps that a lake has, sorted."""
    return lake.map_names()


def save_map(lake: Lake, made: Map) -> int:
    """Write a map, whole or not at all; returns its size in bytes."""
    facts = {
        "map": _FORMAT,
        **{n: getattr(made, n) for n in ("name", "feature", "metric", "method", "generation")},
        "parameters": json.dumps(made.parameters),
        "kept": json.dumps(made.kept),
        "seconds": json.dumps(made.seconds),
        "clusters": json.dumps([asdict(cluster) for cluster in made.clusters]),
    }
    return lake.write_table(lake.map_path(check_name(made.name)), made.table.cast(SCHEMA), facts)


def open_map(lake: Lake, name: str, columns: Sequence[str] | None = None) -> Map:
    """The map of that name.

    Args:
        columns: Of `SCHEMA`; None for all.

    Raises:
        MissingTable: The lake has no map.
        UnknownName: It has none of that name.
        SchemaMismatch: The file is damaged, or another imrec wrote it.
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
        raise SchemaMismatch(f"{path} cannot be read; make it again with: imrec map --name {name}") from error
    facts = made_from_of(table) or {}
    if facts.get("map") != _FORMAT:
        raise SchemaMismatch(f"{path} is no map that this imrec reads; make it again with: imrec map --name {name}")
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
