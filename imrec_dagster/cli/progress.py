"""Progress of a build on stderr, and Ctrl-C as `KeyboardInterrupt`. The summary is in `build.py`.

A terminal gets a bar while images are read, whose clock goes on during fits, and before it a line for what takes long.
A file gets a line every half minute.
"""

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
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.resources import Progress

# These connection pools log an error during the closing of a connection with a traceback, then raise it again.
_POOLS = [logging.getLogger(f"sqlalchemy.pool.impl.{name}") for name in ("NullPool", "QueuePool")]

_AFTERWARDS = "preparing the generation"


@dataclass
class BuildProgress(Progress):
    """A progress bar with images per second and the remaining time; it keeps the reports."""

    catalog: CatalogDiff = field(default_factory=CatalogDiff)
    shards: list[ShardReport] = field(default_factory=list)
    generation: GenerationReport | None = None
    line: ProgressLine = field(init=False)
    _bar: "tqdm | None" = None
    _read: int = 0  # counted here, as a bar that is not drawn does not count
    _expected: int = 0
    _failed: int = 0

    def __post_init__(self) -> None:
        self.line = ProgressLine("looking for new and changed images", on_tick=self._refresh)

    def expect(self, images: int, again: int, features: Sequence[str]) -> None:
        self.close()
        if again:
            self._say(f"{again} images are decoded again for {', '.join(features)}")
        if images:
            self._read, self._expected = 0, images
            self.line.wait_for("")
            self._bar = tqdm(total=images, unit=" images", file=sys.stderr, disable=None, smoothing=0.1)
            self._count()
        else:
            self.line.wait_for(_AFTERWARDS)

    def images(self, ok: int, failed: int) -> None:
        self._failed += failed
        self._read += ok + failed
        self._expected = max(self._expected, self._read)  # files may be added while it runs
        if self._bar is not None:
            self._bar.total = self._expected
            self._bar.update(ok + failed)
            self._count()

    def wait_for_retry(self, fault: Exception, seconds: float) -> None:
        self._say(f"imrec: {fault}; retrying in {seconds:g} s")

    def done(self, report: object) -> None:
        match report:
            case CatalogDiff():
                self.catalog = report
                for _, reason in report.unavailable:
                    self._say(f"imrec: skipped: {reason}")
                self.line.wait_for("preparing features")
            case Loss():
                self._say(f"imrec: {report.summary()}")
            case ShardReport() if report.table_bytes:  # the others were up to date
                self.shards.append(report)
            case FitReport(fitted=True):
                self._say(f"fitted {report.name} in {report.seconds:.1f} s")
            case GenerationReport():
                self.generation = report

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str) -> None:
        """Print a line above the bar, which stays."""
        if self._bar is None:
            self.line.note(text)
        else:
            self._bar.clear()  # in a file there is no bar
            print(text, file=sys.stderr)

    def _count(self) -> None:
        """Say behind the bar, or in the line of a file, how many failed, and what comes after the last image."""
        if self._bar is None:
            return
        remarks = [f"{self._failed} failed"] if self._failed else []
        if self._read >= self._expected:
            remarks.append(_AFTERWARDS)
        if remarks:
            self._bar.set_postfix_str(", ".join(remarks))
        if not self.line.is_terminal:  # there the bar is drawn, in the same place
            count = f"{self._read} of {self._expected} images read"
            self.line.wait_for(", ".join([count, *remarks]))

    def _refresh(self) -> None:
        """Redraw the bar, so that its clock goes on while no image is read."""
        if bar := self._bar:
            bar.refresh()


@contextmanager
def interruptible(progress: BuildProgress) -> Iterator[None]:
    """Raise `KeyboardInterrupt` on Ctrl-C, without log output of libraries that it interrupts."""
    for pool in _POOLS:
        pool.addFilter(_is_not_interruption)
    try:
        with progress.line:
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
