"""What `imrec build` and `imrec ui` do, beyond parsing: settings, progress bar, summary, server."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dagster import DagsterExecutionInterruptedError
from tqdm import tqdm

from imrec_core import user_columns
from imrec_core.catalog import CatalogDiff, require_image
from imrec_core.errors import BadSettings, BadSource
from imrec_core.extract_report import ShardReport
from imrec_core.features import FEATURES, find_feature, known_features
from imrec_core.fit import FitReport
from imrec_core.index import GenerationReport
from imrec_core.lake import Lake
from imrec_core.settings import Settings
from imrec_dagster.build import RetryReport, build_lake, open_instance, retry_failed
from imrec_dagster.resources import Progress

# Of connections to Dagster's databases: what is raised while one is closed they log with a traceback, then raise it.
_POOLS = [logging.getLogger(f"sqlalchemy.pool.impl.{name}") for name in ("NullPool", "QueuePool")]


@dataclass
class BuildProgress(Progress):
    """Draws a bar with images per second and the time left; keeps what was reported."""

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
            self._bar.total = max(self._bar.total, self._bar.n + ok + failed)  # files come and go while we read
            self._bar.update(ok + failed)
            if failed:
                self._bar.set_postfix_str(f"{self._failed} failed")

    def waits(self, fault: Exception, seconds: float) -> None:
        self.close()
        print(f"imrec: {fault}; trying again in {seconds:g} s", file=sys.stderr)

    def done(self, report: object) -> None:
        match report:
            case CatalogDiff():
                self.catalog = report
                for _, reason in report.unavailable:
                    print(f"imrec: skipped: {reason}", file=sys.stderr)
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


def run_build(
    lake: Lake,
    folders: Sequence[str],
    features: Sequence[str] | None,
    device: str,
    *,
    columns: Sequence[str] = (),
    without: Sequence[str] = (),
) -> str:
    """Add folders, features and files of columns to the lake, bring it up to date, and say what was done.

    Args:
        features: All that the lake is to have, or with a `+` before each those to add; None as before.
        columns: Files whose columns are joined to the images from now on.
        without: Those whose columns are joined no longer.

    Raises:
        ImrecError: What is wrong with the folders, the features, the files or the lake.
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
    """
    started = time.perf_counter()
    settings = _with(lake, folders, features).without_columns(without).with_columns(columns)
    if not settings.sources:
        raise BadSource("the lake has no image folder yet; give one: imrec build FOLDER")
    if columns:
        user_columns.check(lake, settings)
    lake.open_for_writing().save_settings(settings)
    progress = BuildProgress()
    with _interruptible(progress):
        build_lake(lake, progress=progress, device=device)
    return _summary(lake, progress, time.perf_counter() - started)


@contextmanager
def _interruptible(progress: BuildProgress) -> Iterator[None]:
    """Ctrl-C as `KeyboardInterrupt`, without words of libraries that it met in the middle of something."""
    for pool in _POOLS:
        pool.addFilter(_is_no_interruption)
    try:
        yield
    except DagsterExecutionInterruptedError as interruption:
        raise KeyboardInterrupt from interruption
    finally:
        for pool in _POOLS:
            pool.removeFilter(_is_no_interruption)
        progress.close()


def _is_no_interruption(record: logging.LogRecord) -> bool:
    return not (
        record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | DagsterExecutionInterruptedError)
    )


def _with(lake: Lake, folders: Sequence[str], features: Sequence[str] | None) -> Settings:
    """The lake's settings with folders and features added, once they are known to be good."""
    old = lake.settings()
    settings = old.with_folders(folders)
    for name in settings.sources.keys() - old.sources.keys():
        require_image(settings.source(name), settings, leave_out=lake.root)
    if features is not None:
        settings = replace(settings, features=_chosen(settings.features, features))
    known = known_features(lake)
    if not settings.features and (features is not None or known.keys() == FEATURES.keys()):
        raise BadSettings("no feature is chosen; see: imrec features")
    for name in settings.features:
        find_feature(name, known)
    return settings


def _chosen(before: Sequence[str], said: Sequence[str]) -> tuple[str, ...]:
    """`A,B` as it is said; `+A,+B` after those there were.

    Raises:
        BadSettings: Some have a plus, and some have none.
    """
    added = [name.removeprefix("+") for name in said if name.startswith("+")]
    if not added:
        return tuple(said)
    if len(added) < len(said):
        raise BadSettings("give all features that the lake is to have, or a '+' before each that is to be added")
    return tuple(dict.fromkeys((*before, *added)))


def _summary(lake: Lake, progress: BuildProgress, seconds: float) -> str:
    found, shards, generation = progress.catalog, progress.shards, progress.generation
    if len(found.unavailable) == len(lake.settings().sources):
        raise BadSource("no source can be read; what the lake holds is kept as it is")
    lines = [f"{found.new} new, {found.changed} changed, {found.removed} removed, {found.unchanged} unchanged images"]
    if shards:
        lines.append(_of_shards(shards))
    if generation is not None and generation.built:
        made = f"{generation.byte_size / 1e6:.0f} MB, {generation.seconds:.1f} s; {generation.why}"
        lines.append(f"generation {generation.id}: {generation.rows} images, {made}")
        lines.extend(f"joined {joined.in_words()}" for joined in generation.columns)
    else:
        lines.append(f"nothing to do: generation {lake.current_generation()} holds all of it")
    return "\n".join([*lines, f"{seconds:.1f} s in all"])


def _of_shards(shards: Sequence[ShardReport]) -> str:
    """What was read now, and what the shards hold with what was kept."""
    decoded, failed = sum(s.decoded for s in shards), sum(s.failed for s in shards)
    rate = f" at {decoded / max(sum(s.seconds for s in shards), 1e-9):.0f} images/s" if decoded else ""
    note = " (see: imrec failures)" if failed else ""
    where = f"{len(shards)} shard{'s' if len(shards) > 1 else ''}"
    return f"{decoded} decoded{rate}; in {where} {sum(s.rows for s in shards)} described, {failed} failed{note}"


def run_retry(lake: Lake) -> RetryReport:
    """Try the failed files of a lake again, and bring it up to date where one came good.

    Raises:
        ImrecError: What is wrong with the lake.
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
    """
    lake.check_version()
    lake.open_for_writing()
    progress = BuildProgress()
    with _interruptible(progress):
        return retry_failed(lake, progress=progress)


def serve_dagster(lake: Lake, port: int) -> None:
    """Become `dagster dev` over the lake, on 127.0.0.1.

    Raises:
        ImrecError: The lake cannot be opened.
    """
    lake.open_for_writing()
    home = os.environ.get("DAGSTER_HOME") or str(lake.dagster_home)
    with open_instance(home):  # made before webserver and daemon start: their race can damage it (dagster#27390)
        pass
    environment = {**os.environ, "DAGSTER_HOME": home, "IMREC_LAKE": str(lake.root), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    arguments = ["-m", "dagster", "dev", "-m", "imrec_dagster.definitions", "-h", "127.0.0.1", "-p", str(port)]
    os.execve(sys.executable, [sys.executable, *arguments], environment)
