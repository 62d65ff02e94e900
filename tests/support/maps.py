"""Small maps with known positions, for tests of the HTTP API and of the page."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from imrec_core import Lake
from imrec_core.index.opening import open_generation
from imrec_core.maps import Map, map_table

REMOVED = "0123456789abcdef"


def save_line_map(lake: Lake) -> None:
    """Save a map "line" with image i at (i, 0).

    Its cluster has the first ten images and `REMOVED`, which is not in the lake.
    """
    rows = open_generation(lake).columns("row", "image_id")
    count = len(rows)
    table = pa.table(
        {
            "row": pa.array([*range(count), count]),
            "image_id": [*rows["image_id"].to_pylist(), REMOVED],
            "content": pa.array(np.zeros(count + 1, np.uint64)),
            "x": pa.array(np.arange(count + 1, dtype=np.float32)),
            "y": pa.array(np.zeros(count + 1, np.float32)),
            "cluster": pa.array([0] * 10 + [-1] * (count - 10) + [0], pa.int32()),
            "neighbours": [[]] * (count + 1),
            "distances": [[]] * (count + 1),
        },
        schema=map_table.SCHEMA,
    )
    cluster = map_table.Cluster(0, 11, 5.0, 0.0, REMOVED, count)
    header = ("line", "phash", "hamming", "drawn", "of-before", {}, 1.0, 0.1)
    map_table.save_map(lake, Map(*header, table, (cluster,)))


def save_groups_map(lake: Lake, name: str, groups: int) -> Map:
    """Save a map whose image i is in cluster i % groups; clusters lie in two rows, with empty space between them."""
    rows = open_generation(lake).columns("row", "image_id")
    count = len(rows)
    row = np.arange(count)
    cluster, within = row % groups, row // groups
    x = cluster // 2 * 20 + within % 5 * 0.8
    y = cluster % 2 * 80 + within // 5 * 0.8
    table = pa.table(
        {
            "row": row,
            "image_id": rows["image_id"],
            "content": pa.array(np.zeros(count, np.uint64)),
            "x": pa.array(x.astype(np.float32)),
            "y": pa.array(y.astype(np.float32)),
            "cluster": pa.array(cluster.astype(np.int32)),
            "neighbours": [[]] * count,
            "distances": [[]] * count,
        },
        schema=map_table.SCHEMA,
    )
    clusters = tuple(
        map_table.Cluster(
            number,
            int((cluster == number).sum()),
            float(np.median(x[cluster == number])),
            float(np.median(y[cluster == number])),
            rows["image_id"][number].as_py(),
            number,
        )
        for number in range(groups)
    )
    generation = open_generation(lake).id
    made = Map(name, "phash", "hamming", "umap", generation, {}, 1.0, 0.1, table, clusters)
    map_table.save_map(lake, made)
    return made
