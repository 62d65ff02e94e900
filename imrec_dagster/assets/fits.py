"""Fits: codebooks and projections that features learn from a sample of the lake."""

import dagster as dg
from pydantic import Field

from imrec_core.features import Feature
from imrec_dagster.asset_keys import MANIFEST, code_version, feature_key, fitted_key
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_fit


class FitConfig(dg.Config):
    """Run configuration of a fit."""

    force: bool = Field(default=False, description="Make a new fit, although the one in use is still valid.")


def fit_asset(feature: Feature) -> dg.AssetsDefinition:
    """Build the asset of a feature's fit: of vectors for a derived feature, of images for a codebook."""
    bases = list(dict.fromkeys(feature_key(base.name) for base in feature.bases))
    learnt_from = ", ".join(key.path[-1] for key in bases) or "a sample of images"

    @dg.asset(
        key=fitted_key(feature.name),
        deps=bases or [MANIFEST],
        group_name="fitted",
        kinds={"numpy"},
        code_version=code_version(feature),
        description=f"What {feature.name} learns from {learnt_from}.",
    )
    def fitted(
        context: dg.AssetExecutionContext, config: FitConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        from imrec_core.extraction import fit
        from imrec_dagster import metadata

        with open_lake(context, lake, progress) as opened:
            report = fit.fit(opened, feature, force=config.force)
        record_fit(opened, report)
        progress.done(report)
        return dg.MaterializeResult(
            metadata=metadata.of_fit(opened, report), data_version=dg.DataVersion(report.version)
        )

    return fitted
