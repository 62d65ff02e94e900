"""Run the graph in this process: what `imrec build` does, on the instance that the UI uses."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from imrec_core.errors import SchemaMismatch
from imrec_core.extraction.failures import failed_images
from imrec_core.extraction.fit import check_rows_suffice, holds
from imrec_core.extraction.planning import estimate_reads
from imrec_core.extraction.shard_order import order_shards
from imrec_core.extraction.staleness import current_fit, has_fresh_images, is_feature_fresh, stale_features
from imrec_core.features import Feature, chosen_features
from imrec_core.index import plan
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away
from imrec_core.models.encoders import encoder_of
from imrec_dagster.asset_keys import EXTRACT, GENERATION, IMAGES, feature_key, fitted_key
from imrec_dagster.assets.build import build_assets
from imrec_dagster.dead_runs import PROCESS_TAG, end_dead_runs, this_process
from imrec_dagster.partitions import SHARDS, contiguous, range_tags
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.settings import DagsterSettings

# nux: a dialog that offers a newsletter. A run that was killed is tried again, one that failed is not.
_INSTANCE_CONFIG = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
"""
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_RETRY = {"ops": {EXTRACT: {"config": {"retry": True}}}}


@dataclass(frozen=True)
class RetryReport:
    """What trying failed files again did.

    Attributes:
        good: Files that could be described now.
        failed: Files of the lake that still could not.
    """

    good: int
    failed: int


@contextmanager
def open_instance(home: str | Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance in a folder, made there where it is missing."""
    home = Path(home).absolute()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_INSTANCE_CONFIG)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


class Builder:
    """Brings a lake up to date through its assets, computing only what is missing or stale."""

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

    def build(self) -> None:
        """Scan, extract, fit, project, publish.

        Raises:
            ImrecError: Whatever an asset raised.
        """
        end_dead_runs(self._instance)
        self.scan()
        self._bring_up_to_date()

    def retry_failed(self) -> RetryReport:
        """Try the files that failed again, without a scan; where one comes good, all that follows from it.

        Raises:
            ImrecError: Whatever an asset raised.
        """
        end_dead_runs(self._instance)
        shards = self._lake.live_shards()
        self._instance.add_dynamic_partitions(str(SHARDS.name), shards)  # it may never have seen a build of this lake
        before = self._failed_images(shards)
        failing = self._there([shard for shard, images in before.items() if images])
        # A feature that is not fitted yet is none that could be extracted; a build fits it, and takes all of them.
        features = [f for f in self._pixel_features if not f.learnt or current_fit(self._lake, f)]
        self._load_networks(dict.fromkeys(failing, features))
        self._progress.expect(sum(len(before[shard]) for shard in failing), 0, [])
        for stretch in contiguous(failing, self._every_partition()):
            self._run([IMAGES, *(feature_key(f.name) for f in features)], stretch, retry=True)
        after = self._failed_images(failing)
        tried = {image for shard in failing for image in before[shard]}
        failed = tried & {image for images in after.values() for image in images}
        if failed != tried:
            self._bring_up_to_date()
        return RetryReport(len(tried - failed), sum(map(len, self._failed_images(shards).values())))

    def _failed_images(self, shards: Iterable[str]) -> dict[str, set[str]]:
        return {shard: set(failed_images(self._lake, shard)) for shard in shards}

    def _bring_up_to_date(self) -> None:
        """All but the scan."""
        shards = self._lake.live_shards()
        for feature in self._fitted:
            if current_fit(self._lake, feature) is None:
                check_rows_suffice(self._lake, feature)  # before any shard is read
        stale = self.stale_shards(shards)
        self._load_networks(stale)
        due = self._due(stale, shards)
        stretches = contiguous(due, self._every_partition())
        if len(due) == len(shards) and len(stretches) == 1:  # nothing is known yet, so one run does it all
            self._tell(due)
            self._run([*self._keys(due), *self._tail_keys()], stretches[0])
            return
        if due and self._fit([f for f in self._pixel_features if f.learnt]):
            stale = self.stale_shards(shards)  # a new fit makes all that was computed by the old one stale
            due = self._due(stale, shards)
            stretches = contiguous(due, self._every_partition())
        self._tell(due)
        order = order_shards(self._lake, list(due))
        for stretch in sorted(stretches, key=lambda shards: max(map(order.index, shards))):
            self._run(self._keys({shard: due[shard] for shard in stretch}), stretch)
        self._finish(shards)

    def _due(self, stale: dict[str, list[Feature]], shards: Sequence[str]) -> dict[str, list[Feature]]:
        """Shards that are to be run, with the features: those that are stale, and all that this instance never saw."""
        return stale | dict.fromkeys(self._unseen(shards, self._pixel_features), self._pixel_features)

    def _load_networks(self, stale: Mapping[str, Sequence[Feature]]) -> None:
        """Load what will be needed: weights that are absent, damaged or of another shape show before anything runs."""
        settings = self._lake.settings()
        for model in {feature.name: feature.model for features in stale.values() for feature in features}.values():
            if model is not None:
                encoder_of(model, settings, self._resource.device)

    def _tell(self, due: Mapping[str, Sequence[Feature]]) -> None:
        """Say how many images are to be read, and for which features they are decoded again."""
        settings, device = self._lake.settings(), self._resource.device
        reads = [estimate_reads(self._lake, shard, features, settings, device) for shard, features in due.items()]
        names = sorted({name for found in reads if found.again for name in found.features})
        self._progress.expect(sum(found.images for found in reads), sum(found.again for found in reads), names)

    def scan(self) -> None:
        """Look for new, changed and removed images."""
        self._run([dg.AssetKey("catalog")])

    def stale_shards(self, shards: Sequence[str]) -> dict[str, list[Feature]]:
        """Shards that must be read again, with the features that are missing or stale there.

        Those of a source that is away are left as they are: read now, every image of theirs would fail.
        """
        stale = {shard: stale_features(self._lake, shard, self._pixel_features) for shard in self._there(shards)}
        return {s: names for s, names in stale.items() if names or not has_fresh_images(self._lake, s)}

    def _there(self, shards: Sequence[str]) -> list[str]:
        """Those of the shards whose source is not away."""
        away = {name for name, root in self._lake.settings().sources.items() if is_away(root)}
        return [shard for shard in shards if source_of(shard) not in away]

    def _unseen(self, shards: Sequence[str], features: Sequence[Feature]) -> list[str]:
        """Shards that this instance has no record of; those that a killed run finished are among them.

        Running them computes nothing that is up to date, and lets the UI and the automation know.
        """
        recorded = [set(self._instance.get_materialized_partitions(feature_key(f.name))) for f in features]
        return [shard for shard in self._there(shards) if not all(shard in seen for seen in recorded)]

    def _finish(self, shards: Sequence[str]) -> None:
        """Fits and projections where they are due, those that others are derived from first; then the generation."""
        for depth in sorted({feature.depth for feature in self._derived}):
            features = [f for f in self._derived if f.depth == depth]
            ready = {f.name: [s for s in shards if not stale_features(self._lake, s, f.bases)] for f in features}
            self._fit([f for f in features if len(ready[f.name]) == len(shards)])
            fitted = [f for f in features if current_fit(self._lake, f)]
            due: defaultdict[str, list[str]] = defaultdict(list)  # shard to features; not all are ready for all shards
            for f in fitted:
                stale = {s for s in ready[f.name] if not is_feature_fresh(self._lake, s, f)}
                for shard in stale.union(self._unseen(ready[f.name], [f])):
                    due[shard].append(f.name)
            for names in sorted(set(map(tuple, due.values()))):
                together = [shard for shard in due if due[shard] == list(names)]
                for stretch in contiguous(together, self._every_partition()):
                    self._run([feature_key(name) for name in names], stretch)
        if not plan.is_up_to_date(self._lake, plan.plan_generation(self._lake)):
            self._run([GENERATION])

    def _fit(self, features: Sequence[Feature]) -> bool:
        """Fit those whose fit does not hold; whether there were any."""
        due = [fitted_key(feature.name) for feature in features if not self._fit_holds(feature)]
        if due:
            self._run(due)
        return bool(due)

    def _fit_holds(self, feature: Feature) -> bool:
        version = current_fit(self._lake, feature)
        return version is not None and holds(self._lake, feature, version)

    def _keys(self, stale: dict[str, list[Feature]]) -> list[dg.AssetKey]:
        """The images and these features; all of them where the images alone are stale, and may become more."""
        names = {f.name for features in stale.values() for f in features or self._pixel_features}
        return [IMAGES, *(feature_key(f.name) for f in self._pixel_features if f.name in names)]

    def _tail_keys(self) -> list[dg.AssetKey]:
        return [*(fitted_key(f.name) for f in self._fitted), *(feature_key(f.name) for f in self._derived), GENERATION]

    def _every_partition(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions("image_shards"))

    def _run(self, keys: Sequence[dg.AssetKey], shards: Sequence[str] = (), *, retry: bool = False) -> None:
        """One run over these assets, for an unbroken stretch of shards where they are partitioned."""
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
            run_config=_QUIET | (_RETRY if retry else {}),
            raise_on_error=True,
        )
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                problems = " ".join(str(value.value) for value in check.metadata.values())
                raise SchemaMismatch(f"{check.asset_key.to_user_string()}: {check.check_name} failed: {problems}")


def build_lake(lake: Lake, *, progress: Progress | None = None, device: str = "auto", home: str | None = None) -> None:
    """Bring a lake up to date on the Dagster instance in `home` (default: `DAGSTER_HOME`, else the lake's own).

    The workers of the Dask cluster that `IMREC_DASK` names extract, where it names one.

    Raises:
        ImrecError: Whatever an asset raised.
    """
    with open_instance(home or os.environ.get("DAGSTER_HOME") or lake.dagster_home) as instance:
        Builder(lake, instance, progress=progress, device=device, dask=os.environ.get("IMREC_DASK", "")).build()


def retry_failed(lake: Lake, *, progress: Progress | None = None, home: str | None = None) -> RetryReport:
    """Try the failed files of a lake again, on the instance that `build_lake` takes.

    Raises:
        ImrecError: Whatever an asset raised.
    """
    with open_instance(home or os.environ.get("DAGSTER_HOME") or lake.dagster_home) as instance:
        return Builder(lake, instance, progress=progress, dask=os.environ.get("IMREC_DASK", "")).retry_failed()
