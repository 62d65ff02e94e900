"""Projection: tables of derived features, computed from the tables of their base features."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa

from imrec_core.errors import DeclarationError, MissingTable, SchemaMismatch
from imrec_core.extraction.staleness import actual_fingerprint, expected_metadata, is_feature_fresh, stale_features
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake


@dataclass(frozen=True)
class ProjectionReport:
    """Result of a projection of one shard; `computed` is False if the table was up to date."""

    shard: str
    feature: str
    rows: int
    computed: bool
    seconds: float = 0.0
    table_bytes: int = 0


def project_shard(lake: Lake, shard: str, feature: Feature, *, force: bool = False) -> ProjectionReport:
    """Compute the table of a derived feature for one shard from its base vectors, if it is missing or stale.

    Args:
        force: Whether to compute the table in any case.

    Raises:
        MissingTable: The feature has no fit, or a base table is missing or stale.
        SchemaMismatch: The base tables are of different images.
        DeclarationError: The feature is not derived.
    """
    started = time.perf_counter()
    path = lake.feature_path(feature.name, shard)
    if feature.projection is None:
        raise DeclarationError(f"{feature.name} is not computed from other features")
    expected = expected_metadata(lake, shard, feature, lake.settings())
    if expected is None:
        raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    if not force and is_feature_fresh(lake, shard, feature):
        return ProjectionReport(shard, feature.name, lake.row_count(path), False)
    missing = stale_features(lake, shard, feature.bases)
    if missing:
        raise MissingTable(f"{missing[0].name} is not up to date for shard {shard!r}; run: imrec build")
    # Before the tables are read: a scan in between then makes this table stale.
    made_from = expected | {"bases": actual_fingerprint(lake, shard, feature)}
    bases = [lake.read_table(lake.feature_path(base.name, shard)) for base in feature.bases]
    ids = bases[0]["image_id"]
    if not all(table["image_id"].equals(ids) for table in bases):
        raise SchemaMismatch(f"the bases of {feature.name} have different images in shard {shard!r}; run: imrec build")
    vectors = feature.projection.project(
        [schemas.to_matrix(table["vector"]) for table in bases], lake.load_fitted(feature.name, expected["fitted"])
    )
    projected = pa.table(
        [ids.combine_chunks(), schemas.to_vectors(feature.checked(vectors, len(ids)))], schema=feature.schema
    )
    size = lake.write_table(path, projected, made_from)
    return ProjectionReport(shard, feature.name, len(ids), True, time.perf_counter() - started, size)
