"""All assets of a lake: catalog → one pass over each shard → fits → projections → a generation."""

from collections.abc import Collection, Mapping

import dagster as dg

from imrec_core.features import FEATURES, Feature
from imrec_core.models.loading import weights_here
from imrec_dagster import metadata
from imrec_dagster.asset_keys import feature_key
from imrec_dagster.assets.catalog import catalog, manifest_spec
from imrec_dagster.assets.extraction import extraction
from imrec_dagster.assets.fits import fitting
from imrec_dagster.assets.generation import indexing
from imrec_dagster.assets.map import laid_out
from imrec_dagster.assets.projections import projecting
from imrec_dagster.settings import DagsterSettings


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
    reindex_schedule: str = DagsterSettings().reindex_schedule,
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """All assets, made from the features that there are.

    Args:
        known: The features, by name.
        chosen: Those that run by themselves when there is need, and are in the generation. Of the others, networks
            without weights are only shown, and what would be computed from them is left out.
        reindex_schedule: The cron schedule of new generations.
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
        indexing([f for name, f in able.items() if name in chosen], reindex_schedule),
        laid_out,
    ]


def _lacks_weights(feature: Feature) -> bool:
    missing = feature.model is not None and not weights_here(feature.model)
    return missing or any(map(_lacks_weights, feature.bases))
