"""`imrec evaluate`: options and modes. It measures in `imrec_core.evaluation`; `evaluate_report.py` prints results."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.label_options import find_labels, labels_option, naming_option, refuse_several
from imrec_dagster.cli.options import json_option, lake_option, trust_option
from imrec_dagster.cli.output import show, write_plot
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from imrec_core.evaluation.ef_sweep import EfPoint
    from imrec_core.index.generation import Generation
    from imrec_core.lake.lake import Lake

# Modes with the options that each takes. `-k` has a default, and modes that do not rank ignore it.
MODES = {
    "labels": {"fusion", "by", "queries", "plot"},
    "copies": {"fusion", "by", "queries"},
    "pairs": {"by", "queries", "plot"},
    "index": {"queries", "plot"},
    "projections": {"by", "dims", "trials", "queries"},
}

_OF_PROJECTIONS = "--dims and --trials need --projections"
_REFUSALS = {  # messages about an option that the mode does not take
    "fusion": "give one of --fusion, --{mode}",
    "plot": "--plot needs labels or --pairs (precision/recall), or --index (recall over ef)",
    "dims": _OF_PROJECTIONS,
    "trials": _OF_PROJECTIONS,
    "by": "--index measures the HNSW graphs of all features; leave out --by",
}


@click.command(
    short_help="Measure the quality of results on your images",
    epilog=examples("imrec evaluate --copies --by phash --by pdq"),
)
@labels_option
@naming_option
@click.option("--copies", is_flag=True, help="Copy detection without labels: find the originals of edited copies.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Pair verification: CSV file with the columns a, b, and optionally same (1 or 0).",
)
@click.option(
    "--fusion",
    is_flag=True,
    help="Compare fusion by score, rrf and dbsf with each feature alone, by labels or --copies. Ranks all images, "
    "where a search ranks candidates.",
)
@click.option("--index", is_flag=True, help="Recall@10 and queries/s against ef for each HNSW graph.")
@click.option(
    "--projections", is_flag=True, help="Neighbours that learnt projections of a feature keep, by method and dims."
)
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC] | mix:NAME",
    help="Feature or mix to evaluate; repeatable. Default: all.",
)
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Cutoff rank of precision and recall.")
@click.option("--queries", type=click.IntRange(1), help="Largest number of query images.")
@click.option(
    "-o",
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write precision/recall curves, or with --index recall over ef; .png or .svg.",
)
@click.option("--dims", metavar="A,B,…", help="Dims of the projections. Default: 32,64,128.")
@click.option("--trials", type=click.IntRange(0), help="Trials of the hyperparameter search of the autoencoder.")
@json_option
@trust_option
@lake_option
def evaluate(
    labels: Path | None,
    naming: str | None,
    copies: bool,
    pairs: Path | None,
    fusion: bool,
    index: bool,
    projections: bool,
    by: tuple[str, ...],
    k: int,
    queries: int | None,
    plot: Path | None,
    dims: str | None,
    trials: int | None,
    as_json: bool,
    lake: str,
) -> None:
    """Measure the quality of results on the lake's own images.

    By default folders are classes, and each feature is measured by how well it finds images of the same folder.
    """
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake
    from imrec_core.plots import format_of
    from imrec_dagster.cli.evaluate_report import show_copies, show_fusions, show_pairs, show_retrieval

    mode = _mode(labels=labels, naming=naming, pairs=pairs, copies=copies, index=index, projections=projections)
    _refuse_others(mode, fusion=fusion, plot=plot, dims=dims, trials=trials, queries=queries, by=by)
    if plot:
        format_of(plot)  # before measuring in vain
    opened = Lake(lake)
    generation = open_generation(opened)
    if mode == "projections":
        _show_projections(generation, by, dims, trials, queries, as_json)
    elif mode == "index":
        _show_ef_sweep(opened, generation, queries, plot, as_json)
    elif pairs:
        show_pairs(opened, generation, pairs, by, queries, plot, as_json)
    elif fusion:
        known = None if copies else find_labels(generation, opened, labels, naming)
        show_fusions(opened, generation, known, by, k, queries, plot, as_json)
    elif mode == "copies":
        show_copies(opened, generation, by, queries, as_json)
    else:
        known = find_labels(generation, opened, labels, naming)
        show_retrieval(opened, generation, known, by, k, queries, plot, as_json)


def _mode(**given: object) -> str:
    """Return the mode of the given options, by default `labels`.

    Raises:
        click.UsageError: The options name several modes, or both kinds of labels.
    """
    refuse_several({f"--{name}": value for name, value in given.items()})
    return next((name for name, value in given.items() if value and name in MODES), "labels")


def _refuse_others(mode: str, **given: object) -> None:
    """Raise `click.UsageError` for an option that the mode does not take."""
    for option, value in given.items():
        is_given = value not in (None, (), "") and value is not False
        if is_given and option not in MODES[mode]:
            raise click.UsageError(_REFUSALS[option].format(mode=mode))


# -- ef -----------------------------------------------------------------------------------------------------


def _show_ef_sweep(
    lake: "Lake", generation: "Generation", queries: int | None, plot: Path | None, as_json: bool
) -> None:
    from imrec_core.evaluation.ef_sweep import MAX_QUERIES, sweep_ef

    with ProgressLine() as progress:
        found = sweep_ef(generation, lake.settings(), queries=queries or MAX_QUERIES, progress=progress)
    if plot:
        _plot_ef_sweep(plot, found, f"{len(generation.live):,} images  ·  generation {generation.id}")
    rows = [
        {
            "graph": row.graph,
            "ef": row.ef,
            "recall@10": f"{row.recall:.4f}",
            "queries/s": f"{row.queries_per_second:.0f}",
            "in use": row.in_use,
        }
        for row in found
    ]
    show(as_json, [asdict(row) for row in found] if as_json else rows, list(rows[0]) if rows else [])


def _plot_ef_sweep(file: Path, found: "Sequence[EfPoint]", about: str) -> None:
    from imrec_core.plots import EfCurve, draw_recall_by_ef

    graphs = {}
    for name in dict.fromkeys(row.graph for row in found):
        rows = [row for row in found if row.graph == name]
        in_use = next((row.ef for row in rows if row.in_use), None)
        recalls, rates = [row.recall for row in rows], [row.queries_per_second for row in rows]
        graphs[name] = EfCurve([row.ef for row in rows], recalls, rates, in_use)
    write_plot(file, lambda format: draw_recall_by_ef(graphs, about=about, format=format))


# -- projections --------------------------------------------------------------------------------------------


def _show_projections(
    generation: "Generation",
    by: Sequence[str],
    dims: str | None,
    trials: int | None,
    queries: int | None,
    as_json: bool,
) -> None:
    from imrec_core.evaluation.projection_quality import MAX_QUERIES, compare_in

    if len(by) > 1:
        raise click.BadParameter("--projections takes one feature; name one", param_hint="--by")
    how: dict[str, Any] = {"dims": _parse_dims(dims), "trials": trials, "queries": queries or MAX_QUERIES}
    with ProgressLine() as progress:
        found = compare_in(generation, by[0] if by else None, **how, progress=progress)
    rows = [
        {
            "method": quality.method,
            "dims": quality.dims,
            "10 nearest kept": round(quality.kept, 3),
            "among 100": round(quality.found, 3),
            "of new": round(quality.kept_of_new, 3),
            "new among 100": round(quality.found_of_new, 3),
            "bytes": quality.bytes_per_image,
            "seconds": round(quality.seconds, 2),
        }
        for quality in found
    ]
    show(as_json, [asdict(quality) for quality in found] if as_json else rows, list(rows[0]) if rows else [])


def _parse_dims(text: str | None) -> list[int]:
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected numbers separated by commas", param_hint="--dims") from None
