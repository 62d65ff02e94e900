"""The command that says how good the answers of a lake are."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.evaluate_report import show_copies, show_fusions, show_judged, show_pairs
from imrec_dagster.cli.label_options import find_labels, labels_option, naming_option, progress, refuse_several
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.output import show, write_plot

if TYPE_CHECKING:
    from imrec_core.evaluation.ef_sweep import EfPoint
    from imrec_core.index.generation import Generation

# What can be measured, with the options that each takes; `-k` has a default and counts where something is ranked.
MODES = {
    "labels": {"fusion", "by", "queries", "plot"},
    "copies": {"fusion", "by", "queries"},
    "pairs": {"by", "queries", "plot"},
    "index": {"queries", "plot"},
    "projections": {"by", "dims", "trials"},
}

_OF_PROJECTIONS = "--dims and --trials are about --projections"
_REFUSALS = {  # what to say of an option that the mode does not take
    "fusion": "give one of --fusion, --{mode}",
    "plot": "--plot draws precision/recall, by labels or --pairs, or with --index recall over ef",
    "dims": _OF_PROJECTIONS,
    "trials": _OF_PROJECTIONS,
    "queries": "--projections asks with images of its own choice; leave out --queries",
    "by": "--index measures the graphs of all features; leave out --by",
}


@click.command()
@labels_option
@naming_option
@click.option(
    "--copies", is_flag=True, help="Without labels: edited copies of images, whose originals are to be found."
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV with the columns a, b, and same (1 or 0) where some pairs are different.",
)
@click.option(
    "--fusion",
    is_flag=True,
    help="Features fused by score, rrf and dbsf against each alone, by labels or --copies. All images are ranked, "
    "where a search ranks its candidates.",
)
@click.option("--index", is_flag=True, help="Recall@10 and queries/s of each graph over its breadth of search, ef.")
@click.option("--projections", is_flag=True, help="Learnt projections of a feature, each in several sizes.")
@click.option(
    "--by", multiple=True, metavar="FEATURE[:METRIC] | mix:NAME", help="What is judged; repeat. Default: all."
)
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Of precision and recall.")
@click.option("--queries", type=click.IntRange(1), help="Images that are asked with, at most.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write precision/recall curves, or with --index recall over ef; .png or .svg.",
)
@click.option("--dims", metavar="A,B,…", help="Sizes of projections; 32,64,128 by default.")
@click.option("--trials", type=click.IntRange(0), help="Trials of the autoencoder's search for settings.")
@json_option
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
    """Measure how good the answers are, on the lake's own images.

    Without an option, folders are classes: how well does each feature find images of the same folder?
    """
    from imrec_core.index.generation import open_generation
    from imrec_core.plots import format_of

    mode = _mode(labels=labels, naming=naming, pairs=pairs, copies=copies, index=index, projections=projections)
    _refuse_others(mode, fusion=fusion, plot=plot, dims=dims, trials=trials, queries=queries, by=by)
    if plot:
        format_of(plot)  # before anything is measured for nothing
    of = Lake(lake)
    generation = open_generation(of)
    if mode == "projections":
        _show_projections(generation, by, dims, trials, as_json)
    elif mode == "index":
        _show_ef_sweep(of, generation, queries, plot, as_json)
    elif pairs:
        show_pairs(of, generation, pairs, by, queries, plot, as_json)
    elif fusion:
        known = None if copies else find_labels(generation, of, labels, naming)
        show_fusions(of, generation, known, by, k, queries, plot, as_json)
    elif mode == "copies":
        show_copies(of, generation, by, queries, as_json)
    else:
        show_judged(of, generation, find_labels(generation, of, labels, naming), by, k, queries, plot, as_json)


def _mode(**given: object) -> str:
    """Return the mode that was asked for; it is `labels` unless another one is named.

    Raises:
        click.UsageError: Several were asked for, or both kinds of labels.
    """
    refuse_several({f"--{name}": value for name, value in given.items()})
    return next((name for name, value in given.items() if value and name in MODES), "labels")


def _refuse_others(mode: str, **given: object) -> None:
    """Raise `click.UsageError` for an option that the mode does not take."""
    for option, value in given.items():
        is_given = value not in (None, (), "") and value is not False
        if is_given and option not in MODES[mode]:
            raise click.UsageError(_REFUSALS[option].format(mode=mode))


# -- graphs -------------------------------------------------------------------------------------------------


def _show_ef_sweep(lake: Lake, generation: "Generation", queries: int | None, plot: Path | None, as_json: bool) -> None:
    from imrec_core.evaluation.ef_sweep import MAX_QUERIES, sweep_ef

    found = sweep_ef(generation, lake.settings(), queries=queries or MAX_QUERIES, progress=progress)
    if plot:
        _plot_ef_sweep(plot, found)
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


def _plot_ef_sweep(file: Path, found: "Sequence[EfPoint]") -> None:
    from imrec_core.plots import EfCurve, draw_recall_by_ef

    graphs = {}
    for name in dict.fromkeys(row.graph for row in found):
        rows = [row for row in found if row.graph == name]
        in_use = next((row.ef for row in rows if row.in_use), None)
        recalls, rates = [row.recall for row in rows], [row.queries_per_second for row in rows]
        graphs[name] = EfCurve([row.ef for row in rows], recalls, rates, in_use)
    write_plot(file, lambda format: draw_recall_by_ef(graphs, format=format))


# -- projections --------------------------------------------------------------------------------------------


def _show_projections(
    generation: "Generation", by: Sequence[str], dims: str | None, trials: int | None, as_json: bool
) -> None:
    from imrec_core.evaluation.projection_quality import compare_in

    if len(by) > 1:
        raise click.BadParameter("projections of one feature are compared; name one", param_hint="--by")
    found = compare_in(generation, by[0] if by else None, dims=_numbers(dims), trials=trials, progress=progress)
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


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers", param_hint="--dims") from None
