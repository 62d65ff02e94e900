"""All assets of a lake: catalog → extraction per shard → fits → projections → generation, map."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from imrec_core.features import Feature
from imrec_core.lake.lake import Lake
from imrec_dagster.assets.catalog import catalog, manifest_spec
from imrec_dagster.assets.extraction import extraction_asset
from imrec_dagster.assets.fits import fit_asset
from imrec_dagster.assets.generation import generation_asset
from imrec_dagster.assets.map import map_asset
from imrec_dagster.assets.projections import projection_asset
from imrec_dagster.partitions import backfill_policy
from imrec_dagster.settings import DagsterSettings


def build_assets(
    lake: Lake, features: Sequence[Feature], settings: DagsterSettings
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Build the assets of a lake, with the step of a build as their tag `imrec/step`.

    Args:
        features: The features that the lake computes, with their bases.
    """
    policy = backfill_policy(lake, settings.images_per_run)
    projected = [f for f in features if f.projection]
    steps: dict[str, list[Any]] = {
        "scan": [catalog, manifest_spec()],
        "extract": [extraction_asset([f for f in features if not f.projection], policy)],
        "fit": [fit_asset(f) for f in features if f.is_fitted],
        "project": [projection_asset(f, policy) for f in projected],
        "publish": [generation_asset(features, settings)],
        "map": [map_asset],
    }
    return [asset for step, assets in steps.items() for asset in _with_owner(assets, settings.owner, step)]


def _with_owner(assets: Sequence[Any], owner: str, step: str) -> list[Any]:
    return list(
        dg.map_asset_specs(
            lambda spec: spec.replace_attributes(owners=[owner], tags={**spec.tags, "imrec/step": step}), assets
        )
    )
