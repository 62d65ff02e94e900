"""The assets: catalog → one pass over each shard → fits → projections → a generation.

An asset opens the lake, calls one core function and reports what it returned.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg
from pydantic import Field

from imrec_core import catalog as core_catalog
from imrec_core import fit, index, spread, tables
from imrec_core import project as core_project
from imrec_core.errors import BadSource
from imrec_core.features import FEATURES, Feature, chosen_features
from imrec_core.freshness import digest, is_unmade, manifest_version
from imrec_core.lake import Lake, source_of
from imrec_core.loaders import weights_here
from imrec_core.settings import Settings
from imrec_core.shard_order import takers_of
from imrec_core.tables import IMAGES_VERSION
from imrec_dagster import asset_checks, metadata
from imrec_dagster.assets.map import laid_out
from imrec_dagster.automation import GENERATION as GENERATION
from imrec_dagster.automation import nightly_freshness, on_change
from imrec_dagster.partitions import SHARDS, forget_all_but, is_alone
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record

IMAGES = dg.AssetKey("images")
MANIFEST = dg.AssetKey("shard_manifest")
EXTRACT = "extract"

_BACKFILL = dg.BackfillPolicy.multi_run(10)  # shards per run: a run costs about two seconds of CPU


class ExtractConfig(dg.Config):
    """What a run of the extraction may be told."""

    retry: bool = Field(default=False, description="Try files again that failed, though they are as they were.")


def feature_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["features", name])


def fitted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["fitted", name])


def code_version(feature: Feature) -> str:
    """What Dagster compares: the version, and what a `lake.toml` may change of it."""
    return f"{feature.version}-{digest(dict(feature.params))}" if feature.params else str(feature.version)


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    description="Scan the sources; note what is new, changed and gone.",
    metadata=metadata.of_table(tables.CATALOG),
)
def catalog(
    context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    with tried_again(context, progress):
        opened, started = lake.open(), time.perf_counter()
        with opened.alone("catalog"):
            found = _scan(context, opened)
    for _, reason in found.unavailable:
        context.log.warning(reason)
    record(opened, found, time.perf_counter() - started)
    progress.done(found)
    return dg.MaterializeResult(metadata=metadata.of_catalog(opened, found))


def _scan(context: dg.AssetExecutionContext, opened: Lake) -> core_catalog.CatalogDiff:
    found = core_catalog.diff(opened)
    # Told before written: a crash in between makes the next scan find the same changes, and tell them again.
    shards = {*opened.live_shards(), *(m.shard for m in found.manifests)}
    context.instance.add_dynamic_partitions(str(SHARDS.name), sorted(shards))
    if is_alone(context.run.run_id, context.instance):
        forget_all_but(shards, context.instance)
        for shard in _unmade(opened, found):
            version = f"{manifest_version(opened, shard)}-{context.run.run_id[:8]}"
            _tell(context, opened, shard, opened.row_count(opened.catalog_path(shard)), version)
    else:
        context.log.info("other runs are under way: no partition is deleted, and none is asked for again")
    for manifest in found.manifests:
        _tell(context, opened, manifest.shard, len(manifest.table), manifest.version)
    found.apply(opened)
    return found


def _tell(context: dg.AssetExecutionContext, lake: Lake, shard: str, rows: int, version: str) -> None:
    shown = metadata.of_manifest(lake, shard, rows)
    tags = {"dagster/data_version": version}
    context.log_event(dg.AssetMaterialization(MANIFEST, partition=shard, metadata=shown, tags=tags))


def _unmade(lake: Lake, found: core_catalog.CatalogDiff) -> list[str]:
    """Shards that are as they were, and of which a table is missing all the same, or of another version.

    Somebody deleted it, or its run failed, or the automation was off. Told under a version of their own they are asked
    for again, once for each scan; what is up to date there is not computed.
    """
    features = chosen_features(lake)
    away = {name for name, _ in found.unavailable}
    changed = {manifest.shard for manifest in found.manifests}
    same = [shard for shard in lake.live_shards() if shard not in changed and source_of(shard) not in away]
    return [shard for shard in same if is_unmade(lake, shard, features)]


def manifest_spec() -> dg.AssetSpec:
    """The manifests of the shards; the catalog reports those that changed, with their versions."""
    return dg.AssetSpec(
        MANIFEST,
        deps=[catalog],
        partitions_def=SHARDS,
        group_name="catalog",
        kinds={"parquet"},
        description="The images of a shard: ids, sizes and times. Its data version decides what is stale.",
        metadata=metadata.of_table(tables.CATALOG),
    )


def _require_sources(lake: Lake, shards: Sequence[str]) -> None:
    """Refuse partitions whose source was taken out of the lake."""
    sources = lake.settings().sources
    for shard in shards:
        if source_of(shard) not in sources:
            raise BadSource(
                f"{shard} belongs to source {source_of(shard)!r}, which is not in lake.toml; put it back under "
                "[sources], or materialize catalog, which takes its partitions away (its tables are kept)"
            )


def extraction(known: Mapping[str, Feature], chosen: Collection[str]) -> dg.AssetsDefinition:
    """The multi-asset of all features that are computed from pixels, and of the images table."""
    features = [feature for feature in known.values() if not feature.projection]

    def spec(
        key: dg.AssetKey, description: str, automatic: bool, deps: Sequence[dg.AssetKey] = (), **shown: object
    ) -> dg.AssetSpec:
        return dg.AssetSpec(
            key,
            deps=[MANIFEST, *deps],
            partitions_def=SHARDS,
            automation_condition=on_change() if automatic else None,
            description=description,
            skippable=True,
            **shown,  # type: ignore[arg-type]
        )

    images = spec(
        IMAGES,
        "What decoding showed of each image: content hash, format, size; or why it failed.",
        True,
        group_name="images",
        kinds={"parquet"},
        code_version=str(IMAGES_VERSION),
        metadata=metadata.of_table(tables.IMAGES),
    )
    specs = [
        spec(
            feature_key(f.name),
            f.summary,
            f.name in chosen,
            [fitted_key(f.name)] if f.learnt else [],
            group_name=f.group,
            kinds={"parquet", "openvino"} if f.model else {"parquet", "numpy"},
            code_version=code_version(f),
            metadata=metadata.of_feature(f),
        )
        for f in features
    ]

    @dg.multi_asset(
        name=EXTRACT,
        specs=[images, *specs],
        check_specs=[
            *asset_checks.image_specs(IMAGES),
            *(s for f in features for s in asset_checks.specs(feature_key(f.name))),
        ],
        can_subset=True,
        backfill_policy=_BACKFILL,
        pool="decode",
    )
    def extract_shards(
        context: dg.AssetExecutionContext,
        config: ExtractConfig,
        lake: LakeResource,
        progress: dg.ResourceParam[Progress],
    ):
        """Read and decode each new image of a shard once, and compute every selected feature from it."""
        keys = sorted(context.selected_asset_keys)
        wanted = [known[key.path[-1]] for key in keys if key != IMAGES]
        shards = context.partition_keys
        with tried_again(context, progress):
            opened = lake.open()
            _require_sources(opened, shards)
            takers = takers_of(opened, shards)  # else a moved image, which they get, would be forgotten here first
            for report in spread.extract_shards(
                opened,
                [*takers, *shards],
                wanted,
                scheduler=lake.dask,
                on_images=progress.images,
                device=lake.device,
                retry=config.retry,
            ):
                context.log.info(
                    f"{report.shard}: {report.decoded} decoded, {report.rows} images, {report.failed} failed, "
                    f"{report.seconds:.1f} s"
                )
                for key in keys if report.shard in shards else ():
                    shown = metadata.of_extraction(opened, report, key)
                    context.add_asset_metadata(shown, asset_key=key, partition_key=report.shard)
                record(opened, report)
                progress.done(report)
            checked = asset_checks.results(context, opened, shards, known)
        for key in keys:
            yield dg.MaterializeResult(asset_key=key)
        yield from checked

    return extract_shards


def fitting(feature: Feature, chosen: Collection[str]) -> dg.AssetsDefinition:
    """What a feature learns from the whole lake: a derived one from vectors, one with a codebook from pictures."""
    bases = list(dict.fromkeys(feature_key(base.name) for base in feature.bases))
    learnt_from = ", ".join(key.path[-1] for key in bases) or "a sample of pictures"

    @dg.asset(
        key=fitted_key(feature.name),
        deps=bases or [MANIFEST],
        group_name="fitted",
        kinds={"numpy"},
        code_version=code_version(feature),
        automation_condition=on_change() if feature.name in chosen else None,
        description=f"What {feature.name} learns from {learnt_from}.",
    )
    def fitted(
        context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        with tried_again(context, progress):
            opened = lake.open()
            report = fit.fit(opened, feature)
        record(opened, report)
        progress.done(report)
        return dg.MaterializeResult(
            metadata=metadata.of_fit(opened, report), data_version=dg.DataVersion(report.version)
        )

    return fitted


def projecting(feature: Feature, chosen: Collection[str]) -> dg.AssetsDefinition:
    """A feature that is computed from the vectors of others."""
    bases = list(dict.fromkeys(feature_key(base.name) for base in feature.bases))

    @dg.multi_asset(
        name=f"project_{feature.name}",  # a lake may name its features as it likes, Dagster not all its steps
        specs=[
            dg.AssetSpec(
                feature_key(feature.name),
                deps=[*bases, fitted_key(feature.name)],
                partitions_def=SHARDS,
                group_name=feature.group,
                kinds={"parquet", "numpy"},
                code_version=code_version(feature),
                automation_condition=on_change() if feature.name in chosen else None,
                description=feature.summary,
                metadata=metadata.of_feature(feature),
            )
        ],
        check_specs=asset_checks.specs(feature_key(feature.name)),
        backfill_policy=_BACKFILL,
    )
    def project(
        context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        key = feature_key(feature.name)
        with tried_again(context, progress):
            opened = lake.open()
            _require_sources(opened, context.partition_keys)
            for shard in context.partition_keys:
                report = core_project.project_shard(opened, shard, feature)
                shown = metadata.of_projection(opened, report)
                context.add_asset_metadata(shown, asset_key=key, partition_key=shard)
                record(opened, report)
                progress.done(report)
            checked = asset_checks.results(context, opened, context.partition_keys, {feature.name: feature})
        yield dg.MaterializeResult(asset_key=key)
        yield from checked

    return project


def indexing(features: list[Feature], nightly: str) -> dg.AssetsDefinition:
    """The final asset: rows, vectors and graphs that search reads.

    Args:
        nightly: The cron schedule by which there is to be a new one, where there is something new.
    """

    @dg.asset(
        key=GENERATION,
        deps=[IMAGES, *(feature_key(f.name) for f in features)],
        group_name="index",
        kinds={"hnswlib"},
        check_specs=[asset_checks.recall_spec(GENERATION)],
        metadata=metadata.of_table(tables.ROWS),
        freshness_policy=nightly_freshness(nightly),
        description="One consistent set of rows, vectors and HNSW graphs, published for search.",
    )
    def generation(
        context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        with tried_again(context, progress):
            opened = lake.open()
            report = index.build_generation(opened)
            record(opened, report)
            shown = metadata.of_generation(opened, report)
        progress.done(report)
        return dg.MaterializeResult(metadata=shown, check_results=[asset_checks.recall_result(opened, report)])

    return generation


def unavailable(feature: Feature) -> dg.AssetSpec:
    """A network whose weights are not on this machine: shown, but left out where everything is materialized."""
    return dg.AssetSpec(
        feature_key(feature.name),
        group_name=feature.group,
        kinds={"parquet", "openvino"},
        description=f"{feature.summary} Its weights are not on this machine: imrec models --fetch {feature.name}",
        metadata=metadata.of_feature(feature),
    )


def build_assets(
    known: Mapping[str, Feature] = FEATURES,
    chosen: Collection[str] = (),
    nightly: str = Settings().nightly_reindex,
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """All assets, made from the features that there are.

    Args:
        known: The features, by name.
        chosen: Those that run by themselves when there is need, and are in the generation. Of the others, networks
            without weights are only shown, and what would be computed from them is left out.
        nightly: The cron schedule of new generations.
    """
    able = {name: f for name, f in known.items() if name in chosen or not _lacks_weights(f)}
    return [
        catalog,
        manifest_spec(),
        extraction(able, chosen),
        *(fitting(f, chosen) for f in able.values() if f.is_fitted),
        *(projecting(f, chosen) for f in able.values() if f.projection),
        *(unavailable(f) for name, f in known.items() if name not in able and f.model),
        # Of the others it holds nothing; depending on them it would never be in sync.
        indexing([f for name, f in able.items() if name in chosen], nightly),
        laid_out,
    ]


def _lacks_weights(feature: Feature) -> bool:
    missing = feature.model is not None and not weights_here(feature.model)
    return missing or any(map(_lacks_weights, feature.bases))
