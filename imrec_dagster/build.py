"""Run the graph in this process: what `imrec build` does, on the instance that the UI uses."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from imrec_core import index
from imrec_core.extract import has_fresh_images, stale_features
from imrec_core.features import Feature, find_feature
from imrec_core.fit import holds, is_projected
from imrec_core.lake import Lake, source_of
from imrec_dagster.assets import GENERATION, IMAGES, build_assets, feature_key, fitted_key
from imrec_dagster.partitions import contiguous, range_tags
from imrec_dagster.resources import LakeResource, Progress

_INSTANCE_CONFIG = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"  # nux: a dialog that offers a newsletter
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


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
        self, lake: Lake, instance: dg.DagsterInstance, *, progress: Progress | None = None, device: str = "auto"
    ) -> None:
        self._lake, self._instance, self._progress = lake, instance, progress or Progress()
        self._assets = build_assets()
        self._resource = LakeResource(root=str(lake.root), device=device)
        chosen = [find_feature(name) for name in lake.settings().features]
        self._pixel_features = [f for f in chosen if not f.projection]
        self._derived = [f for f in chosen if f.projection]

    def build(self) -> None:
        """Scan, extract, fit, project, publish.

        Raises:
            ImrecError: Whatever an asset raised.
        """
        self.scan()
        shards = self._lake.live_shards()
        stale = self.stale_shards(shards)
        first_time = len(stale) == len(shards) and len(contiguous(list(stale), self._every_partition())) == 1
        self._progress.expect(sum(self._lake.row_count(self._lake.catalog_path(shard)) for shard in stale))
        if stale and first_time:  # nothing is known yet, so one run does it all
            self._run([*self._keys(stale), *self._tail_keys(fit=True)], list(stale))
            return
        for first, last in contiguous(list(stale), self._every_partition()):
            part = {s: names for s, names in stale.items() if first <= s <= last}
            self._run(self._keys(part), list(part))
        self._finish(shards)

    def scan(self) -> None:
        """Look for new, changed and removed images."""
        self._run([dg.AssetKey("catalog")])

    def stale_shards(self, shards: Sequence[str]) -> dict[str, list[Feature]]:
        """Shards that must be read again, with the features that are missing or stale there.

        Those of a source that is away are left as they are: read now, every image of theirs would fail.
        """
        away = {name for name, root in self._lake.settings().sources.items() if _is_away(root)}
        stale = {
            shard: stale_features(self._lake, shard, self._pixel_features)
            for shard in shards
            if source_of(shard) not in away
        }
        return {s: names for s, names in stale.items() if names or not has_fresh_images(self._lake, s)}

    def _finish(self, shards: Sequence[str]) -> None:
        """Fits and projections where they are due, then the generation."""
        due = [f for f in self._derived if not self._fit_holds(f)]
        for feature in due:
            self._run([fitted_key(feature.name)])
        unprojected = [s for s in shards if not all(is_projected(self._lake, s, f) for f in self._derived)]
        for first, last in contiguous(unprojected, self._every_partition()):
            part = [s for s in unprojected if first <= s <= last]
            self._run([feature_key(f.name) for f in self._derived], part)
        if not index.is_up_to_date(self._lake, index.plan_generation(self._lake)):
            self._run([GENERATION])

    def _fit_holds(self, feature: Feature) -> bool:
        version = self._lake.fitted_version(feature.name)
        return version is not None and holds(self._lake, feature, version)

    def _keys(self, stale: dict[str, list[Feature]]) -> list[dg.AssetKey]:
        names = {f.name for features in stale.values() for f in features}
        return [IMAGES, *(feature_key(f.name) for f in self._pixel_features if f.name in names)]

    def _tail_keys(self, *, fit: bool) -> list[dg.AssetKey]:
        fits = [fitted_key(f.name) for f in self._derived] if fit else []
        return [*fits, *(feature_key(f.name) for f in self._derived), GENERATION]

    def _every_partition(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions("image_shards"))

    def _run(self, keys: Sequence[dg.AssetKey], shards: Sequence[str] = ()) -> None:
        """One run over these assets, for an unbroken stretch of shards where they are partitioned."""
        result = dg.materialize(
            self._assets,
            selection=dg.AssetSelection.assets(*keys),
            instance=self._instance,
            resources={"lake": self._resource, "progress": self._progress},
            tags=range_tags(shards[0], shards[-1]) if shards else None,
            run_config=_QUIET,
            raise_on_error=True,
        )
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                raise dg.DagsterInvariantViolationError(f"check {check.check_name} failed: {check.metadata}")


def _is_away(root: Path) -> bool:
    """Whether a source's folder is missing or empty, as where a disk is not mounted."""
    try:
        return next(root.iterdir(), None) is None
    except OSError:
        return True


def build_lake(lake: Lake, *, progress: Progress | None = None, device: str = "auto", home: str | None = None) -> None:
    """Bring a lake up to date on the Dagster instance in `home` (default: `DAGSTER_HOME`, else the lake's own).

    Raises:
        ImrecError: Whatever an asset raised.
    """
    with open_instance(home or os.environ.get("DAGSTER_HOME") or lake.dagster_home) as instance:
        Builder(lake, instance, progress=progress, device=device).build()
