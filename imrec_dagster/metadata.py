"""Dagster metadata of reports of `imrec_core`. Reports are made there; nothing is computed here but plots."""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from PIL import Image

from imrec_core.features import Feature
from imrec_core.lake.lake import Lake

if TYPE_CHECKING:
    from imrec_core.catalog.manifests import CatalogDiff
    from imrec_core.extraction.fit import FitReport
    from imrec_core.extraction.project import ProjectionReport
    from imrec_core.extraction.report import ShardReport
    from imrec_core.index.build import GenerationReport
    from imrec_core.index.shard_selection import WaitingImages
    from imrec_core.maps import MapReport

Shown = dict[str, Any]


def of_catalog(lake: Lake, diff: "CatalogDiff") -> Shown:
    """Return the metadata of a scan."""
    from imrec_core.catalog.file_kinds import summarize
    from imrec_core.catalog.scan_report import not_read

    return {
        "dagster/row_count": diff.new + diff.changed + diff.unchanged,
        "new": diff.new,
        "changed": diff.changed,
        "removed": diff.removed,
        "of these excluded": diff.excluded,
        "unchanged": diff.unchanged,
        "of these read again": diff.reread,
        "cannot be read": sum(len(report.failures) for report in diff.reports.values()),
        "not read": summarize(not_read(lake)) or "none",
        "shards changed": len(diff.changed_shards),
        "path": _path(lake.layout.catalog_folder),
        "unavailable": dg.MetadataValue.md("\n".join(f"- {reason}" for _, reason in diff.unavailable) or "none"),
    }


def of_manifest(lake: Lake, shard: str, rows: int) -> Shown:
    """Return the metadata of one partition of the manifests."""
    return {"dagster/partition_row_count": rows, "path": _path(lake.catalog_path(shard))}


def of_table_found(lake: Lake, shard: str, feature: Feature | None) -> Shown:
    """Return the metadata of a table that another instance made.

    Args:
        feature: None for the images table.
    """
    path = lake.feature_path(feature.name, shard) if feature else lake.images_path(shard)
    return {"dagster/partition_row_count": lake.row_count(path), "path": _path(path), "computed": False}


def of_extraction(lake: Lake, report: "ShardReport", key: dg.AssetKey) -> Shown:
    """Return the metadata of one partition of the images table or of a feature."""
    name = key.path[-1]
    path = lake.images_path(report.shard) if name == "images" else lake.feature_path(name, report.shard)
    rows = report.rows + report.failed if name == "images" else report.rows
    shown: Shown = {
        "dagster/partition_row_count": rows,
        "failed": report.failed,
        "path": _path(path),
    }
    if name not in report.table_bytes:
        return shown | {"computed": False}
    shown |= {
        "computed": True,
        "bytes": report.table_bytes[name],
        "decoded": report.decoded,
        **{f"seconds: {stage}": seconds for stage, seconds in report.stage_seconds.items()},
    }
    if report.decoded:  # a shard without new images has no rate
        shown["images per second"] = round(report.images_per_second, 1)
    if report.thumbnails:
        images = " ".join(embed(jpeg, "jpeg") for jpeg in report.thumbnails)
        shown["thumbnails"] = dg.MetadataValue.md(images)
    if report.reasons:
        shown["failures"] = dg.MetadataValue.md(_table(("reason", "images"), report.reasons.items()))
    return shown


def of_fit(lake: Lake, report: "FitReport") -> Shown:
    """Return the metadata of a fit, with its training curves."""
    numbers = {name: value for name, value in report.facts.items() if isinstance(value, int | float | str)}
    seconds = round(report.seconds, 3)
    path = _path(lake.fitted_path(report.name, report.version))
    shown: Shown = {
        "version": report.version,
        "fitted now": report.fitted,
        "seconds": seconds,
        "path": path,
        **numbers,
    }
    if report.fitted and report.facts.get("curves"):
        from imrec_core.plots import draw_curves

        shown["curves"] = dg.MetadataValue.md(embed_plot(draw_curves(report.facts["curves"])))
    return shown


def of_projection(lake: Lake, report: "ProjectionReport") -> Shown:
    """Return the metadata of one partition of a derived feature."""
    shown: Shown = {
        "dagster/partition_row_count": report.rows,
        "path": _path(lake.feature_path(report.feature, report.shard)),
        "computed": report.computed,
    }
    if report.computed:
        shown |= {"bytes": report.table_bytes, "seconds": round(report.seconds, 3)}
    return shown


def of_generation(lake: Lake, report: "GenerationReport") -> Shown:
    """Return the metadata of a generation, with its plots."""
    from imrec_core.index.calibration import SHOWN_RATES
    from imrec_dagster.generation_plots import plots_of_generation

    shown: Shown = {
        "dagster/row_count": report.rows,
        "id": report.id,
        "path": _path(lake.generation_path(report.id)),
        "built now": report.built,
        "why": report.why,
        "removed rows": report.removed,
        "bytes": report.byte_size,
        "build seconds": report.seconds,
        **{f"seconds: {stage}": seconds for stage, seconds in report.stage_seconds.items()},
        "features": ", ".join(report.features),
        "left out": ", ".join(report.missing) or "none",
        **of_waiting(report.waiting),
        **{f"recall@10: {name}": recall for name, recall in report.recall.items()},
    }
    if report.columns:
        shown["joined"] = dg.MetadataValue.md("\n".join(f"- {joined.summary()}" for joined in report.columns))
        shown["unmatched"] = sum(joined.unmatched for joined in report.columns)
    for name, shares in report.copies_kept.items():
        shown |= {f"copies kept at {rate:g}: {name}": share for rate, share in zip(SHOWN_RATES, shares, strict=True)}
    return shown | plots_of_generation(lake, report.built)


def of_waiting(waiting: "WaitingImages") -> Shown:
    """Return the metadata of images that wait, in total and by what they wait for."""
    return {
        "images waiting": waiting.images,
        "images waiting, searchable as before": waiting.searchable,
        **{f"images waiting for: {name}": images for name, images in waiting.reasons.items()},
    }


def of_map(lake: Lake, report: "MapReport") -> Shown:
    """Return the metadata of a map, with its plot."""
    from imrec_core.index.opening import open_generation
    from imrec_core.maps import load_map
    from imrec_core.maps.picture import draw_map

    png = draw_map(lake, load_map(lake, report.name), open_generation(lake), thumbnails=True, size=(800, 580))
    return {
        "dagster/row_count": report.rows,
        "name": report.name,
        "path": _path(lake.map_path(report.name)),
        "feature": f"{report.feature}:{report.metric}",
        "method": report.method,
        "of generation": report.generation,
        "clusters": report.clusters,
        "in no cluster": report.noise,
        "laid out": report.fitted,
        "10 nearest kept": report.kept,
        "bytes": report.byte_size,
        "seconds": report.seconds,
        "picture": dg.MetadataValue.md(embed_plot(png, colours=None)),
    }


def _path(path: object) -> dg.PathMetadataValue:
    return dg.MetadataValue.path(str(path))


def _table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def embed_plot(png: bytes, *, colours: int | None = 64) -> str:
    """Return Markdown that shows a plot at a pixel for each on the page.

    Dagster stores plots with each materialization, and Markdown has no size of images.

    Args:
        colours: Number of colours, a third of the bytes with 64; None for all, as thumbnails need.
    """
    from imrec_core.plots.style import SCALE

    file = io.BytesIO()
    plot = Image.open(io.BytesIO(png)).convert("RGB").reduce(SCALE)
    (plot.quantize(colours, dither=Image.Dither.NONE) if colours else plot).save(file, "PNG")
    return embed(file.getvalue(), "png")


def embed(data: bytes, kind: str) -> str:
    """Return Markdown that shows an image.

    Args:
        kind: `jpeg` or `png`.
    """
    return f"![](data:image/{kind};base64,{base64.b64encode(data).decode()})"
