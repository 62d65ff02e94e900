"""Asset checks, derived from the feature declarations. Those of tables and of recall block downstream assets.

The conditions themselves are in `imrec_core.extraction.table_checks`. In a run over several partitions Dagster 1.13
records no partition with a check result, so the problems name their shard.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dagster as dg

from imrec_core.errors import ImrecError
from imrec_core.features import Feature
from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.resources import LakeResource

if TYPE_CHECKING:
    from imrec_core.index.build import GenerationReport

_ROWS, _VECTORS, _RECALL = "rows_match_manifest", "vectors_are_sound", "recall_at_10"
_ALL_FEATURES = "holds_all_chosen_features"
_QUALITY = "images_have_no_issues"


def image_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Declare the checks of the images table."""
    description = "Every image of the manifest has one row, ok or failed."
    return [dg.AssetCheckSpec(_ROWS, asset=key, blocking=True, description=description)]


def feature_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Declare the checks of a feature."""
    rows = "Every image that could be read has one row, in the order of the manifest."
    vectors = "Schema and version as declared; all numbers finite; length 1 where declared."
    return [
        dg.AssetCheckSpec(_ROWS, asset=key, blocking=True, description=rows),
        dg.AssetCheckSpec(_VECTORS, asset=key, blocking=True, description=vectors),
    ]


def run_checks(
    context: dg.AssetExecutionContext, lake: Lake, shards: Sequence[str], known: Mapping[str, Feature]
) -> list[dg.AssetCheckResult]:
    """Run the selected checks over these shards."""
    from imrec_core.extraction.table_checks import check_rows, check_vectors

    def find_problems(key: dg.AssetCheckKey) -> list[str]:
        feature = known.get(key.asset_key.path[-1])
        if key.name == _VECTORS and feature is not None:
            return [problem for shard in shards for problem in check_vectors(lake, shard, feature)]
        return [problem for shard in shards for problem in check_rows(lake, shard, feature)]

    keys = sorted(context.selected_asset_check_keys)
    with ThreadPoolExecutor() as pool:  # most of the time goes into reading and decompressing tables
        found = list(pool.map(find_problems, keys))
    return [_result(lake, key, problems, shards=len(shards)) for key, problems in zip(keys, found, strict=True)]


def _result(lake: Lake, key: dg.AssetCheckKey, problems: Sequence[str], **shown: Any) -> dg.AssetCheckResult:
    """Build the result of a check; record a failed one in the lake's run log."""
    if problems:
        run_log.note(lake, "check", f"{key.asset_key.to_user_string()}:{key.name}", 0.0, error="; ".join(problems))
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=key.asset_key,
        check_name=key.name,
        metadata={**shown, "problems": dg.MetadataValue.md("\n".join(f"- {problem}" for problem in problems))},
    )


@dg.asset_check(
    asset=GENERATION,
    name="lake_is_whole",
    description="All files of the lake have their checksums. Damaged ones are moved aside; the next build makes them.",
)
def lake_is_whole(lake: LakeResource) -> dg.AssetCheckResult:
    from imrec_core.index.lake_check import check_lake

    opened = Lake(lake.root)
    report = check_lake(opened)
    problems = [f"{found.path}: {found.problem}; {found.repair}" for found in report.damaged]
    key = dg.AssetCheckKey(GENERATION, "lake_is_whole")
    return _result(opened, key, problems, files=report.files, bytes=report.byte_size, seconds=report.seconds)


def recall_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """Declare the recall check of the generation."""
    description = "The HNSW graphs find enough of the 10 nearest images of an exact search."
    return dg.AssetCheckSpec(_RECALL, asset=key, blocking=True, description=description)


def recall_result(lake: Lake, report: "GenerationReport") -> dg.AssetCheckResult:
    """Compare the recall that the build measured with its minimum."""
    from imrec_core.index.recall import RECALL_FLOOR

    problems = [
        f"{name}: recall@10 is {recall}, expected at least {RECALL_FLOOR}"
        for name, recall in report.recall.items()
        if recall < RECALL_FLOOR
    ]
    return _result(lake, dg.AssetCheckKey(GENERATION, _RECALL), problems, **report.recall)


def features_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """Declare the check that the generation is complete."""
    description = "The generation has all chosen features, and no image waits to be read or for a feature."
    return dg.AssetCheckSpec(_ALL_FEATURES, asset=key, description=description)


def features_result(report: "GenerationReport") -> dg.AssetCheckResult:
    """Check that no feature is missing and no image waits. A failure is a warning: what there is, is searchable."""
    from imrec_dagster import metadata

    return dg.AssetCheckResult(
        passed=not report.missing and not report.waiting.images,
        asset_key=GENERATION,
        check_name=_ALL_FEATURES,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"missing features": ", ".join(report.missing) or "none", **metadata.of_waiting(report.waiting)},
    )


def quality_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """Declare the check of the quality of the images."""
    description = "No image is blurred, dark, overexposed, plain, of an odd size or shape, damaged or failed."
    return dg.AssetCheckSpec(_QUALITY, asset=key, description=description)


def quality_result(lake: Lake) -> dg.AssetCheckResult:
    """Count the images with each issue. Issues are a warning, and an error in the search for them is its text.

    Outliers are left out: they take seconds to minutes, and the columns a fraction of a second.
    """
    from imrec_core.curation.issues import find_issues

    try:
        report = find_issues(lake, outliers=False)
    except ImrecError as error:
        shown: dict[str, Any] = {"problems": str(error)}
        passed = False
    else:
        shown = {"images": report.images, **report.counts}
        passed = not any(report.counts.values())
    return dg.AssetCheckResult(
        passed=passed,
        asset_key=GENERATION,
        check_name=_QUALITY,
        severity=dg.AssetCheckSeverity.WARN,
        description="" if passed else "list them with: imrec issues",
        metadata=shown,
    )
