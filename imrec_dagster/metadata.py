"""What the UI shows of a report."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from imrec_core import tables
from imrec_core.calibration import SHOWN_RATES
from imrec_core.catalog import CatalogDiff
from imrec_core.extract import ShardReport
from imrec_core.features import Feature
from imrec_core.fit import FitReport, ProjectionReport
from imrec_core.index import GenerationReport
from imrec_core.lake import Lake
from imrec_core.plots import draw_curves

Shown = dict[str, Any]


def of_feature(feature: Feature) -> Shown:
    """What is known of a feature before anything ran."""
    return {
        "dagster/column_schema": _columns(feature.schema),
        "dims": feature.dims,
        "metrics": ", ".join(metric.name for metric in feature.metrics),
        "source": feature.source,
    }


def of_images_table() -> Shown:
    return {"dagster/column_schema": _columns(tables.IMAGES)}


def of_catalog(found: CatalogDiff) -> Shown:
    return {
        "new": found.new,
        "changed": found.changed,
        "removed": found.removed,
        "unchanged": found.unchanged,
        "shards changed": len(found.manifests),
        "unavailable": dg.MetadataValue.md("\n".join(f"- {reason}" for _, reason in found.unavailable) or "none"),
    }


def of_extraction(lake: Lake, report: ShardReport, key: dg.AssetKey) -> Shown:
    """One partition of the images table or of a feature."""
    name = key.path[-1]
    path = lake.images_path(report.shard) if name == "images" else lake.feature_path(name, report.shard)
    rows = report.rows + report.failed if name == "images" else report.rows
    shown: Shown = {
        "dagster/partition_row_count": rows,
        "failed": report.failed,
        "path": dg.MetadataValue.path(str(path)),
    }
    if name not in report.table_bytes:
        return shown | {"computed": False}
    shown |= {
        "computed": True,
        "bytes": report.table_bytes[name],
        "decoded": report.decoded,
        **{f"seconds: {stage}": seconds for stage, seconds in report.stage_seconds.items()},
    }
    if report.decoded:  # of images that are kept as they were there is no speed, and nothing to show
        shown["images per second"] = round(report.images_per_second, 1)
    if report.thumbnails:
        shown["thumbnails"] = dg.MetadataValue.md(_strip(report.thumbnails))
    if report.reasons:
        shown["failures"] = dg.MetadataValue.md(_table(("reason", "images"), report.reasons.items()))
    return shown


def of_fit(report: FitReport) -> Shown:
    numbers = {name: value for name, value in report.facts.items() if isinstance(value, int | float | str)}
    seconds = round(report.seconds, 3)
    shown: Shown = {"version": report.version, "fitted now": report.fitted, "seconds": seconds, **numbers}
    if report.fitted and report.facts.get("curves"):
        shown["curves"] = dg.MetadataValue.md(_picture(draw_curves(report.facts["curves"]), "png"))
    return shown


def of_projection(lake: Lake, report: ProjectionReport) -> Shown:
    """One partition of a derived feature."""
    shown: Shown = {
        "dagster/partition_row_count": report.rows,
        "path": dg.MetadataValue.path(str(lake.feature_path(report.feature, report.shard))),
        "computed": report.computed,
    }
    if report.computed:
        shown |= {"bytes": report.table_bytes, "seconds": round(report.seconds, 3)}
    return shown


def of_generation(report: GenerationReport) -> Shown:
    shown: Shown = {
        "dagster/row_count": report.rows,
        "id": report.id,
        "built now": report.built,
        "why": report.why,
        "removed rows": report.removed,
        "bytes": report.byte_size,
        "build seconds": report.seconds,
        "features": ", ".join(report.features),
        "left out": ", ".join(report.missing) or "none",
        "recall@10": dg.MetadataValue.md(_table(("feature", "recall@10"), report.recall.items())),
    }
    if report.columns:
        shown["joined"] = dg.MetadataValue.md("\n".join(f"- {joined.in_words()}" for joined in report.columns))
        shown["unmatched"] = sum(joined.unmatched for joined in report.columns)
    if report.copies_kept:
        heading = ("feature", *(f"copies kept at {rate:g}" for rate in SHOWN_RATES))
        rows = [(name, *(f"{share:.2f}" for share in shares)) for name, shares in report.copies_kept.items()]
        shown["copies kept by max_false_match_rate"] = dg.MetadataValue.md(_table(heading, rows))
    return shown


def _columns(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(field.name, str(field.type)) for field in schema])


def _table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _strip(thumbnails: tuple[bytes, ...]) -> str:
    return " ".join(_picture(jpeg, "jpeg") for jpeg in thumbnails)


def _picture(data: bytes, kind: str) -> str:
    return f"![](data:image/{kind};base64,{base64.b64encode(data).decode()})"
