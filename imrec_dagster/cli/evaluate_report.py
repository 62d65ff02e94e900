"""Reports of `imrec evaluate` as tables, JSON and plots. The measuring itself is in `imrec_core.evaluation`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_dagster.cli.label_options import find_mixes
from imrec_dagster.cli.output import show, write_plot
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from imrec_core.evaluation.fusion_comparison import FusionScores
    from imrec_core.evaluation.labels import Labels
    from imrec_core.evaluation.measures import Estimate
    from imrec_core.evaluation.pair_verification import PairVerificationScores
    from imrec_core.evaluation.retrieval import RetrievalScores
    from imrec_core.index.generation import Generation
    from imrec_core.lake.lake import Lake


# -- by labels ----------------------------------------------------------------------------------------------


def show_retrieval(
    lake: "Lake",
    generation: "Generation",
    labels: "Labels",
    by: Sequence[str],
    k: int,
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Print retrieval scores by labels: means over queries."""
    from imrec_core.evaluation.retrieval import MAX_QUERIES, evaluate_retrieval

    alone, mixes = find_mixes(lake, generation, by)
    with ProgressLine() as progress:
        scores = evaluate_retrieval(
            generation, labels, by=alone, mixes=mixes, k=k, queries=queries or MAX_QUERIES, progress=progress
        )
    if plot:
        _plot_retrieval(plot, scores, _about(generation))
    if as_json:
        show(True, [asdict(row) for row in scores], [])
        return
    rows = [{"": row.by, **_format(row.measures)} for row in scores]
    show(False, rows, list(rows[0]))
    click.echo(f"means over {next(iter(scores[0].measures.values())).n} queries, with bootstrap intervals of 95 %")


def _about(generation: "Generation") -> str:
    return f"{len(generation.live):,} images  ·  generation {generation.id}"


def _format(measures: "Mapping[str, Estimate]") -> dict[str, Any]:
    return {name: str(estimate) for name, estimate in measures.items()}


def _plot_retrieval(file: Path, scores: "Sequence[RetrievalScores]", about: str) -> None:
    from imrec_core.evaluation.measures import RECALL_LEVELS
    from imrec_core.plots import draw_precision_recall

    curves = {row.by: (RECALL_LEVELS.tolist(), row.precision) for row in scores}
    found = {row.by: row.measures["mAP"] for row in scores}
    queries = next(iter(found.values())).n
    options: Any = {
        "notes": {by: str(estimate) for by, estimate in found.items()},
        "legend": "mAP [95 % interval]",
        "about": f"{about}  ·  means over {queries:,} queries, interpolated",
    }
    write_plot(file, lambda format: draw_precision_recall(curves, **options, format=format))


# -- by copies ----------------------------------------------------------------------------------------------


def show_copies(lake: "Lake", generation: "Generation", by: Sequence[str], photos: int | None, as_json: bool) -> None:
    """Print copy detection scores: means over images, over all edits and for each edit."""
    from imrec_core.evaluation.copy_detection import ALL, MAX_PHOTOS, evaluate_copy_detection

    alone, mixes = find_mixes(lake, generation, by)
    with ProgressLine() as progress:
        found = evaluate_copy_detection(
            lake, generation, by=alone, mixes=mixes, photos=photos or MAX_PHOTOS, progress=progress
        )
    if as_json:
        show(True, [asdict(row) for row in found], [])
        return
    rows = [
        {"": row.by, "R@1, all edits": str(row.recall_at_1), "mAP, all edits": str(row.mean_average_precision)}
        for row in found
        if row.edit == ALL
    ]
    show(False, rows, list(rows[0]))
    click.echo(f"copies of {found[0].recall_at_1.n} images, with bootstrap intervals of 95 % over images")
    for title, measure in (("R@1", "recall_at_1"), ("mAP", "mean_average_precision")):
        of_edits: dict[str, dict[str, str]] = {}
        for row in found:
            of_edits.setdefault(row.edit, {title: row.edit})[row.by] = f"{getattr(row, measure).value:.3f}"
        click.echo()
        show(False, list(of_edits.values()), list(of_edits[ALL]))
    kept = [
        {"max_false_match_rate": row.by, **{f"{rate:g}": f"{share:.3f}" for rate, share in row.kept.items()}}
        for row in found
        if row.edit == ALL
    ]
    click.echo()
    show(False, kept, list(kept[0]))
    click.echo("share of the copies that pass this threshold, over all edits")


# -- by pairs -----------------------------------------------------------------------------------------------


def show_pairs(
    lake: "Lake",
    generation: "Generation",
    file: Path,
    by: Sequence[str],
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Print pair verification scores: means over query images, and the best threshold over all pairs."""
    from imrec_core.evaluation.pair_labels import csv_pairs
    from imrec_core.evaluation.pair_verification import evaluate_pairs
    from imrec_core.evaluation.retrieval import MAX_QUERIES

    alone, mixes = find_mixes(lake, generation, by)
    pairs = csv_pairs(generation, file, lake.settings().sources)
    with ProgressLine() as progress:
        scores = evaluate_pairs(
            generation, pairs, by=alone, mixes=mixes, queries=queries or MAX_QUERIES, progress=progress
        )
    if plot:
        _plot_pairs(plot, scores, _about(generation))
    if as_json:
        show(True, [asdict(row) for row in scores], [])
        return
    rows = [
        {
            "": row.by,
            "mAP": str(row.mean_average_precision),
            "AP of all pairs": f"{row.average_precision:.3f}",
            "best F1": f"{row.best.f1:.3f}",
            "precision": f"{row.best.precision:.3f}",
            "recall": f"{row.best.recall:.3f}",
            "at distance": f"{row.best.distance:.4g}",
            "false match rate": _round_up(row.best.false_match_rate),
        }
        for row in scores
    ]
    show(False, rows, list(rows[0]))
    first = scores[0]
    others = "listed as different" if len(pairs.different) else "other pairs of these images, which count as different"
    queried = f"{first.mean_average_precision.n} query images, with all {len(generation.live)} images as gallery"
    click.echo(f"mAP over {queried}, with bootstrap intervals of 95 %, slightly too narrow as queries are correlated")
    click.echo(f"the rest over {first.same} pairs that are the same and {first.different} {others}")
    click.echo("to search with this threshold: imrec search --by FEATURE --max-false-match-rate RATE")


def _round_up(rate: float) -> str:
    """Round up to two digits, so that pairs at the threshold pass the printed rate."""
    digits = 1 - math.floor(math.log10(rate)) if rate else 0
    return f"{math.ceil(round(rate * 10**digits, 6)) / 10**digits:.2g}"


def _plot_pairs(file: Path, scores: "Sequence[PairVerificationScores]", about: str) -> None:
    from imrec_core.plots import draw_precision_recall

    curves = {row.by: (row.curve.recall, row.curve.precision) for row in scores}
    options: Any = {
        "marks": {row.by: (row.best.recall, row.best.precision) for row in scores},
        "notes": {row.by: f"{row.average_precision:.3f}" for row in scores},
        "legend": "AP of all pairs",
        "title": "Precision over recall, by threshold; a dot has the best F1",
        "about": f"{about}  ·  {scores[0].same:,} pairs the same, {scores[0].different:,} different",
    }
    write_plot(file, lambda f: draw_precision_recall(curves, **options, steps=True, format=f))


# -- fusions ------------------------------------------------------------------------------------------------


def show_fusions(
    lake: "Lake",
    generation: "Generation",
    labels: "Labels | None",
    by: Sequence[str],
    k: int,
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Print the comparison of fusions, by labels, or by edited copies without labels."""
    from imrec_core.evaluation import copy_detection, retrieval
    from imrec_core.evaluation.fusion_comparison import evaluate_fusions, evaluate_fusions_by_copies, fused_name

    alone, mixes = find_mixes(lake, generation, by)
    if mixes and len(mixes) > 1:
        raise click.BadParameter("--fusion takes one mix; name one", param_hint="--by")
    mix = next(iter(mixes.items())) if mixes else None
    if labels is None:
        photos = queries or copy_detection.MAX_PHOTOS
        with ProgressLine() as progress:
            found = evaluate_fusions_by_copies(lake, generation, by=alone, mix=mix, photos=photos, progress=progress)
    else:
        queries = queries or retrieval.MAX_QUERIES
        with ProgressLine() as progress:
            found = evaluate_fusions(generation, labels, by=alone, mix=mix, k=k, queries=queries, progress=progress)
    if plot:
        _plot_retrieval(plot, found.judged, _about(generation))
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    gains = {fused_name(found.mix, fusion): _format_gain(gain) for fusion, gain in found.gains.items()}
    gains[found.best] = "(the best alone)"
    rows = [{"": row.by, **_format(row.measures), "mAP over the best alone": gains.get(row.by)} for row in found.judged]
    show(False, rows, list(rows[0]))
    click.echo(_verdict(found, "images" if labels is None else "queries"))


def _format_gain(gain: "Estimate") -> str:
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _verdict(found: "FusionScores", units: str) -> str:
    """Format the gain of the best fusion over the best feature alone."""
    from imrec_core.evaluation.measures import Estimate

    fusion, gain = max(found.gains.items(), key=lambda item: item[1].value)
    comparison, difference = "better", gain
    if gain.value < 0:
        comparison, difference = "worse", Estimate(-gain.value, -gain.high, -gain.low, gain.n)
    chance = "; not significant" if difference.low <= 0 else ""
    than = f"than the best feature alone ({found.best})"
    return f"fusion by {fusion} is {difference} {comparison} {than}, {gain.n} {units}{chance}"
