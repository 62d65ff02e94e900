"""Dagster metadata of declarations: the columns of a table, and what a feature is; `metadata` has those of reports."""

from typing import Any

import dagster as dg
import pyarrow as pa

from imrec_core.features import Feature
from imrec_core.lake.columns import DESCRIPTIONS

Shown = dict[str, Any]


def of_feature(feature: Feature) -> Shown:
    """Return the metadata of a feature's declaration."""
    return {
        "dagster/column_schema": _columns(feature.schema),
        "dims": feature.dims,
        "metrics": ", ".join(metric.name for metric in feature.metrics),
        "source": feature.source,
    }


def of_table(schema: pa.Schema) -> Shown:
    """Return the metadata of a table's schema."""
    return {"dagster/column_schema": _columns(schema)}


def _columns(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(f.name, str(f.type), DESCRIPTIONS.get(f.name)) for f in schema])
