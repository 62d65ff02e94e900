"""One pass over each shard: the images table, and every feature that is computed from pixels."""

from collections.abc import Collection, Mapping, Sequence

import dagster as dg
from pydantic import Field

from imrec_core import spread, tables
from imrec_core.features import Feature
from imrec_core.shard_order import takers_of
from imrec_core.tables import IMAGES_VERSION
from imrec_dagster import asset_checks, metadata
from imrec_dagster.asset_keys import EXTRACT, IMAGES, MANIFEST, code_version, feature_key, fitted_key
from imrec_dagster.automation import on_change
from imrec_dagster.partitions import BACKFILL, SHARDS, require_sources
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record


class ExtractConfig(dg.Config):
    """What a run of the extraction may be told."""

    retry: bool = Field(default=False, description="Try files again that failed, though they are as they were.")


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
        backfill_policy=BACKFILL,
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
            require_sources(opened, shards)
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
