"""Run a build: materialize the assets that are due in this process, on the Dagster instance that the UI uses."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from imrec_core.errors import DamagedTable, SchemaMismatch
from imrec_core.extraction.failures import failed_images
from imrec_core.extraction.fit import check_rows_suffice
from imrec_core.extraction.planning import BuildPlan, estimate_all_reads, plan
from imrec_core.extraction.shard_order import order_shards, reachable_shards
from imrec_core.extraction.staleness import current_fit
from imrec_core.features import Feature, chosen_features
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_core.models.encoders import encoder_of
from imrec_dagster._dagster_internals import DagsterAssetCheckFailedError
from imrec_dagster.asset_keys import CATALOG, EXTRACT, GENERATION, IMAGES, feature_key, fitted_key
from imrec_dagster.assets.build import build_assets
from imrec_dagster.dead_runs import PROCESS_TAG, end_dead_runs, this_process
from imrec_dagster.home import dagster_home, open_instance
from imrec_dagster.partitions import SHARDS, contiguous, range_tags
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.settings import DagsterSettings

log = logging.getLogger(__name__)

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_VERIFY = {"ops": {CATALOG.path[-1]: {"config": {"verify": True}}}}
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
    """Brings a lake up to date: materializes the assets that `planning.plan` says are due."""

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
        names = [f.name for f in chosen]
        schedule = DagsterSettings.of(lake.settings()).reindex_schedule
        self._assets = build_assets({f.name: f for f in chosen}, names, schedule)
        self._pixel_features = [f for f in chosen if not f.projection]
        self._derived = [f for f in chosen if f.projection]
        self._fitted = [f for f in chosen if f.is_fitted]

    def build(self, *, verify: bool = False) -> None:
        """Scan, extract, fit, project, and publish a generation.

        Args:
            verify: Whether to read every file again, although its size and times are the same.

        Raises:
            ImrecError: An asset raised it.
        """
        end_dead_runs(self._instance)
        self._making_damaged_tables_again(partial(self._scan_and_bring_up_to_date, verify=verify))

    def _scan_and_bring_up_to_date(self, *, verify: bool) -> None:
        self.scan(verify=verify)
        self._bring_up_to_date()

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
            except DamagedTable as error:
                if str(error.path) in seen:
                    raise
                seen.add(str(error.path))
                log.warning("%s was damaged and is made again", error.path)

    def retry_failed(self) -> RetryReport:
        """Try failed images again, without a scan; if one succeeds, bring the lake up to date.

        Raises:
            ImrecError: An asset raised it.
        """
        end_dead_runs(self._instance)
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
        return RetryReport(len(tried - failed), sum(map(len, self._failed_images(shards).values())))

    def _failed_images(self, shards: Iterable[str]) -> dict[str, set[str]]:
        return {shard: set(failed_images(self._lake, shard)) for shard in shards}

    def _bring_up_to_date(self) -> None:
        """Extract, fit, project and publish what is due."""
        due = plan(self._lake)
        for feature in due.unfitted:
            check_rows_suffice(self._lake, feature)  # before any shard is read
        self._load_networks(due.extractions)
        extractions = self._extractions(due)
        stretches = contiguous(extractions, self._every_partition())
        if len(extractions) == len(due.shards) and len(stretches) == 1:  # nothing is up to date: one run for all steps
            self._report_reads(extractions)
            self._run([*self._keys(extractions), *self._tail_keys()], stretches[0])
            return
        if extractions and self._fit([f for f in due.fits if f.learnt]):
            due = plan(self._lake)  # a new fit makes the tables of the old one stale
            extractions = self._extractions(due)
            stretches = contiguous(extractions, self._every_partition())
        self._report_reads(extractions)
        order = order_shards(self._lake, list(extractions))
        for stretch in sorted(stretches, key=lambda shards: max(map(order.index, shards))):
            self._run(self._keys({shard: extractions[shard] for shard in stretch}), stretch)
        self._derive(plan(self._lake) if extractions else due)
        if not is_up_to_date(self._lake, plan_generation(self._lake)):
            self._run([GENERATION])

    def _extractions(self, due: BuildPlan) -> dict[str, Sequence[Feature]]:
        """Return the features to extract by shard: those that are due, and all in shards that the instance lacks."""
        shards = [state.shard for state in due.shards]
        return {**due.extractions, **dict.fromkeys(self._unseen(shards, self._pixel_features), self._pixel_features)}

    def _load_networks(self, extractions: Mapping[str, Sequence[Feature]]) -> None:
        """Load the models that are needed: missing, damaged or unsuitable weights are found before anything runs."""
        settings = self._lake.settings()
        for model in {f.name: f.model for features in extractions.values() for f in features}.values():
            if model is not None:
                encoder_of(model, settings, self._resource.device)

    def _report_reads(self, extractions: Mapping[str, Sequence[Feature]]) -> None:
        """Report how many images will be read, and the features for which unchanged images are decoded again."""
        reads = estimate_all_reads(self._lake, extractions, self._resource.device)
        self._progress.expect(reads.images, reads.again, list(reads.features))

    def scan(self, *, verify: bool = False) -> None:
        """Look for new, changed and removed images."""
        self._run([CATALOG], config=_VERIFY if verify else {})

    def _unseen(self, shards: Sequence[str], features: Sequence[Feature]) -> list[str]:
        """List the shards that the instance has no record of, such as those that a killed run completed.

        To run them computes nothing that is up to date, and tells the UI and the automation about them.
        """
        recorded = [set(self._instance.get_materialized_partitions(feature_key(f.name))) for f in features]
        return [s for s in reachable_shards(self._lake, shards) if not all(s in seen for seen in recorded)]

    def _derive(self, due: BuildPlan) -> None:
        """Fit and project derived features, bases first."""
        for depth in sorted({feature.depth for feature in self._derived}):
            if self._fit([f for f in due.fits if f.depth == depth]):
                due = plan(self._lake)
            projections = self._projections(due, depth)
            for names in sorted(set(map(tuple, projections.values()))):
                together = [shard for shard in projections if projections[shard] == list(names)]
                for stretch in contiguous(together, self._every_partition()):
                    self._run([feature_key(name) for name in names], stretch)
            if projections:
                due = plan(self._lake)

    def _projections(self, due: BuildPlan, depth: int) -> dict[str, list[str]]:
        """Return the names of the features to project by shard: those that are due, and those the instance lacks."""
        projections: defaultdict[str, list[str]] = defaultdict(list)
        for feature in due.features:
            if feature.depth == depth and feature not in due.unfitted:
                stale = {shard for shard, features in due.projections.items() if feature in features}
                for shard in stale.union(self._unseen(due.shards_with_bases(feature), [feature])):
                    projections[shard].append(feature.name)
        return projections

    def _fit(self, features: Sequence[Feature]) -> bool:
        """Fit some features; return whether there were any."""
        if features:
            self._run([fitted_key(feature.name) for feature in features])
        return bool(features)

    def _keys(self, extractions: Mapping[str, Sequence[Feature]]) -> list[dg.AssetKey]:
        """Return the keys of the images and of the features of some shards."""
        names = {f.name for features in extractions.values() for f in features}
        return [IMAGES, *(feature_key(f.name) for f in self._pixel_features if f.name in names)]

    def _tail_keys(self) -> list[dg.AssetKey]:
        return [*(fitted_key(f.name) for f in self._fitted), *(feature_key(f.name) for f in self._derived), GENERATION]

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


@translate_os_errors()
def build_lake(
    lake: Lake,
    *,
    progress: Progress | None = None,
    device: str = "auto",
    home: str | None = None,
    verify: bool = False,
) -> None:
    """Bring a lake up to date on the Dagster instance in `home` (default: `DAGSTER_HOME`, else the lake's own).

    If `IMREC_DASK` is set, the workers of that Dask cluster extract.

    Args:
        verify: Whether to read every file again, although its size and times are the same.

    Raises:
        ImrecError: An asset raised it.
    """
    with open_instance(dagster_home(lake, home), lake) as instance:
        Builder(lake, instance, progress=progress, device=device, dask=os.environ.get("IMREC_DASK", "")).build(
            verify=verify
        )


@translate_os_errors()
def retry_failed(lake: Lake, *, progress: Progress | None = None, home: str | None = None) -> RetryReport:
    """Try the failed images of a lake again, on the instance that `build_lake` uses.

    Raises:
        ImrecError: An asset raised it.
    """
    with open_instance(dagster_home(lake, home), lake) as instance:
        return Builder(lake, instance, progress=progress, dask=os.environ.get("IMREC_DASK", "")).retry_failed()
