"""Extraction of shards: images to the images table and the tables of features that are computed from pixels.

Each new file is read once and decoded once for all features. Threads read and decode batches ahead of the encoders,
which run in the calling thread. The tables are written after the last image of a shard, so a shard is complete or
unchanged.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from imrec_core.errors import DeclarationError, MissingTable
from imrec_core.extraction.content_cache import ContentIndex
from imrec_core.extraction.failures import count_statuses
from imrec_core.extraction.images_upgrade import is_upgradable, upgrade_images
from imrec_core.extraction.pipeline import ShardExtractor, require_source
from imrec_core.extraction.planning import next_features
from imrec_core.extraction.report import OnImages, ShardReport
from imrec_core.extraction.shard_failures import isolate, raise_failures
from imrec_core.extraction.shard_order import order_shards
from imrec_core.extraction.staleness import current_fit
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.runtime.memory import keeping_freed_memory, return_freed_memory

_PASSES = 4  # over a shard whose files change while they are read; the next build does the rest


def extract_shards(
    lake: Lake,
    shards: Sequence[str],
    features: Sequence[Feature],
    *,
    on_images: OnImages = lambda ok, failed: None,
    device: str = "auto",
    retry: bool = False,
    force: bool = False,
    workers: int | None = None,
    errors: dict[str, Exception] | None = None,
) -> Iterator[ShardReport]:
    """Extract the images table and some features of each shard, if they are missing or stale.

    For a shard with up-to-date tables only metadata is read, and its report names no features. In a changed shard only
    new images are decoded. A new file with the content of another image of the lake is read, and reuses the features
    of that image. Shards that lose images come last, so that renamed images are still known. If a shard fails, the
    others are extracted before the error is raised.

    Args:
        on_images: Called with the numbers of images that were read; see `planning.estimate_reads` for their total.
        device: Device for the models.
        retry: Whether to try failed images again, even if their files are unchanged.
        force: Whether to compute the features of all images again, although they are up to date.
        workers: Number of threads that read and decode; None for `read_ahead.default_workers()`.
        errors: Receives the errors of shards that failed, which are then not raised.

    Raises:
        MissingTable: A shard has no manifest, or a feature has no fit.
        BadSource: The folder of a shard's source is missing or empty.
        DeclarationError: One of the features is derived; see `project.project_shard`.
        StorageFull: The disk is full. The shards reported so far are kept.
        FailedShards: Several shards failed.
    """
    settings = lake.settings()
    for feature in features:
        if feature.projection:
            raise DeclarationError(f"{feature.name} is not extracted from images; use project_shard")
        if feature.learnt and current_fit(lake, feature) is None:
            raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    run = _Extraction(lake, settings, features, on_images, device, workers, retry, force)
    failures: dict[str, Exception] = {} if errors is None else errors
    with keeping_freed_memory():
        for shard in order_shards(lake, shards):
            with isolate(shard, failures):
                yield run.extract(shard)
            return_freed_memory()  # else the heap grows from shard to shard
    if errors is None:
        raise_failures(failures)


@dataclass
class _Extraction:
    """Extraction of shards with the same options; the index of known content is made once, when it is needed."""

    lake: Lake
    settings: Settings
    features: Sequence[Feature]
    on_images: OnImages
    device: str
    workers: int | None
    retry: bool
    force: bool

    @functools.cached_property
    def extractor(self) -> ShardExtractor:
        known = ContentIndex(self.lake, is_empty=self.force)
        return ShardExtractor(self.lake, self.settings, known, self.on_images, self.device, self.workers)

    def extract(self, shard: str) -> ShardReport:
        """Extract one shard, in as many passes as it needs."""
        report: ShardReport | None = None
        for _ in range(_PASSES):
            is_first = report is None
            if self._next_features(shard, is_first) is None:
                break
            with (
                self.lake.exclusive_lock(f"extract-{shard}"),
                threadpool_limits(1, user_api="blas"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # from Pillow, of invalid files; the images table has the errors
                if is_upgradable(self.lake, shard):
                    source = require_source(self.settings.source(source_of(shard)))
                    upgrade_images(self.lake, shard, source, self.on_images)
                # Again under the lock: another process may have extracted the shard.
                work = self._next_features(shard, is_first)
                if work is None:
                    break
                now = self.extractor.extract(shard, work, retry=self.retry and is_first, force=self.force and is_first)
            self.extractor.known.refresh(shard)
            report = now if report is None else report.combine(now)
        return report or _report_unchanged(self.lake, shard)

    def _next_features(self, shard: str, is_first: bool) -> list[Feature] | None:
        retry, force = self.retry and is_first, self.force and is_first
        return next_features(self.lake, shard, self.features, self.settings, self.device, retry=retry, force=force)


def _report_unchanged(lake: Lake, shard: str) -> ShardReport:
    counts = count_statuses(lake, shard)
    return ShardReport(shard, counts["ok"], counts["failed"])
