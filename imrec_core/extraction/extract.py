"""One shard of images → its tables: every new file is read once and decoded once, whatever was chosen.

Threads read, decode and describe small batches ahead of the network, a bounded number of them; the calling thread
feeds the network and collects. Tables are written when the whole shard is done, so a shard is there or it is not.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator, Sequence

from threadpoolctl import threadpool_limits

from imrec_core.errors import DeclarationError, MissingTable
from imrec_core.extraction.content_cache import ContentIndex
from imrec_core.extraction.pipeline import ShardExtractor
from imrec_core.extraction.planning import next_features
from imrec_core.extraction.report import OnImages, ShardReport
from imrec_core.extraction.shard_order import order_shards
from imrec_core.extraction.staleness import current_fit
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files

_PASSES = 4  # over a shard whose files come and go while they are read; then the next build goes on


def _keep_freed_memory() -> None:
    """Let glibc keep what was freed instead of returning it to the system, in this process.

    Each picture is a large block; giving it back and faulting it in anew, in several threads at once, cost 6 % of
    the whole extraction (2026-11). Other C libraries have no such setting, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, 1 << 28)


def extract_shards(
    lake: Lake,
    shards: Sequence[str],
    features: Sequence[Feature],
    *,
    on_images: OnImages = lambda ok, failed: None,
    device: str = "auto",
    retry: bool = False,
    workers: int | None = None,
) -> Iterator[ShardReport]:
    """Make the image table and the chosen features of each shard, where they are missing or stale.

    A shard whose tables are all up to date costs a look at their metadata, and its report names no features. In one
    that has changed only what is new is decoded; a file whose content is known from anywhere in the lake is read, and
    takes what is known. Shards that lose images come last, so that a renamed one is known while it is looked for.

    Args:
        on_images: Told how many images were read; `passes.reads_ahead` says how many there will be.
        device: Of the networks.
        retry: Try files again that failed and are as they were; shards without any stay as they are.
        workers: Threads that read and decode; None for `read_ahead.default_workers()`.

    Raises:
        MissingTable: A shard has no manifest, or a feature is not fitted yet.
        BadSource: The folder of a shard's source is missing or empty.
        DeclarationError: A derived feature is among the features; see `project.project_shard`.
        StorageFull: The disk took no more. The shards reported so far are kept.
    """
    _keep_freed_memory()
    settings = lake.settings()
    for feature in features:
        if feature.projection:
            raise DeclarationError(f"{feature.name} is not extracted from pictures; use project_shard")
        if feature.learnt and current_fit(lake, feature) is None:
            raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    extractor: ShardExtractor | None = None
    for shard in order_shards(lake, shards):
        report: ShardReport | None = None
        for _ in range(_PASSES):
            again = retry and report is None
            if next_features(lake, shard, features, settings, device, retry=again) is None:
                break
            with (
                lake.exclusive_lock(f"extract-{shard}"),
                threadpool_limits(1, user_api="blas"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # Pillow warns of odd files; the images table has the verdict
                work = next_features(
                    lake, shard, features, settings, device, retry=again
                )  # somebody may just have done it
                if work is None:
                    break
                extractor = extractor or ShardExtractor(lake, settings, ContentIndex(lake), on_images, device, workers)
                now = extractor.extract(shard, work, retry=again)
            extractor.known.renew(shard)
            report = now if report is None else report.followed_by(now)
        yield report or _as_it_is(lake, shard)


def _as_it_is(lake: Lake, shard: str) -> ShardReport:
    path = lake.images_path(shard)
    status = lake.read_table(path, ["status"])["status"].to_pylist() if files.exists(path) else []
    return ShardReport(shard, status.count("ok"), status.count("failed"))
