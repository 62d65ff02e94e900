"""How good features are, as tables, JSON and curves: by labels, by copies, by pairs; and whether to fuse them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.label_options import find_mixes, progress
from imrec_dagster.cli.output import show, write_plot

if TYPE_CHECKING:
    from imrec_core.evaluation.fusion_comparison import FusionsJudged
    from imrec_core.evaluation.labels import Labels
    from imrec_core.evaluation.measures import Estimate
    from imrec_core.evaluation.pair_verification import PairVerificationScores
    from imrec_core.evaluation.retrieval import RetrievalScores
    from imrec_core.index.generation import Generation


# -- by labels ----------------------------------------------------------------------------------------------


def show_judged(
    lake: Lake,
    generation: "Generation",
    labels: "Labels",
    by: Sequence[str],
    k: int,
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Means over queries."""
    from imrec_core.evaluation.retrieval import MAX_QUERIES, evaluate_retrieval

    alone, mixes = find_mixes(lake, generation, by)
    found = evaluate_retrieval(
        generation, labels, by=alone, mixes=mixes, k=k, queries=queries or MAX_QUERIES, progress=progress
    )
    if plot:
        _plot(plot, found)
    if as_json:
        show(True, [asdict(judged) for judged in found], [])
        return
    rows = [{"": judged.by, **_in_words(judged.measures)} for judged in found]
    show(False, rows, list(rows[0]))
    click.echo(f"means over {next(iter(found[0].measures.values())).n} queries, with bootstrap intervals of 95 %")


def _in_words(measured: "Mapping[str, Estimate]") -> dict[str, Any]:
    return {name: str(estimate) for name, estimate in measured.items()}


def _plot(file: Path, found: "Sequence[RetrievalScores]") -> None:
    from imrec_core.evaluation.measures import RECALL_LEVELS
    from imrec_core.plots import draw_precision_recall

    curves = {judged.by: (RECALL_LEVELS.tolist(), judged.precision) for judged in found}
    write_plot(file, lambda format: draw_precision_recall(curves, format=format))


# -- by copies ----------------------------------------------------------------------------------------------


def show_copies(lake: Lake, generation: "Generation", by: Sequence[str], photos: int | None, as_json: bool) -> None:
    """Means over images, all edits together and edit by edit."""
    from imrec_core.evaluation.copy_detection import ALL, MAX_PHOTOS, evaluate_copy_detection

    alone, mixes = find_mixes(lake, generation, by)
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
    click.echo("share of the copies that such a cut keeps, all edits together")


# -- by pairs -----------------------------------------------------------------------------------------------


def show_pairs(
    lake: Lake,
    generation: "Generation",
    file: Path,
    by: Sequence[str],
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Means over images that ask, and the best cut through all pairs."""
    from imrec_core.evaluation.pair_labels import csv_pairs
    from imrec_core.evaluation.pair_verification import evaluate_pairs
    from imrec_core.evaluation.retrieval import MAX_QUERIES

    alone, mixes = find_mixes(lake, generation, by)
    pairs = csv_pairs(generation, file, lake.settings().sources)
    found = evaluate_pairs(generation, pairs, by=alone, mixes=mixes, queries=queries or MAX_QUERIES, progress=progress)
    if plot:
        _plot_pairs(plot, found)
    if as_json:
        show(True, [asdict(judged) for judged in found], [])
        return
    rows = [
        {
            "": judged.by,
            "mAP": str(judged.mean_average_precision),
            "AP of all pairs": f"{judged.average_precision:.3f}",
            "best F1": f"{judged.best.f1:.3f}",
            "precision": f"{judged.best.precision:.3f}",
            "recall": f"{judged.best.recall:.3f}",
            "at distance": f"{judged.best.distance:.4g}",
            "false match rate": _rounded_up(judged.best.false_match_rate),
        }
        for judged in found
    ]
    show(False, rows, list(rows[0]))
    one = found[0]
    others = "listed as different" if len(pairs.different) else "other pairs of these images, which count as different"
    asking = f"{one.mean_average_precision.n} images that ask for partners among all {len(generation.live)}"
    click.echo(f"mAP over {asking}, with bootstrap intervals of 95 %, a bit narrow as partners are alike")
    click.echo(f"the rest over {one.same} pairs that are the same and {one.different} {others}")
    click.echo("to cut there: imrec search --by FEATURE --max-false-match-rate RATE")


def _rounded_up(rate: float) -> str:
    """In two digits, up: cut at what is shown, the pairs at the limit still pass."""
    digits = 1 - math.floor(math.log10(rate)) if rate else 0
    return f"{math.ceil(round(rate * 10**digits, 6)) / 10**digits:.2g}"


def _plot_pairs(file: Path, found: "Sequence[PairVerificationScores]") -> None:
    from imrec_core.plots import draw_precision_recall

    names = {judged.by: f"{judged.by} (AP {judged.average_precision:.3f})" for judged in found}
    curves = {names[judged.by]: (judged.curve.recall, judged.curve.precision) for judged in found}
    marks = {names[judged.by]: (judged.best.recall, judged.best.precision) for judged in found}
    title = "Each cut through all pairs; the dot has the best F1"
    write_plot(file, lambda f: draw_precision_recall(curves, marks=marks, steps=True, title=title, format=f))


# -- fusions ------------------------------------------------------------------------------------------------


def show_fusions(
    lake: Lake,
    generation: "Generation",
    labels: "Labels | None",
    by: Sequence[str],
    k: int,
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """By labels, or without any by copies."""
    from imrec_core.evaluation import copy_detection, retrieval
    from imrec_core.evaluation.fusion_comparison import called, judge_fusions, judge_fusions_by_copies

    alone, mixes = find_mixes(lake, generation, by)
    if mixes and len(mixes) > 1:
        raise click.BadParameter("one mix is fused in three ways; name one", param_hint="--by")
    mix = next(iter(mixes.items())) if mixes else None
    if labels is None:
        photos = queries or copy_detection.MAX_PHOTOS
        found = judge_fusions_by_copies(lake, generation, by=alone, mix=mix, photos=photos, progress=progress)
    else:
        asked = queries or retrieval.MAX_QUERIES
        found = judge_fusions(generation, labels, by=alone, mix=mix, k=k, queries=asked, progress=progress)
    if plot:
        _plot(plot, found.judged)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    over = {called(found.mix, fusion): _signed(gain) for fusion, gain in found.gains.items()}
    over[found.best] = "(the best alone)"
    rows = [
        {"": judged.by, **_in_words(judged.measures), "mAP over the best alone": over.get(judged.by)}
        for judged in found.judged
    ]
    show(False, rows, list(rows[0]))
    click.echo(_verdict(found, "images" if labels is None else "queries"))


def _signed(gain: "Estimate") -> str:
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _verdict(found: "FusionsJudged", units: str) -> str:
    """What the fusion that did best is worth."""
    from imrec_core.evaluation.measures import Estimate

    fusion, gain = max(found.gains.items(), key=lambda item: item[1].value)
    said, more = "better", gain
    if gain.value < 0:
        said, more = "worse", Estimate(-gain.value, -gain.high, -gain.low, gain.n)
    chance = "; that may be chance" if more.low <= 0 else ""
    return f"fusion by {fusion} is {more} {said} than the best feature alone ({found.best}), {gain.n} {units}{chance}"
