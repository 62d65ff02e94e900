"""All assets of a lake: catalog → extraction per shard → fits → projections → generation, map."""

from collections.abc import Collection, Mapping

import dagster as dg

from imrec_core.features import FEATURES, Feature
from imrec_core.models.loading import weights_here
from imrec_dagster import metadata
from imrec_dagster.asset_keys import feature_key
from imrec_dagster.assets.catalog import catalog, manifest_spec
from imrec_dagster.assets.extraction import extraction_asset
from imrec_dagster.assets.fits import fit_asset
from imrec_dagster.assets.generation import generation_asset
from imrec_dagster.assets.map import map_asset
from imrec_dagster.assets.projections import projection_asset
from imrec_dagster.settings import DagsterSettings


def unavailable_spec(feature: Feature) -> dg.AssetSpec:
    """Declare the feature of a network without weights on this machine: visible, but not materializable."""
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
    reindex_schedule: str = DagsterSettings().reindex_schedule,
    timezone: str = DagsterSettings().timezone,
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Build all assets from the declared features.

    Args:
        known: The features, by name.
        chosen: Names of the features that the automation computes and the generation holds. Of the others, networks
            without weights are not materializable, and features derived from them have no asset.
        reindex_schedule: The cron schedule of new generations.
        timezone: The time zone of this schedule.
    """
    available = {name: f for name, f in known.items() if name in chosen or not _lacks_weights(f)}
    return [
        catalog,
        manifest_spec(),
        extraction_asset(available, chosen),
        *(fit_asset(f, chosen) for f in available.values() if f.is_fitted),
        *(projection_asset(f, chosen) for f in available.values() if f.projection),
        *(unavailable_spec(f) for name, f in known.items() if name not in available and f.model),
        # Only the chosen ones: with dependencies that it does not hold, the generation would never be in sync.
        generation_asset([f for name, f in available.items() if name in chosen], reindex_schedule, timezone),
        map_asset,
    ]


def _lacks_weights(feature: Feature) -> bool:
    is_missing = feature.model is not None and not weights_here(feature.model)
    return is_missing or any(map(_lacks_weights, feature.bases))
