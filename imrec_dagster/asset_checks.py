"""Asset checks, made from the declarations. They block: what fails them is built upon by nothing.

A check records no partition in a run over several of them (Dagster 1.13), so it names the shards itself.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg

from imrec_core.extraction.table_checks import check_rows, check_vectors
from imrec_core.features import Feature
from imrec_core.index.build import GenerationReport
from imrec_core.index.recall import RECALL_FLOOR
from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake
from imrec_dagster.asset_keys import GENERATION

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
    return [_result(lake, key, problems, shards=len(shards)) for key, problems in zip(keys, found, strict=True)]


def _result(lake: Lake, key: dg.AssetCheckKey, problems: Sequence[str], **shown: Any) -> dg.AssetCheckResult:
    """The result of a check; one that failed is noted in the lake's log of runs too, whether or not it blocks."""
    if problems:
        run_log.note(lake, "check", f"{key.asset_key.to_user_string()}:{key.name}", 0.0, error="; ".join(problems))
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=key.asset_key,
        check_name=key.name,
        metadata={**shown, "problems": dg.MetadataValue.md("\n".join(f"- {problem}" for problem in problems))},
    )


def recall_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    described = f"Search through the graphs finds at least {RECALL_FLOOR:.0%} of the 10 exactly nearest images."
    return dg.AssetCheckSpec(_RECALL, asset=key, blocking=True, description=described)


def recall_result(lake: Lake, report: GenerationReport) -> dg.AssetCheckResult:
    missed = [
        f"{name} has recall@10 {recall}, {RECALL_FLOOR} is the floor"
        for name, recall in report.recall.items()
        if recall < RECALL_FLOOR
    ]
    return _result(lake, dg.AssetCheckKey(GENERATION, _RECALL), missed, **report.recall)
