"""Entries of the lake's run log for reports of assets, unless everything was up to date.

The log itself is `imrec_core.lake.run_log`.
"""

from typing import TYPE_CHECKING

from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake

if TYPE_CHECKING:
    from imrec_core.catalog.manifests import CatalogDiff
    from imrec_core.extraction.fit import FitReport
    from imrec_core.extraction.project import ProjectionReport
    from imrec_core.extraction.report import ShardReport
    from imrec_core.index.build import GenerationReport
    from imrec_core.maps import MapReport


def record_scan(lake: Lake, report: "CatalogDiff", seconds: float) -> None:
    rows = report.new + report.changed + report.removed + report.unchanged
    run_log.note(lake, "scan", ", ".join(report.changed_shards), seconds, rows=rows)


def record_extraction(lake: Lake, report: "ShardReport") -> None:
    if report.table_bytes:
        run_log.note(
            lake,
            "extract",
            report.shard,
            report.seconds,
            rows=report.rows,
            failed=report.failed,
            byte_size=sum(report.table_bytes.values()),
            stages=report.stage_seconds,
            decoded=report.decoded,
            feature_seconds=report.feature_seconds,
        )


def record_fit(lake: Lake, report: "FitReport") -> None:
    if report.fitted:
        run_log.note(lake, "fit", report.name, report.seconds)


def record_projection(lake: Lake, report: "ProjectionReport") -> None:
    if report.computed:
        of = f"{report.feature} of {report.shard}"
        run_log.note(
            lake,
            "project",
            of,
            report.seconds,
            rows=report.rows,
            byte_size=report.table_bytes,
            decoded=report.rows,
            feature_seconds={report.feature: report.seconds},
        )


def record_generation(lake: Lake, report: "GenerationReport") -> None:
    if report.built:
        run_log.note(
            lake,
            "generation",
            report.id,
            report.seconds,
            rows=report.rows,
            byte_size=report.byte_size,
            stages=report.stage_seconds,
        )


def record_map(lake: Lake, report: "MapReport") -> None:
    run_log.note(lake, "map", report.name, report.seconds, rows=report.rows, byte_size=report.byte_size)
