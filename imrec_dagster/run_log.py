"""Entries of the lake's run log for reports of assets. The log itself is `imrec_core.lake.run_log`."""

from imrec_core.catalog.manifests import CatalogDiff
from imrec_core.extraction.fit import FitReport
from imrec_core.extraction.project import ProjectionReport
from imrec_core.extraction.report import ShardReport
from imrec_core.index.build import GenerationReport
from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake
from imrec_core.maps import MapReport

Report = CatalogDiff | ShardReport | FitReport | ProjectionReport | GenerationReport | MapReport


def record(lake: Lake, report: Report, seconds: float = 0.0) -> None:
    """Record a report in the lake's run log, unless everything was up to date.

    Args:
        seconds: Duration of a scan, which its report lacks.
    """
    match report:
        case CatalogDiff():
            rows = report.new + report.changed + report.removed + report.unchanged
            run_log.note(lake, "scan", ", ".join(report.changed_shards), seconds, rows=rows)
        case ShardReport() if report.table_bytes:
            size = sum(report.table_bytes.values())
            run_log.note(
                lake,
                "extract",
                report.shard,
                report.seconds,
                rows=report.rows,
                failed=report.failed,
                byte_size=size,
                stages=report.stage_seconds,
            )
        case FitReport() if report.fitted:
            run_log.note(lake, "fit", report.name, report.seconds)
        case ProjectionReport() if report.computed:
            of = f"{report.feature} of {report.shard}"
            run_log.note(lake, "project", of, report.seconds, rows=report.rows, byte_size=report.table_bytes)
        case GenerationReport() if report.built:
            run_log.note(lake, "generation", report.id, report.seconds, rows=report.rows, byte_size=report.byte_size)
        case MapReport():
            run_log.note(lake, "map", report.name, report.seconds, rows=report.rows, byte_size=report.byte_size)
