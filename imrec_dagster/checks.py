"""Asset checks, made from the declarations. They block: what fails them is built upon by nothing.

A check records no partition in a run over several of them (Dagster 1.13), so it names the shards itself.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from imrec_core.check import check_rows, check_vectors
from imrec_core.features import Feature
from imrec_core.graphs import RECALL_FLOOR
from imrec_core.index import GenerationReport
from imrec_core.lake import Lake

_ROWS, _VECTORS, _RECALL = "rows_match_manifest", "vectors_are_sound", "recall_at_10"


def image_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    described = "Every image of the manifest has one row, ok or failed."
    return [dg.AssetCheckSpec(_ROWS, asset=key, blocking=True, description=described)]


def specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    rows = "Every image that could be read has one row, in the order of the manifest."
    vectors = "Schema and version as declared; all numbers finite; length 1 where declared."
    return [
        dg.AssetCheckSpec(_ROWS, asset=key, blocking=True, description=rows),
        dg.AssetCheckSpec(_VECTORS, asset=key, blocking=True, description=vectors),
    ]


def results(
    context: dg.AssetExecutionContext, lake: Lake, shards: Sequence[str], known: Mapping[str, Feature]
) -> list[dg.AssetCheckResult]:
    """The results of the selected checks over these shards."""

    def problems_of(key: dg.AssetCheckKey) -> list[str]:
        feature = known.get(key.asset_key.path[-1])
        if key.name == _VECTORS and feature is not None:
            return [problem for shard in shards for problem in check_vectors(lake, shard, feature)]
        return [problem for shard in shards for problem in check_rows(lake, shard, feature)]

    keys = sorted(context.selected_asset_check_keys)
    with ThreadPoolExecutor() as pool:  # they mostly read and unpack tables
        found = list(pool.map(problems_of, keys))
    return [
        dg.AssetCheckResult(
            passed=not problems,
            asset_key=key.asset_key,
            check_name=key.name,
            metadata={"shards": len(shards), "problems": dg.MetadataValue.md("\n".join(f"- {p}" for p in problems))},
        )
        for key, problems in zip(keys, found, strict=True)
    ]


def recall_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    described = f"Search through the graphs finds at least {RECALL_FLOOR:.0%} of the 10 exactly nearest images."
    return dg.AssetCheckSpec(_RECALL, asset=key, blocking=True, description=described)


def recall_result(report: GenerationReport) -> dg.AssetCheckResult:
    passed = all(recall >= RECALL_FLOOR for recall in report.recall.values())
    return dg.AssetCheckResult(check_name=_RECALL, passed=passed, metadata=dict(report.recall))
