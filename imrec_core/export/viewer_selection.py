"""Images to export for a viewer: their rows, columns and map positions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.errors import BadExport
from imrec_core.features import Feature
from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation
from imrec_core.lake import tags
from imrec_core.lake.lake import Lake
from imrec_core.maps import Map, align_rows, load_map, map_names
from imrec_core.sql.policy import SqlPolicy

_HIDDEN = ("row", "shard", "mtime_ns", "removed", "has_alpha", "orientation")
_SEED = 20_26


@dataclass(frozen=True)
class ViewerSelection:
    """Images for a viewer.

    Attributes:
        feature: Feature to compare the images by.
        rows: Rows in the generation, ascending.
        left_out: Images that are not in the sample.
        facts: One row per image: ids, paths, image properties, user columns and, with a map, `x`, `y` and `cluster`,
            which are null for images that are not on the map.
        on: The map, if there is one.
    """

    lake: Lake
    generation: Generation
    feature: Feature
    rows: Rows
    left_out: int
    facts: pa.Table
    on: Map | None

    def __len__(self) -> int:
        return len(self.rows)


def select_for_viewer(
    lake: Lake,
    generation: Generation,
    by: str | None,
    where: str | None,
    most: int | None,
    map_name: str | None,
    *,
    needs_map: bool,
) -> ViewerSelection:
    """Select the images for a viewer, a random sample if there are more than `most`.

    Args:
        by: Feature to compare the images by; None for that of the map, or the generation's default feature.
        where: SQL condition over the rows.
        map_name: Map with the positions; None for any map by that feature.
        needs_map: Require a map, and leave out images that are not on it.

    Raises:
        UnknownName: There is no such feature or map.
        MissingTable, BadExport: A map is required and there is none, or no image matches.
        BadFilter: `where` is not a valid condition.
    """
    on = _find_map(lake, by or (None if map_name else generation.default_feature), map_name, needs_map=needs_map)
    feature = generation.feature(by or (on.feature if on else generation.default_feature))
    rows = generation.live if where is None else generation.filter.rows(where, SqlPolicy.TRUSTED)
    if on is not None and needs_map:
        rows = np.intersect1d(rows, align_rows(on, generation)[1])
    if not len(rows):
        raise BadExport(f"no image {f'matches the condition {where!r}' if where else 'is left'}; nothing was exported")
    count = len(rows)
    if most is not None and count > most:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, most, replace=False))
    return ViewerSelection(lake, generation, feature, rows, count - len(rows), _facts(generation, rows, on), on)


def _find_map(lake: Lake, feature: str | None, name: str | None, *, needs_map: bool) -> Map | None:
    columns = ["row", "image_id", "x", "y", "cluster"]
    if name is not None:
        return load_map(lake, name, columns)
    names = map_names(lake)
    for known in sorted(names, key=lambda known: known != feature):
        found = load_map(lake, known, columns)
        if found.feature == feature:
            return found
    if needs_map:
        raise BadExport(f"there is no map by {feature}; build one with: imrec map --by {feature}")
    return None


def _facts(generation: Generation, rows: Rows, on: Map | None) -> pa.Table:
    table = generation.rows.take(pa.array(rows)).replace_schema_metadata(None)
    if generation.tags and tags.COLUMN not in (name.lower() for name in table.column_names):
        lists = tags.tag_column(generation.tags.by_content(), table["content_hash"].to_pylist())
        table = table.append_column(tags.COLUMN, pc.binary_join(lists, ", "))
    table = table.drop_columns([name for name in _HIDDEN if name in table.column_names])
    folder = pc.replace_substring_regex(table["path"], r"(^|/)[^/]*$", "")
    table = _add_column(table, "folder", pc.if_else(pc.equal(folder, ""), table["source"], folder))
    if on is None:
        return table
    places, on_map = align_rows(on, generation)
    order = np.argsort(on_map)
    at = np.searchsorted(on_map[order], rows)
    at = np.minimum(at, len(order) - 1)
    is_on = on_map[order][at] == rows
    positions = on.table.take(pa.array(places[order][at], mask=~is_on))
    for name in ("x", "y", "cluster"):
        table = _add_column(table, name, positions[name])
    return table


def _add_column(table: pa.Table, name: str, column: Any) -> pa.Table:
    """Append a column; a user column of the same name gets the prefix `own_`."""
    if name in table.column_names:
        table = table.rename_columns([f"own_{name}" if n == name else n for n in table.column_names])
    return table.append_column(name, column)


def map_facts(on: Map | None) -> dict[str, str] | None:
    """Identify a map in a manifest, by its name and a digest of its contents."""
    if on is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for name in ("row", "x", "y", "cluster"):
        digest.update(np.ascontiguousarray(on.table[name]).tobytes())
    return {"name": on.name, "generation": on.generation, "digest": digest.hexdigest()}
