"""Run a build: materialize the assets that are due in this process, on the Dagster instance that the UI uses."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import dagster as dg

from imrec_core.catalog import retry_marks
from imrec_core.errors import DamagedTable, FailedShards, SchemaMismatch
from imrec_core.extraction.failures import failed_images
from imrec_core.extraction.fit import check_rows_suffice
from imrec_core.extraction.planning import BuildPlan, estimate_all_reads, plan
from imrec_core.extraction.shard_order import reachable_shards
from imrec_core.extraction.staleness import current_fit
from imrec_core.features import Feature, chosen_features
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_core.models.encoders import encoder_of
from imrec_dagster._dagster_internals import DagsterAssetCheckFailedError
from imrec_dagster.asset_keys import CATALOG, EXTRACT, GENERATION, IMAGES, feature_key
from imrec_dagster.assets.build import build_assets
from imrec_dagster.dead_runs import PROCESS_TAG, end_dead_runs, this_process
from imrec_dagster.due_runs import DueRun, early_shard, next_runs
from imrec_dagster.home import dagster_home, open_instance
from imrec_dagster.partitions import SHARDS, contiguous, range_tags
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.settings import DagsterSettings
from imrec_dagster.shard_events import unrecorded_events

log = logging.getLogger(__name__)

_PUBLISH_SECONDS = 300.0  # between two generations of a build that publishes early
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_RETRY = {"ops": {EXTRACT: {"config": {"retry": True}}}}


@dataclass(frozen=True)
class RetryReport:
    """Result of a retry of failed images.

    Attributes:
        good: Number of images that succeeded now.
        failed: Number of images of the lake that still fail.
    """

    good: int
    failed: int


class Builder:
    """Brings a lake up to date: materializes the assets that are due."""

    def __init__(
        self,
        lake: Lake,
        instance: dg.DagsterInstance,
        *,
        progress: Progress | None = None,
        device: str = "auto",
        dask: str = "",
    ) -> None:
        self._lake, self._instance, self._progress = lake, instance, progress or Progress()
        self._resource = LakeResource(root=str(lake.root), device=device, dask=dask)
        chosen = chosen_features(lake)
        self._assets = build_assets(lake, chosen, DagsterSettings.of(lake.settings()))
        self._pixel_features = [f for f in chosen if not f.projection]

    def build(
        self, *, sources: Mapping[str, str] | None = None, verify: bool = False, publish_early: bool = False
    ) -> None:
        """Scan, extract, fit, project, and publish a generation.

        Args:
            sources: Image folders to add to the lake, by name.
            verify: Whether to read every file again, although its size and times are the same.
            publish_early: Whether a lake without a generation gets one of its first shard (see `early_shard`), then one
                about every five minutes.

        Raises:
            ImrecError: An asset raised it.
        """
        end_dead_runs(self._instance)
        with self._lake.being_built():
            self._making_damaged_tables_again(
                partial(self._scan_and_bring_up_to_date, sources or {}, verify, publish_early)
            )

    def _scan_and_bring_up_to_date(self, sources: Mapping[str, str], verify: bool, publish_early: bool) -> None:
        self.scan(sources=sources, verify=verify)
        self._bring_up_to_date(publish_early=publish_early)

    def _making_damaged_tables_again(self, work: Callable[[], None]) -> None:
        """Do some work, and start again whenever it finds a damaged table.

        The table was moved aside, so that the next turn makes it again, for its shard alone. All other work is kept.

        Raises:
            ImrecError: The work raised it, or found the same table damaged again, because the disk is read-only.
        """
        seen: set[str] = set()
        while True:
            try:
                return work()
            except (DamagedTable, FailedShards) as error:
                damaged = _damaged_tables(error)
                if not damaged or damaged <= seen:
                    raise
                seen |= damaged
                log.warning("%s: damaged, and made again", ", ".join(sorted(damaged)))

    def retry_failed(self) -> RetryReport:
        """Try failed images again, without a scan; if one succeeds, bring the lake up to date.

        Raises:
            ImrecError: An asset raised it.
        """
        end_dead_runs(self._instance)
        with self._lake.being_built():
            return self._retry_failed()

    def _retry_failed(self) -> RetryReport:
        shards = self._lake.live_shards()
        self._instance.add_dynamic_partitions(str(SHARDS.name), shards)  # a new instance has no partitions of this lake
        before = self._failed_images(shards)
        failing = reachable_shards(self._lake, [shard for shard, images in before.items() if images])
        # A feature without a fit cannot be extracted; a build fits it and extracts all images.
        features = [f for f in self._pixel_features if not f.learnt or current_fit(self._lake, f)]
        self._load_networks(dict.fromkeys(failing, features))
        self._progress.expect(sum(len(before[shard]) for shard in failing), 0, [])
        for stretch in contiguous(failing, self._every_partition()):
            self._run([IMAGES, *(feature_key(f.name) for f in features)], stretch, config=_RETRY)
        after = self._failed_images(failing)
        tried = {image for shard in failing for image in before[shard]}
        failed = tried & {image for images in after.values() for image in images}
        if failed != tried:
            self._bring_up_to_date()
        retry_marks.change(self._lake, tried, remove=True)
        return RetryReport(len(tried - failed), sum(map(len, self._failed_images(shards).values())))

    def _failed_images(self, shards: Iterable[str]) -> dict[str, set[str]]:
        return {shard: set(failed_images(self._lake, shard)) for shard in shards}

    def _bring_up_to_date(self, *, publish_early: bool = False) -> None:
        """Extract, fit, project and publish what is due, and record tables that the instance does not know of."""
        due = plan(self._lake)
        for feature in due.unfitted:
            check_rows_suffice(self._lake, feature)  # before any shard is read
        self._load_networks(due.extractions)
        for event in unrecorded_events(self._lake, self._instance, due):
            self._instance.report_runless_asset_event(event)
        early = early_shard(self._lake, due) if publish_early else None
        images_per_run = None
        if early is not None:
            self._report_reads(due)
            images_per_run = self._publish_first(early)
            due = plan(self._lake)
        for run in self._due_runs(due, is_reported=early is not None, images_per_run=images_per_run):
            self._run(run.keys, run.shards)
            if early is not None and self._has_readable(run.shards):
                self._publish()
        self._publish()

    def _publish_first(self, shard: str) -> int:
        """Extract and publish one shard; return the number of images to extract before each further generation."""
        started = perf_counter()
        self._run([IMAGES, *(feature_key(f.name) for f in self._pixel_features)], [shard])
        images, seconds = self._lake.row_count(self._lake.catalog_path(shard)), perf_counter() - started
        if self._has_readable([shard]):
            self._publish()
        return max(int(_PUBLISH_SECONDS * images / seconds), 1)

    def _has_readable(self, shards: Sequence[str]) -> bool:
        """Return whether an image of the shards was read; a generation without any image is an error."""
        failed = self._failed_images(shards)
        return any(len(failed[shard]) < self._lake.row_count(self._lake.catalog_path(shard)) for shard in shards)

    def _publish(self) -> None:
        if not is_up_to_date(self._lake, plan_generation(self._lake)):
            self._run([GENERATION])

    def _due_runs(self, due: BuildPlan, *, is_reported: bool, images_per_run: int | None = None) -> Iterator[DueRun]:
        """Yield the runs that are due, each once; when it is clear which images they read, report their number.

        A run whose files change while it reads them leaves something due; the next build does it.

        Args:
            due: What is due now. It is planned again after each step: half a million images take most of a second.
            is_reported: Whether the number of images was reported before.
            images_per_run: Maximum number of images of a run, unless a single shard has more; None for no limit.
        """
        done: set[DueRun] = set()
        while True:
            partitions = self._every_partition()
            runs = next_runs(self._lake, due, partitions, images_per_run=images_per_run)
            runs = [run for run in runs if run not in done]
            if not is_reported and all(run.shards for run in runs):  # a fit of a codebook comes before its extraction
                self._report_reads(due)
                is_reported = True
            if not runs:
                return
            yield from runs
            done.update(runs)
            due = plan(self._lake)

    def _load_networks(self, extractions: Mapping[str, Sequence[Feature]]) -> None:
        """Load the models that are needed: missing, damaged or unsuitable weights are found before anything runs."""
        settings = self._lake.settings()
        for model in {f.name: f.model for features in extractions.values() for f in features}.values():
            if model is not None:
                encoder_of(model, settings, self._resource.device)

    def _report_reads(self, due: BuildPlan) -> None:
        """Report how many images will be read, and the features for which unchanged images are decoded again."""
        reads = estimate_all_reads(self._lake, due.extractions, self._resource.device)
        self._progress.expect(reads.images, reads.again, list(reads.features))

    def scan(self, *, sources: Mapping[str, str] | None = None, verify: bool = False) -> None:
        """Look for new, changed and removed images, after some image folders were added to the lake."""
        config = {"sources": dict(sources or {}), "verify": verify}
        self._run([CATALOG], config={"ops": {CATALOG.path[-1]: {"config": config}}})

    def _every_partition(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions("image_shards"))

    def _run(
        self, keys: Sequence[dg.AssetKey], shards: Sequence[str] = (), *, config: Mapping[str, Any] | None = None
    ) -> None:
        """Run some assets, for a contiguous range of shards if they are partitioned.

        Raises:
            SchemaMismatch: A check of an asset failed.
        """
        try:
            result = dg.materialize(
                self._assets,
                selection=dg.AssetSelection.assets(*keys),
                instance=self._instance,
                resources={"lake": self._resource, "progress": self._progress},
                tags={
                    PROCESS_TAG: this_process(),
                    "dagster/max_retries": "0",  # the next build is its retry
                    **(range_tags(shards[0], shards[-1]) if shards else {}),
                },
                run_config={**_QUIET, **(config or {})},
                raise_on_error=True,
            )
        except DagsterAssetCheckFailedError as error:  # of a check that blocks what comes after it
            reasons = "imrec sql \"SELECT name, error FROM runs WHERE what = 'check'\""
            raise SchemaMismatch(f"{' '.join(str(error).split())}; for the reasons run: {reasons}") from error
        for check in result.get_asset_check_evaluations():
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
                problems = " ".join(str(value.value) for value in check.metadata.values())
                raise SchemaMismatch(f"{check.asset_key.to_user_string()}: {check.check_name} failed: {problems}")


def _damaged_tables(error: DamagedTable | FailedShards) -> set[str]:
    """Return the damaged tables behind an error; none if anything else went wrong, too."""
    errors = list(error.errors.values()) if isinstance(error, FailedShards) else [error]
    damaged = [each for each in errors if isinstance(each, DamagedTable)]
    return {str(each.path) for each in damaged} if len(damaged) == len(errors) else set()


@translate_os_errors()
def build_lake(
    lake: Lake,
    *,
    progress: Progress | None = None,
    device: str = "auto",
    home: str | None = None,
    verify: bool = False,
    publish_early: bool = False,
) -> None:
    """Bring a lake up to date on the Dagster instance in `home` (default: `DAGSTER_HOME`, else the lake's own).

    If `IMREC_DASK` is set, the workers of that Dask cluster extract.

    Args:
        verify: Whether to read every file again, although its size and times are the same.
        publish_early: Whether a new lake is published before all its images are read; see `Builder.build`.

    Raises:
        ImrecError: An asset raised it.
    """
    with open_instance(dagster_home(lake, home), lake) as instance:
        Builder(lake, instance, progress=progress, device=device, dask=os.environ.get("IMREC_DASK", "")).build(
            verify=verify, publish_early=publish_early
        )


@translate_os_errors()
def retry_failed(lake: Lake, *, progress: Progress | None = None, home: str | None = None) -> RetryReport:
    """Try the failed images of a lake again, on the instance that `build_lake` uses.

    Raises:
        ImrecError: An asset raised it.
    """
    with open_instance(dagster_home(lake, home), lake) as instance:
        return Builder(lake, instance, progress=progress, dask=os.environ.get("IMREC_DASK", "")).retry_failed()
