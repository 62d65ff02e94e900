"""Checks of the tables of a shard against the manifest and the declarations of the features."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from imrec_core.errors import DamagedTable, MissingTable, SchemaMismatch
from imrec_core.extraction.staleness import manifest_version
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

_NORM_TOLERANCE = 2e-3  # float16 keeps a unit vector's length to this


def check_rows(lake: Lake, shard: str, feature: Feature | None = None) -> list[str]:
    """List problems of the rows of a feature's table, or of the images table.

    The images table has one row for every image of the manifest, ok or failed. A feature's table has one row for every
    image that is ok.

    Args:
        feature: None for the images table.

    Returns:
        One sentence per problem.

    Raises:
        DamagedTable: A table is damaged.
        StorageFault, LakeError: A table cannot be read.
    """
    try:
        expected = lake.read_table(lake.catalog_path(shard), ["image_id"])["image_id"]
        images = lake.read_table(lake.images_path(shard), ["image_id", "status"])
        if feature is not None:
            expected = images.filter(pc.equal(images["status"], "ok"))["image_id"]
            images = lake.read_table(lake.feature_path(feature.name, shard), ["image_id"])
    except DamagedTable:  # the build makes it again
        raise
    except (MissingTable, SchemaMismatch) as error:  # other errors say nothing about the table
        return [f"{shard}: {error}"]
    found = images["image_id"]
    problems = []
    if len(found) != len(expected):
        problems.append(f"{shard}: found {len(found)} rows, expected {len(expected)}")
    elif not found.equals(expected):
        problems.append(f"{shard}: the rows are of other images than those of the manifest, or in another order")
    if pc.count_distinct(found).as_py() != len(found):
        problems.append(f"{shard}: an image_id occurs twice")
    return problems


def check_vectors(lake: Lake, shard: str, feature: Feature) -> list[str]:
    """List problems of the vectors of a feature's table: schema, version, values that are not finite, length.

    Returns:
        One sentence per problem.

    Raises:
        DamagedTable: A table is damaged.
        StorageFault, LakeError: A table cannot be read.
    """
    path = lake.feature_path(feature.name, shard)
    try:
        table = lake.read_table(path)
    except DamagedTable:  # the build makes it again
        raise
    except (MissingTable, SchemaMismatch) as error:  # other errors say nothing about the table
        return [f"{shard}: {error}"]
    if not table.schema.equals(feature.schema):
        return [f"{shard}: the schema is {table.schema.remove_metadata()}, expected {feature.schema}"]
    problems = []
    made_from = lake.made_from(path) or {}
    if made_from.get("shard_version") != manifest_version(lake, shard):
        problems.append(f"{shard}: made from another version of the manifest")
    vectors = schemas.to_matrix(table["vector"], feature.width)
    if vectors.dtype.kind == "f" and not np.isfinite(vectors).all():
        problems.append(f"{shard}: numbers that are not finite")
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1) if feature.unit_norm else np.ones(1)
    if len(lengths) and np.abs(lengths - 1).max() > _NORM_TOLERANCE:
        problems.append(f"{shard}: a vector has length {lengths[np.abs(lengths - 1).argmax()]:.4f}, expected 1")
    return problems
