"""Progress of a build on stderr, and Ctrl-C as `KeyboardInterrupt`. The summary is in `build.py`."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dagster import DagsterExecutionInterruptedError
from tqdm import tqdm

from imrec_core.catalog.manifests import CatalogDiff
from imrec_core.extraction.fit import FitReport
from imrec_core.extraction.lost_content import Loss
from imrec_core.extraction.report import ShardReport
from imrec_core.index.build import GenerationReport
from imrec_dagster.resources import Progress

# These connection pools log an error during the closing of a connection with a traceback, then raise it again.
_POOLS = [logging.getLogger(f"sqlalchemy.pool.impl.{name}") for name in ("NullPool", "QueuePool")]


@dataclass
class BuildProgress(Progress):
    """A progress bar with images per second and the remaining time; it keeps the reports."""

    catalog: CatalogDiff = field(default_factory=CatalogDiff)
    shards: list[ShardReport] = field(default_factory=list)
    generation: GenerationReport | None = None
    _bar: "tqdm | None" = None
    _failed: int = 0

    def expect(self, images: int, again: int, features: Sequence[str]) -> None:
        if again:
            print(f"{again} images are decoded again for {', '.join(features)}", file=sys.stderr)
        self.close()
        if images:
            self._bar = tqdm(total=images, unit=" images", file=sys.stderr, disable=None, smoothing=0.1)

    def images(self, ok: int, failed: int) -> None:
        self._failed += failed
        if self._bar is not None:
            self._bar.total = max(self._bar.total, self._bar.n + ok + failed)  # files may be added while it runs
            self._bar.update(ok + failed)
            if failed:
                self._bar.set_postfix_str(f"{self._failed} failed")

    def wait_for_retry(self, fault: Exception, seconds: float) -> None:
        self.close()
        print(f"imrec: {fault}; retrying in {seconds:g} s", file=sys.stderr)

    def done(self, report: object) -> None:
        match report:
            case CatalogDiff():
                self.catalog = report
                for _, reason in report.unavailable:
                    print(f"imrec: skipped: {reason}", file=sys.stderr)
            case Loss():
                print(f"imrec: {report.summary()}", file=sys.stderr)
            case ShardReport() if report.table_bytes:  # the others were up to date
                self.shards.append(report)
            case FitReport(fitted=True):
                self.close()
                print(f"fitted {report.name} in {report.seconds:.1f} s", file=sys.stderr)
            case GenerationReport():
                self.generation = report

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def interruptible(progress: BuildProgress) -> Iterator[None]:
    """Raise `KeyboardInterrupt` on Ctrl-C, without log output of libraries that it interrupts."""
    for pool in _POOLS:
        pool.addFilter(_is_not_interruption)
    try:
        yield
    except DagsterExecutionInterruptedError as interruption:
        raise KeyboardInterrupt from interruption
    finally:
        for pool in _POOLS:
            pool.removeFilter(_is_not_interruption)
        progress.close()


def _is_not_interruption(record: logging.LogRecord) -> bool:
    return not (
        record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | DagsterExecutionInterruptedError)
    )
